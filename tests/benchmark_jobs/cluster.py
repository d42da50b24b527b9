"""OME's controller of BenchmarkJobs, and a kubelet, on the API double: their pods are processes.

What genai-bench does in its pod is told by ``bench``; pods that read results are run as they are.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark_jobs.container import Container, container_of
from kubernetes_double.answers import ApiFault
from kubernetes_double.double import KubernetesDouble
from kubernetes_double.pod_states import over, running

__all__ = ["Bench", "OmeCluster", "Run"]

Object = dict[str, Any]
_PATIENCE_S = 60.0


@dataclass
class Run:
    """One start of genai-bench."""

    job: Object
    container: Container
    results: Path
    """The folder of the claim that the job writes to."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the pod is being deleted."""


Bench = Callable[[Run], tuple[int, str]]
"""Exit status, and the log."""


class OmeCluster:
    """A thread that makes of BenchmarkJobs what OME does, and runs the pods; a context manager.

    Args:
        bench: Called in a thread of its own for each job.
        volume: Folder that is the volume of every claim.
        last_state: Of jobs whose pod has succeeded.
    """

    def __init__(
        self, double: KubernetesDouble, volume: Path, bench: Bench, last_state: str = "Completed"
    ) -> None:
        self.runs: list[Run] = []
        self._double, self._volume, self._bench = double, volume, bench
        self._last_state = last_state
        self._seen: set[str] = set()
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> OmeCluster:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for run in self.runs:
            run.stop.set()
        for thread in (self._thread, *self._threads):
            thread.join(_PATIENCE_S)

    def _work(self) -> None:
        while not self._over.is_set():
            for content in self._double.objects("benchmarkjobs"):
                if self._is_new(content):
                    self._start(self._run_job, content)
            for content in self._double.objects("pods"):
                reads = content["spec"]["containers"][0]["name"] == "reader"
                if reads and self._is_new(content):
                    self._start(self._run_reader, content)
                elif "deletionTimestamp" in content["metadata"]:
                    self._end_pod(content)
            with self._double.store.changed:
                self._double.store.changed.wait(0.05)

    def _is_new(self, content: Mapping[str, Any]) -> bool:
        uid = content["metadata"]["uid"]
        new = uid not in self._seen
        self._seen.add(uid)
        return new

    def _start(self, work: Callable[[Object], None], content: Object) -> None:
        def run() -> None:
            try:
                work(content)
            except ApiFault as fault:  # the object was deleted meanwhile
                if fault.code not in (404, 409):
                    raise

        thread = threading.Thread(target=run)
        self._threads.append(thread)
        thread.start()

    def _run_job(self, job: Object) -> None:
        metadata = job["metadata"]
        name, namespace = metadata["name"], metadata["namespace"]
        container = container_of(job)
        made = self._double.add(
            "jobs", {**_owned(job, name, namespace), "spec": {"backoffLimit": 0, "template": {}}}
        )
        spec: Object = {
            "nodeName": "node1",
            "containers": [{"name": "genai-bench", "image": container.image}],
        }
        pod = self._double.add(
            "pods", {**_owned(made, f"{name}-x1y2z", namespace, name), "spec": spec}
        )
        self._double.patch_status("benchmarkjobs", namespace, name, {"state": "Running"})
        title = pod["metadata"]["name"]
        self._pod_status(pod, running(pod, "127.0.0.2", ready=True))
        mounts = [each for each in container.mounts if "subPath" in each]
        folder = self._volume / mounts[0]["subPath"] if mounts else self._volume
        folder.mkdir(parents=True, exist_ok=True)
        run = Run(job, container, folder)
        self.runs.append(run)
        status, log = self._bench(run)
        self._double.set_log(namespace, title, log)
        self._pod_status(pod, over(pod, status))
        ended = {"state": self._last_state}
        if status:
            ended = {"state": "Failed", "failureMessage": "Job has reached the backoff limit"}
        self._double.patch_status("benchmarkjobs", namespace, name, ended)

    def _run_reader(self, pod: Object) -> None:
        container = pod["spec"]["containers"][0]
        (mount,) = container["volumeMounts"]
        shell, flag, script, *words = container["command"]
        place = self._volume / mount["subPath"]
        scratch = self._volume.parent / pod["metadata"]["name"]
        scratch.mkdir()
        script = script.replace("/tmp/", f"{scratch}/")
        script = script.replace(f'"{mount["mountPath"]}', f'"{place}')
        done = subprocess.run([shell, flag, script, *words], capture_output=True, text=True)
        metadata = pod["metadata"]
        self._double.patch("pods", metadata["namespace"], metadata["name"], _ON_A_NODE)
        self._double.set_log(metadata["namespace"], metadata["name"], done.stdout + done.stderr)
        self._pod_status(pod, over(pod, done.returncode))

    def _pod_status(self, pod: Object, status: Object) -> None:
        metadata = pod["metadata"]
        self._double.patch_status("pods", metadata["namespace"], metadata["name"], status)

    def _end_pod(self, pod: Object) -> None:
        for run in self.runs:
            if run.job["metadata"]["name"] == pod["metadata"].get("labels", {}).get("benchmark"):
                run.stop.set()
        try:
            metadata = pod["metadata"]
            self._double.delete("pods", metadata["namespace"], metadata["name"], grace_s=0)
        except ApiFault as fault:
            if fault.code != 404:
                raise


_ON_A_NODE = {"spec": {"nodeName": "node1"}}


def _owned(owner: Object, name: str, namespace: str, benchmark: str | None = None) -> Object:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"benchmark": benchmark or name},
            "ownerReferences": [reference],
        }
    }

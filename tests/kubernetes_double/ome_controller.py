"""OME, the scheduler and the kubelet of a cluster, who do with each server what a script says."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kubernetes_double.answers import ApiFault
from kubernetes_double.double import KubernetesDouble
from kubernetes_double.kubelet import Kubelet, Script
from kubernetes_double.objects import Object
from kubernetes_double.services import NotResolvedError, failed_status, pod_of, status_of

__all__ = ["OmeController", "ome_controller"]

FINALIZER = "inferenceservice.finalizers"
_TICK_S = 0.05
_ENDED_S = 30.0


class OmeController:
    """A thread that looks after InferenceServices, and the pods that this project makes.

    Args:
        script: What happens to a server: ``ready``, ``slow(SECONDS)``, ``blocked``,
            ``invalid_spec``, ``image_pull``, ``unschedulable``, ``crash_loop``, ``oom_killed`` or
            ``never``; or what says so of a pod, or of a service.
        start_command: Whether the command of a container is really run, on loopback.
        deletion_s: For how long a service is still there once its pods are gone.
        port: At which a service's URL points.
    """

    def __init__(
        self,
        double: KubernetesDouble,
        folder: Path,
        script: str | Callable[[Object], str] = "ready",
        *,
        start_command: bool = False,
        deletion_s: float = 0.0,
        port: int = 8000,
    ) -> None:
        self.script = script
        self.faults: list[BaseException] = []
        """What went wrong in the thread, which a test would else never hear of."""
        self._double = double
        self._deletion_s = deletion_s
        self._port = port
        self._kind = double.kind("inferenceservices")
        self._told: dict[str, object] = {}
        self._alone_since: dict[str, float] = {}
        self._kubelet = Kubelet(double, self._script_of, folder, start_command=start_command)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ome-controller", daemon=True)
        self._thread.start()

    @property
    def pids(self) -> list[int]:
        """Of the servers that run."""
        return self._kubelet.pids

    def close(self) -> None:
        """Ends the thread, and every process that it has started."""
        self._over.set()
        self._thread.join(_ENDED_S)
        self._kubelet.close()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                for service in self._double.objects("inferenceservices"):
                    with contextlib.suppress(ApiFault):  # changed meanwhile: next time
                        self._look_at(service)
                self._kubelet.step()
            except Exception as fault:
                self.faults.append(fault)
            self._over.wait(_TICK_S)

    def _script_of(self, found: Object) -> Script:
        return Script.of(self.script if isinstance(self.script, str) else self.script(found))

    def _look_at(self, service: Object) -> None:
        metadata = service["metadata"]
        if "deletionTimestamp" in metadata:
            self._take_down(service)
            return
        place = ("inferenceservices", metadata["namespace"], metadata["name"])
        if FINALIZER not in metadata.get("finalizers", ()):
            finalizers = [*metadata.get("finalizers", ()), FINALIZER]
            self._double.patch(*place, {"metadata": {"finalizers": finalizers}})
        script = self._script_of(service).name
        if script == "invalid_spec":
            message = "the engine's specification is not valid"
            self._fail(service, "InvalidSpec", "InvalidPredictorSpec", message)
            return
        pod = next(iter(self._pods(service)), None)
        if pod is None:
            self._make_pod(service)
        elif script == "blocked" and pod["status"].get("phase") == "Running":
            message = "Failed to load the model: unexpected end of file"
            self._fail(service, "BlockedByFailedLoad", "ModelLoadFailed", message)
        else:
            self._follow(service, pod)

    def _make_pod(self, service: Object) -> None:
        uid = service["metadata"]["uid"]
        try:
            self._double.add("pods", pod_of(self._double, service))
        except NotResolvedError as error:
            if self._told.get(uid) != str(error):
                self._told[uid] = str(error)
                self._double.add_event(service, "Warning", error.reason, str(error))

    def _follow(self, service: Object, pod: Object) -> None:
        conditions = pod["status"].get("conditions") or ()
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        if self._told.get(service["metadata"]["uid"]) != ready:
            self._told[service["metadata"]["uid"]] = ready
            url = f"http://{pod['status'].get('podIP', '')}:{self._port}"
            self._say(service, status_of(service, ready=ready, url=url))

    def _fail(self, service: Object, transition: str, reason: str, message: str) -> None:
        if self._told.get(service["metadata"]["uid"]) != transition:
            self._told[service["metadata"]["uid"]] = transition
            self._say(service, failed_status(transition, reason, message))
            self._double.add_event(service, "Warning", transition, message)

    def _say(self, service: Object, status: Object) -> None:
        place = (self._kind, service["metadata"]["namespace"], service["metadata"]["name"])
        self._double.store.change(*place, lambda now: {**now, "status": status}, status=True)

    def _pods(self, service: Object) -> list[Object]:
        uid = service["metadata"]["uid"]
        pods = self._double.objects("pods", service["metadata"]["namespace"])
        return [
            pod
            for pod in pods
            if any(each["uid"] == uid for each in pod["metadata"].get("ownerReferences", ()))
        ]

    def _take_down(self, service: Object) -> None:
        metadata = service["metadata"]
        pods = self._pods(service)
        for pod in pods:
            if "deletionTimestamp" not in pod["metadata"]:
                self._double.delete("pods", metadata["namespace"], pod["metadata"]["name"])
        if pods:
            return
        alone = self._alone_since.setdefault(metadata["uid"], time.monotonic())
        if time.monotonic() >= alone + self._deletion_s:
            kept = [each for each in metadata.get("finalizers", ()) if each != FINALIZER]
            place = ("inferenceservices", metadata["namespace"], metadata["name"])
            self._double.patch(*place, {"metadata": {"finalizers": kept}})


@contextmanager
def ome_controller(
    double: KubernetesDouble, script: str | Callable[[Object], str] = "ready", **settings: object
) -> Iterator[OmeController]:
    """A controller for as long as the context lasts; raises what went wrong in its thread."""
    with tempfile.TemporaryDirectory() as folder:
        controller = OmeController(double, Path(folder), script, **settings)  # type: ignore[arg-type]
        try:
            yield controller
        finally:
            controller.close()
    if controller.faults:
        raise controller.faults[0]

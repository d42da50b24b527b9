"""Waiting for the end of a BenchmarkJob, and noticing early that there will be none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autotuner.bench.benchmark_job.pods import has_started, last_words, obstacle
from autotuner.kubernetes_api.cluster import Cluster
from autotuner.kubernetes_api.faults import KubernetesError
from autotuner.kubernetes_api.kinds import BENCHMARK_JOB, POD
from autotuner.kubernetes_api.watching import Mirror

__all__ = ["JobFailedError", "Patience", "Progress", "wait_for_end"]

Object = Mapping[str, Any]

_POLL_S = 0.2
_SHOWN_LINES = 15


class JobFailedError(Exception):
    """The level was not loaded to its end; the message says why, for the user."""


@dataclass(frozen=True, slots=True)
class Patience:
    """For how long each step may take, in seconds."""

    run_s: float
    """From the start of the container to the end of the job."""
    unschedulable_s: float
    accept_s: float = 120.0
    """Until OME's controller has made a pod of the job."""
    stuck_s: float = 60.0
    """Of a pod that cannot start, for a reason that seldom passes by itself."""
    start_s: float = 1200.0
    """Until the container starts: images of genai-bench are of gigabytes."""
    silent_s: float = 120.0
    """Of the API."""


@dataclass
class Progress:
    """Judges what is seen of a job, again and again."""

    patience: Patience
    began: float
    """By the clock that ``judge`` gets."""
    started: float | None = None
    """When the container was first seen to run."""
    stuck: float | None = None
    """Since when there is an obstacle to that."""

    def judge(self, job: Object | None, pods: Sequence[Object], now: float) -> bool:
        """Whether the job is completed.

        Args:
            job: The BenchmarkJob; None where there is none any more.
            pods: Those that OME has made for it.
            now: Seconds of a clock.

        Raises:
            JobFailedError: it has failed, or has been given up.
        """
        if job is None:
            raise JobFailedError("the BenchmarkJob was deleted while it ran, by none of ours")
        status = job.get("status", {})
        state = status.get("state")
        if state == "Completed":
            return True
        if state == "Failed":
            raise JobFailedError(_failure(status, pods))
        if any(map(has_started, pods)):
            self.started = now if self.started is None else self.started
            self._look_at_the_clock(state, now)
        else:
            self._look_at_the_start(state, pods, now)
        return False

    def _look_at_the_clock(self, state: object, now: float) -> None:
        limit_s = self.patience.run_s
        if self.started is not None and now - self.started > limit_s:
            raise JobFailedError(
                f"the BenchmarkJob's pod has run for {limit_s:.0f} s, and the job is {state} and "
                "not Completed (timeouts.level_grace_s)"
            )

    def _look_at_the_start(self, state: object, pods: Sequence[Object], now: float) -> None:
        patience, waited_s = self.patience, now - self.began
        if not pods and waited_s > patience.accept_s:
            raise JobFailedError(
                f"OME has made no pod of the BenchmarkJob within {patience.accept_s:.0f} s, and "
                f"calls it {state or 'nothing'}: the log of OME's controller says why; most "
                "likely the claim of bench.benchmark_job.storage is not in this namespace"
            )
        found = next((each for pod in pods if (each := obstacle(pod)) is not None), None)
        if found is None:
            self.stuck = None
        else:
            reason, words = found
            self.stuck = now if self.stuck is None else self.stuck
            unplaced = reason == "Unschedulable"
            limit_s = patience.unschedulable_s if unplaced else patience.stuck_s
            if now - self.stuck > limit_s:
                raise JobFailedError(f"the BenchmarkJob's pod cannot start: {words}")
        if waited_s > patience.start_s:
            raise JobFailedError(
                f"the BenchmarkJob's pod has not started within {patience.start_s:.0f} s"
                + (f": {found[1]}" if found else "")
            )


def wait_for_end(
    cluster: Cluster, name: str, patience: Patience, should_stop: Callable[[], str | None]
) -> None:
    """Wait until the BenchmarkJob of this name is completed.

    Raises:
        JobFailedError: it will not be.
    """
    changed = threading.Condition()
    labels = {"benchmark": name}
    with (
        Mirror(cluster, BENCHMARK_JOB, name=name, changed=changed) as jobs,
        Mirror(cluster, POD, labels=labels, changed=changed) as pods,
    ):
        progress = Progress(patience, time.monotonic())
        while True:
            if (reason := should_stop()) is not None:
                raise JobFailedError(reason)
            for mirror in (jobs, pods):
                if (problem := mirror.problem) is not None:
                    raise JobFailedError(f"the BenchmarkJob cannot be watched: {problem}")
                if mirror.silent_s > patience.silent_s:
                    raise JobFailedError(
                        f"the Kubernetes API at {cluster.server} has not been reached for "
                        f"{mirror.silent_s:.0f} s"
                    )
            try:
                told = jobs.listed and pods.listed
                if told and progress.judge(_only(jobs), pods.objects, time.monotonic()):
                    return
            except JobFailedError as error:
                raise JobFailedError(f"{error}{_logs(cluster, name)}") from None
            jobs.wait(_POLL_S)


def _only(mirror: Mirror) -> Object | None:
    return next(iter(mirror.objects), None)


def _failure(status: Mapping[str, Any], pods: Sequence[Object]) -> str:
    words = [str(status.get("failureMessage") or "").strip()]
    words += [f"its container {ended}" for pod in pods if (ended := last_words(pod)) is not None]
    told = "; ".join(filter(None, words)) or "OME does not say why"
    return f"the BenchmarkJob failed: {told}"


def _logs(cluster: Cluster, name: str) -> str:
    """The end of what genai-bench has written, as far as it can be had."""
    try:
        for pod in cluster.select(POD, labels={"benchmark": name}):
            container = pod["spec"]["containers"][0]["name"]
            title = pod["metadata"]["name"]
            if tail := cluster.log_tail(title, container, lines=_SHOWN_LINES).strip():
                return f"; its last lines:\n{tail}"
    except KubernetesError:
        pass  # it has not started, or is gone
    return ""

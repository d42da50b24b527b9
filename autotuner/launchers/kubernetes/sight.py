"""A server in the cluster as its keeper sees it: where it answers, why not, and how it ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from autotuner.kubernetes_api.cluster import Cluster
from autotuner.kubernetes_api.faults import KubernetesError
from autotuner.kubernetes_api.kinds import INFERENCE_SERVICE, POD
from autotuner.kubernetes_api.ownership import LEASE_LABEL
from autotuner.kubernetes_api.watching import Mirror
from autotuner.launchers.base import LaunchFault
from autotuner.launchers.kubernetes.bringing_up import LaunchFaultError
from autotuner.launchers.kubernetes.ome_state import (
    fault_of_service,
    is_ready,
    obstacle_in_events,
    service_url,
)
from autotuner.launchers.kubernetes.pod_state import (
    Ended,
    Obstacle,
    address,
    ended,
    is_over,
    obstacle,
    started,
)
from autotuner.launchers.kubernetes.refusals import fault_of_refusal
from autotuner.launchers.kubernetes.words import PORT
from autotuner.spec.experiment import FailureKind

__all__ = ["Seen", "Sight"]

_EVENTS_S = 5.0
_POD_TELLS_S = 3.0
"""What OME says in its status, the pod says too, and better."""

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is to know now."""

    pod: Object | None = None
    url: str | None = None
    end: Ended | None = None
    fault: LaunchFault | None = None
    """Why there is no sense in waiting; `end` says more where there is one."""


class Sight:
    """Watches the pods of an attempt, and its service; a context manager that ends that.

    Args:
        container: Name of the server's container.
    """

    def __init__(self, cluster: Cluster, order: Mapping[str, Any], container: str) -> None:
        self._cluster = cluster
        self._name: str = order["name"]
        self._container = container
        self._unschedulable_s: float = order["unschedulable_s"]
        self._changed = threading.Condition()
        self._stack = ExitStack()
        self._service: Mirror | None = None
        self._pods = self._mirror(POD, labels={LEASE_LABEL: order["token"]})
        if order["launcher"] == "ome":
            self._service = self._mirror(INFERENCE_SERVICE, name=self._name)
        self._serving: Object | None = None
        """The pod that answers at the URL."""
        self._since: dict[tuple[str, str], float] = {}
        self._events: list[Object] = []
        self._events_at = -_EVENTS_S

    def __enter__(self) -> Sight:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def events(self) -> list[Object]:
        """Warnings about the attempt's objects, of the time before it serves."""
        return self._events

    def wait(self, timeout_s: float) -> None:
        """Wait for news, or for as long."""
        with self._changed:
            self._changed.wait(timeout_s)

    def look(self) -> Seen:
        """Raises LaunchFaultError where nothing more can be seen."""
        for mirror in filter(None, (self._pods, self._service)):
            if (problem := mirror.problem) is not None:
                kind = INFERENCE_SERVICE if mirror is self._service else POD
                fault = fault_of_refusal(problem, "watch", kind, self._cluster.namespace)
                raise LaunchFaultError(fault)
            if not mirror.listed:
                return Seen()
        if (lost := self._lost_service()) is not None:
            return Seen(fault=lost)
        return self._look_served() if self._serving is not None else self._look_starting()

    def exit_code(self) -> int | None:
        """Exit status of a server that was taken down; None where none was seen."""
        if self._serving is None:
            return None
        last = self._pods.departed(self._serving["metadata"]["uid"])
        end = None if last is None else ended(last, self._container)
        return None if end is None else end.exit_code

    def _look_served(self) -> Seen:
        assert self._serving is not None  # noqa: S101 - for mypy
        uid = self._serving["metadata"]["uid"]
        pods = {pod["metadata"]["uid"]: pod for pod in self._pods.objects}
        pod = pods.pop(uid, None)
        if pod is None:
            message = f"the pod {self._serving['metadata']['name']} was deleted by none of ours"
            return Seen(fault=LaunchFault(FailureKind.SERVER_CRASHED, message))
        end = ended(pod, self._container)
        if end is None and any(not is_over(other) for other in pods.values()):
            names = ", ".join(other["metadata"]["name"] for other in pods.values())
            message = f"the server's pod is being replaced by another one ({names})"
            return Seen(pod, fault=LaunchFault(FailureKind.SERVER_CRASHED, message))
        return Seen(pod, end=end)

    def _look_starting(self) -> Seen:
        pods = self._pods.objects
        living = [pod for pod in pods if not is_over(pod)]
        pod = next(iter(reversed(living or pods)), None)
        if pod is None and self._service is None:
            message = f"the pod {self._name} was deleted by none of ours"
            return Seen(fault=LaunchFault(FailureKind.SERVER_CRASHED, message))
        # A service's first pod may be replaced before anybody was told of it.
        if pod is not None and (end := ended(pod, self._container)) is not None:
            return Seen(pod, end=end)
        if (url := self._url(living)) is not None:
            self._serving = living[0]
            return Seen(living[0], url)
        self._ask_events(pod)
        return Seen(pod, fault=self._in_the_way(pod))

    def _url(self, living: list[dict[str, Any]]) -> str | None:
        if len(living) != 1:
            return None
        if self._service is None:
            # Needs no DNS, and nothing comes between the load and the server.
            host = address(living[0], self._container)
            return None if host is None else f"http://{host}:{PORT}"
        ready = [each for each in self._service.objects if is_ready(each)]
        return service_url(ready[0]) if ready else None

    def _in_the_way(self, pod: Object | None) -> LaunchFault | None:
        """What has been in the way for too long."""
        found = [("service", self._of_service()), ("events", self._of_events(pod))]
        if pod is not None:
            told = obstacle(pod, self._unschedulable_s)
            found.append((str(pod["metadata"]["uid"]), told))
        for where, each in found:
            if each is None:
                continue
            since = self._since.setdefault((where, each.reason), time.monotonic())
            if time.monotonic() - since >= each.patience_s:
                return LaunchFault(each.kind, each.message, self._evidence())
        return None

    def _of_service(self) -> Obstacle | None:
        if self._service is None:
            return None
        faults = [fault_of_service(each) for each in self._service.objects]
        fault = next(iter(faults), None)
        if fault is None:
            return None
        return Obstacle(fault.evidence, fault.kind, fault.message, _POD_TELLS_S)

    def _of_events(self, pod: Object | None) -> Obstacle | None:
        if pod is not None or self._service is None:
            return None
        if (found := obstacle_in_events(self._events, self._unschedulable_s)) is not None:
            return found
        message = (
            f"OME has made no pod for the InferenceService {self._name} within "
            f"{self._unschedulable_s:g} s (unschedulable_s): see that its controller runs"
        )
        return Obstacle("no pod", FailureKind.LAUNCH_FAILED, message, self._unschedulable_s)

    def _lost_service(self) -> LaunchFault | None:
        if self._service is None:
            return None
        found = self._service.objects
        if found and "deletionTimestamp" not in found[0]["metadata"]:
            return None
        message = f"the InferenceService {self._name} was deleted by none of ours"
        return LaunchFault(FailureKind.SERVER_CRASHED, message)

    def _ask_events(self, pod: Object | None) -> None:
        """Read the warnings now and then, until the server has begun to run."""
        if pod is not None and started(pod, self._container):
            return
        if time.monotonic() < self._events_at + _EVENTS_S:
            return
        self._events_at = time.monotonic()
        try:
            warnings = self._cluster.events_of()
        except KubernetesError:
            return  # they say why; what is the matter can be seen without them
        self._events = [
            event
            for event in warnings
            if str((event.get("involvedObject") or {}).get("name")).startswith(self._name)
        ]

    def _evidence(self) -> str:
        return "\n".join(
            f"{event.get('reason')}: {' '.join(str(event.get('message')).split())}"
            for event in self._events[-20:]
        )

    def _mirror(self, kind: Any, **selected: Any) -> Mirror:
        mirror = Mirror(self._cluster, kind, changed=self._changed, **selected)
        return self._stack.enter_context(mirror)

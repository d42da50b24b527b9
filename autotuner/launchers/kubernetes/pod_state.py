"""What a pod's status says of the server in it. Pure: a pod in, facts out."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autotuner.spec.experiment import FailureKind

__all__ = [
    "Ended",
    "Obstacle",
    "address",
    "ended",
    "is_over",
    "obstacle",
    "server_status",
    "started",
]

Object = Mapping[str, Any]

_PULL = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"})
_PULL_S = 30.0
"""The next try of the node may succeed."""
_HOPELESS_PULL = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_NOT_MADE = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_NOT_MADE_S = 20.0
_NO_PROGRAM = frozenset({"StartError", "ContainerCannotRun"})
_REFUSED_BY_NODE = ("OutOf", "UnexpectedAdmissionError", "NodeAffinity", "NodePorts", "Topology")


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a server does not start, which may pass."""

    reason: str
    """One word for all that passes, or does not, together."""
    kind: FailureKind
    message: str
    patience_s: float
    """What lasts longer does not pass."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How the server's container ended."""

    exit_code: int | None
    kind: FailureKind | None
    """None: its exit status and its log say it all."""
    message: str
    restarted: bool = False
    """Whether another one runs in its place."""


def server_status(pod: Object, container: str) -> Object:
    """Of the container of this name; empty before there is one."""
    for status in pod.get("status", {}).get("containerStatuses") or ():
        if status.get("name") == container:
            return dict(status)
    return {}


def started(pod: Object, container: str) -> bool:
    """Whether the container has begun to run, or has even ended: there is a log."""
    status = server_status(pod, container)
    state = status.get("state") or {}
    return "running" in state or "terminated" in state or bool(status.get("restartCount"))


def address(pod: Object, container: str) -> str | None:
    """The pod's address once its container runs, as URLs spell it."""
    found = pod.get("status", {}).get("podIP")
    if not found or "running" not in (server_status(pod, container).get("state") or {}):
        return None
    return f"[{found}]" if ipaddress.ip_address(found).version == 6 else str(found)


def is_over(pod: Object) -> bool:
    """Whether the pod has ended, or is told to."""
    phase = pod.get("status", {}).get("phase")
    return phase in ("Succeeded", "Failed") or "deletionTimestamp" in pod["metadata"]


def ended(pod: Object, container: str) -> Ended | None:
    """How the server ended; None while it lives, or has yet to start."""
    status = server_status(pod, container)
    state, last = status.get("state") or {}, (status.get("lastState") or {})
    now, before = state.get("terminated"), last.get("terminated")
    restarted = bool(status.get("restartCount"))
    if now is not None or before is not None or restarted:
        return _container_end(pod, now or before or {}, restarted=restarted)
    if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return _pod_end(pod)
    if "deletionTimestamp" in pod["metadata"]:
        return Ended(None, FailureKind.SERVER_CRASHED, f"{_name(pod)} {_why_deleted(pod)}")
    return None


def obstacle(pod: Object, unschedulable_s: float) -> Obstacle | None:
    """Why the pod does not start; None where nothing is known to be in the way."""
    if not pod.get("spec", {}).get("nodeName"):
        return _no_node(pod, unschedulable_s)
    for status in _statuses(pod):
        waiting = (status.get("state") or {}).get("waiting") or {}
        reason, told = str(waiting.get("reason")), str(waiting.get("message") or "")
        image = status.get("image")
        if reason in _PULL | _HOPELESS_PULL:
            patience_s = _PULL_S if reason in _PULL else 0.0
            message = (
                f"the node {pod['spec']['nodeName']} cannot pull the image {image} ({reason}): "
                f"{told or 'see its events'}; correct `image`, or set `image_pull_secrets`"
            )
            return Obstacle("ImagePull", FailureKind.LAUNCH_FAILED, message, patience_s)
        if reason in _NOT_MADE:
            message = f"{_name(pod)} cannot be started ({reason}): {told}"
            return Obstacle(reason, FailureKind.LAUNCH_FAILED, message, _NOT_MADE_S)
    return None


def _no_node(pod: Object, unschedulable_s: float) -> Obstacle:
    said = "no scheduler has looked at it"
    for condition in pod.get("status", {}).get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            said = str(condition.get("message") or condition.get("reason"))
    message = (
        f"no node of the Kubernetes cluster took the pod within {unschedulable_s:g} s "
        f"(unschedulable_s): {said}"
    )
    return Obstacle("Unschedulable", FailureKind.UNSCHEDULABLE, message, unschedulable_s)


def _container_end(pod: Object, how: Object, *, restarted: bool) -> Ended:
    code, reason = how.get("exitCode"), how.get("reason")
    told = str(how.get("message") or "").strip()
    if reason == "OOMKilled":
        message = f"the kernel killed the server for want of memory: {_memory(pod)}"
        return Ended(code, FailureKind.OUT_OF_MEMORY_AT_LOAD, message, restarted)
    if reason in _NO_PROGRAM:
        message = f"the image cannot run the server's program ({reason}): {told}"
        return Ended(code, FailureKind.LAUNCH_FAILED, message, restarted)
    if restarted:
        status = f"exit status {code}" if code is not None else "an unknown exit status"
        message = (
            f"the server's container ended with {status} and was started anew by Kubernetes, "
            "with empty caches"
        )
        return Ended(code, FailureKind.SERVER_CRASHED, message, restarted)
    if "deletionTimestamp" in pod["metadata"]:
        message = f"{_name(pod)} {_why_deleted(pod)}"
        return Ended(code, FailureKind.SERVER_CRASHED, message)
    return Ended(code, None, told)


def _pod_end(pod: Object) -> Ended:
    """A pod that has ended and does not say how its container did."""
    status = pod["status"]
    reason, told = str(status.get("reason") or "unknown"), str(status.get("message") or "")
    if reason.startswith(_REFUSED_BY_NODE):
        node = pod["spec"].get("nodeName")
        message = f"the node {node} refused the pod ({reason}): {told}"
        return Ended(None, FailureKind.UNSCHEDULABLE, message)
    message = f"{_name(pod)} was ended by the cluster ({reason}): {told}"
    return Ended(None, FailureKind.SERVER_CRASHED, message)


def _why_deleted(pod: Object) -> str:
    for condition in pod.get("status", {}).get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            why = f"{condition.get('reason')}: {condition.get('message') or 'no message'}"
            return f"was taken from its node by the cluster ({why})"
    return "was deleted while the server ran, by none of ours"


def _memory(pod: Object) -> str:
    (first, *_) = pod["spec"]["containers"]
    limits = (first.get("resources") or {}).get("limits") or {}
    if (most := limits.get("memory")) is not None:
        return f"its pod may take {most} of the node's (requests.memory)"
    return "the node's own is used up"


def _statuses(pod: Object) -> Iterator[Object]:
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _name(pod: Object) -> str:
    return f"the pod {pod['metadata']['name']}"

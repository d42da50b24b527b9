"""What the status of a pod looks like in each state that a pod gets into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubernetes_double.objects import Object, now

__all__ = ["crashing", "over", "running", "unschedulable", "waiting"]


def unschedulable(pod: Object, message: str) -> Object:
    scheduled = _condition("PodScheduled", False, "Unschedulable", message)
    return {"phase": "Pending", "conditions": [scheduled]}


def waiting(pod: Object, reason: str, message: str = "") -> Object:
    """On a node, and not started."""
    state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    return {
        "phase": "Pending",
        "conditions": _conditions(ready=False),
        "containerStatuses": [_container(pod, state)],
    }


def running(pod: Object, address: str, *, ready: bool, restarts: int = 0) -> Object:
    state = {"running": {"startedAt": now()}}
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": "127.0.0.1",
        "startTime": now(),
        "conditions": _conditions(ready=ready),
        "containerStatuses": [
            {**_container(pod, state), "ready": ready, "started": True, "restartCount": restarts}
        ],
    }


def over(pod: Object, exit_status: int, reason: str = "") -> Object:
    """Of a pod that is not started anew."""
    state = {"terminated": _end(exit_status, reason)}
    return {
        "phase": "Failed" if exit_status else "Succeeded",
        "conditions": _conditions(ready=False),
        "containerStatuses": [_container(pod, state)],
    }


def crashing(pod: Object, exit_status: int, reason: str = "", restarts: int = 1) -> Object:
    """Of a pod that is started anew, again and again."""
    name = pod["spec"]["containers"][0]["name"]
    message = f"back-off 10s restarting failed container={name} pod={pod['metadata']['name']}"
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
    last = {"terminated": _end(exit_status, reason)}
    return {
        "phase": "Running",
        "conditions": _conditions(ready=False),
        "containerStatuses": [
            {**_container(pod, state), "lastState": last, "restartCount": restarts}
        ],
    }


def _end(exit_status: int, reason: str) -> Object:
    reason = reason or ("Error" if exit_status else "Completed")
    return {"exitCode": exit_status, "reason": reason, "startedAt": now(), "finishedAt": now()}


def _container(pod: Object, state: Mapping[str, Any]) -> Object:
    container = pod["spec"]["containers"][0]
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "started": False,
        "state": dict(state),
        "lastState": {},
    }


def _conditions(*, ready: bool) -> list[Object]:
    return [
        _condition("PodScheduled", True),
        _condition("Initialized", True),
        _condition("ContainersReady", ready),
        _condition("Ready", ready),
    ]


def _condition(sort: str, holds: bool, reason: str = "", message: str = "") -> Object:
    found = {"type": sort, "status": "True" if holds else "False", "lastTransitionTime": now()}
    return {**found, **({"reason": reason, "message": message} if reason else {})}

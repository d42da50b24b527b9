"""What a pod says of itself, where it does not do what it is for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["has_started", "last_words", "obstacle", "phase"]

Pod = Mapping[str, Any]

_STUCK = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)
"""Reasons for which a container waits that seldom pass by themselves."""
_SHOWN_CHARACTERS = 300


def phase(pod: Pod) -> str:
    """Such as ``Succeeded``."""
    return str(pod.get("status", {}).get("phase") or "Pending")


def has_started(pod: Pod) -> bool:
    """Whether its container runs, or has run."""
    started = any("running" in state or "terminated" in state for state in _states(pod))
    return started or phase(pod) in ("Running", "Succeeded", "Failed")


def obstacle(pod: Pod) -> tuple[str, str] | None:
    """Reason and words for which the pod has not started; None where it needs only time."""
    for state in _states(pod):
        waiting = state.get("waiting") or {}
        if waiting.get("reason") in _STUCK:
            return str(waiting["reason"]), _said(waiting)
    for condition in pod.get("status", {}).get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return "Unschedulable", _said(condition)
    return None


def last_words(pod: Pod) -> str | None:
    """How its container ended, e.g. ``OOMKilled (exit status 137)``; None where it has not."""
    for state in _states(pod):
        if (ended := state.get("terminated")) is not None:
            return f"{ended.get('reason') or 'ended'} (exit status {ended.get('exitCode')})"
    status = pod.get("status", {})
    return _said(status) if phase(pod) == "Failed" and status.get("reason") else None


def _states(pod: Pod) -> Iterator[Mapping[str, Any]]:
    for container in pod.get("status", {}).get("containerStatuses", ()):
        yield container.get("state") or {}


def _said(content: Mapping[str, Any]) -> str:
    words = (content.get("reason"), content.get("message"))
    return ": ".join(str(word) for word in words if word)[:_SHOWN_CHARACTERS]

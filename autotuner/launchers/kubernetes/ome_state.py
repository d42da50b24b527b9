"""What an InferenceService and its events say of the server. Pure: objects in, facts out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from autotuner.launchers.base import LaunchFault
from autotuner.launchers.kubernetes.pod_state import Obstacle
from autotuner.spec.experiment import FailureKind

__all__ = ["fault_of_service", "is_ready", "obstacle_in_events", "service_url"]

Object = Mapping[str, Any]

_BLOCKED = ("BlockedByFailedLoad", "InvalidSpec")
_REFUSALS = {
    "RuntimeSelectionError": FailureKind.LAUNCH_FAILED,
    "RuntimeValidationError": FailureKind.LAUNCH_FAILED,
    "RuntimeFetchError": FailureKind.LAUNCH_FAILED,
    "MergeSpecsError": FailureKind.LAUNCH_FAILED,
    "DeploymentModeError": FailureKind.LAUNCH_FAILED,
    "AcceleratorClassError": FailureKind.LAUNCH_FAILED,
    "ModelReconcileError": FailureKind.MODEL_NOT_FOUND,
}
_REFUSED_S = 10.0
"""OME may not have seen yet what was made a moment before the service, and tries again."""
_OUT_OF_MEMORY = "OOMKilled"


def is_ready(service: Object) -> bool:
    """Whether OME calls the service ready."""
    conditions = (service.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def service_url(service: Object) -> str | None:
    """Where the service answers, without a slash at the end."""
    status = service.get("status") or {}
    found = status.get("url") or (status.get("address") or {}).get("url")
    return str(found).rstrip("/") if found else None


def fault_of_service(service: Object) -> LaunchFault | None:
    """Why there is no sense in waiting for the service, by its own status."""
    state = (service.get("status") or {}).get("modelStatus") or {}
    transition = state.get("transitionStatus")
    target = (state.get("modelRevisionStates") or {}).get("targetModelState")
    if transition not in _BLOCKED and target != "FailedToLoad":
        return None
    info = state.get("lastFailureInfo") or {}
    reason, told = info.get("reason"), str(info.get("message") or "")
    code = info.get("exitCode")
    said = ", ".join(
        str(part)
        for part in (reason, f"exit status {code}" if code is not None else None, told)
        if part
    )
    evidence = f"modelStatus: {transition}, {target}; {said}"
    if _OUT_OF_MEMORY in (reason, told) or _OUT_OF_MEMORY in told:
        message = f"the server was killed for want of memory, as OME says: {said}"
        return LaunchFault(FailureKind.OUT_OF_MEMORY_AT_LOAD, message, evidence)
    if transition == "InvalidSpec":
        message = f"OME refuses the InferenceService (InvalidSpec): {said or 'no reason given'}"
        return LaunchFault(FailureKind.LAUNCH_FAILED, message, evidence)
    message = f"OME says that the model failed to load: {said or 'no reason given'}"
    return LaunchFault(FailureKind.SERVER_CRASHED, message, evidence)


def obstacle_in_events(events: Iterable[Object], unschedulable_s: float) -> Obstacle | None:
    """What keeps a service without a pod from one, by its own events and its pods' makers'."""
    for event in events:
        reason, told = str(event.get("reason")), " ".join(str(event.get("message")).split())
        if reason in _REFUSALS:
            message = f"OME cannot make the server's pod ({reason}): {told}"
            return Obstacle(reason, _REFUSALS[reason], message, _REFUSED_S)
        if reason == "FailedCreate":
            if "exceeded quota" in told:
                message = f"the namespace's quota leaves no room for the server's pod: {told}"
                return Obstacle(reason, FailureKind.UNSCHEDULABLE, message, unschedulable_s)
            message = f"the server's pod cannot be made: {told}"
            return Obstacle(reason, FailureKind.LAUNCH_FAILED, message, _REFUSED_S)
    return None

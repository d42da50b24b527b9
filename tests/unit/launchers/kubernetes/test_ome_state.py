"""What an InferenceService and its events say of the server."""

from __future__ import annotations

import pytest

from autotuner.launchers.kubernetes.ome_state import (
    fault_of_service,
    is_ready,
    obstacle_in_events,
    service_url,
)
from autotuner.spec.experiment import FailureKind


def service(**status):
    return {"metadata": {"name": "s"}, "status": status}


def blocked(transition="BlockedByFailedLoad", **info):
    return service(modelStatus={"transitionStatus": transition, "lastFailureInfo": info})


def event(reason, message="why"):
    return {"reason": reason, "message": message}


def test_ready_is_the_condition_of_that_name():
    assert is_ready(service(conditions=[{"type": "Ready", "status": "True"}]))
    assert not is_ready(service(conditions=[{"type": "Ready", "status": "False"}]))
    assert not is_ready(service(conditions=[{"type": "EngineReady", "status": "True"}]))
    assert not is_ready({"metadata": {"name": "s"}})


def test_the_url_is_the_services_else_its_address():
    assert service_url(service(url="http://a/", address={"url": "http://b"})) == "http://a"
    assert service_url(service(address={"url": "http://b"})) == "http://b"
    assert service_url(service()) is None


def test_a_service_that_is_coming_up_has_no_fault():
    assert fault_of_service(service()) is None
    states = {"activeModelState": "", "targetModelState": "Loading"}
    progress = {"transitionStatus": "InProgress", "modelRevisionStates": states}
    assert fault_of_service(service(modelStatus=progress)) is None


def test_a_load_that_failed_is_a_crash_whose_log_may_know_better():
    fault = fault_of_service(blocked(reason="ModelLoadFailed", message="bad file", exitCode=1))
    assert fault.kind is FailureKind.SERVER_CRASHED
    assert "ModelLoadFailed, exit status 1, bad file" in fault.message


def test_a_target_that_failed_counts_whatever_the_transition_says():
    states = {"targetModelState": "FailedToLoad"}
    told = service(modelStatus={"transitionStatus": "InProgress", "modelRevisionStates": states})
    assert fault_of_service(told).kind is FailureKind.SERVER_CRASHED


def test_want_of_memory_and_specs_that_ome_refuses_have_kinds_of_their_own():
    fault = fault_of_service(blocked(reason="OOMKilled", exitCode=137))
    assert fault.kind is FailureKind.OUT_OF_MEMORY_AT_LOAD
    fault = fault_of_service(blocked("InvalidSpec", reason="RuntimeDisabled"))
    assert fault.kind is FailureKind.LAUNCH_FAILED
    assert "RuntimeDisabled" in fault.message


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("RuntimeSelectionError", FailureKind.LAUNCH_FAILED),
        ("RuntimeValidationError", FailureKind.LAUNCH_FAILED),
        ("ModelReconcileError", FailureKind.MODEL_NOT_FOUND),
    ],
)
def test_what_ome_says_in_events_only_is_heard(reason, kind):
    found = obstacle_in_events([event("Unhealthy"), event(reason, "no match")], 300.0)
    assert found.kind is kind
    assert "no match" in found.message
    assert found.patience_s > 0  # it may not have seen yet what was made a moment before


def test_a_quota_without_room_waits_as_long_as_for_a_node():
    found = obstacle_in_events([event("FailedCreate", "forbidden: exceeded quota: gpus")], 33.0)
    assert (found.kind, found.patience_s) == (FailureKind.UNSCHEDULABLE, 33.0)
    found = obstacle_in_events([event("FailedCreate", "violates PodSecurity")], 33.0)
    assert found.kind is FailureKind.LAUNCH_FAILED


def test_other_warnings_are_no_reason():
    assert obstacle_in_events([event("Unhealthy"), event("FailedMount")], 300.0) is None

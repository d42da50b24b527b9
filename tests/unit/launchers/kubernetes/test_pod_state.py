"""What a pod's status says of the server in it."""

from __future__ import annotations

import pytest

from autotuner.launchers.kubernetes.pod_state import (
    address,
    ended,
    is_over,
    obstacle,
    server_status,
    started,
)
from autotuner.spec.experiment import FailureKind

NAME = "server"


def pod(state=None, *, last=None, restarts=0, node="n1", phase="Running", meta=None, **status):
    content = {"phase": phase, **status}
    if state is not None or restarts:
        content["containerStatuses"] = [
            {
                "name": NAME,
                "image": "img:1",
                "restartCount": restarts,
                "state": state or {},
                "lastState": last or {},
            }
        ]
    spec = {"containers": [{"name": NAME, "resources": {"limits": {"memory": "8Gi"}}}]}
    if node:
        spec["nodeName"] = node
    return {"metadata": {"name": "p", **(meta or {})}, "spec": spec, "status": content}


def waiting(reason, message="why"):
    return {"waiting": {"reason": reason, "message": message}}


def terminated(code, reason="Error", **more):
    return {"terminated": {"exitCode": code, "reason": reason, **more}}


def test_a_running_server_has_an_address_and_no_end():
    found = pod({"running": {}}, podIP="10.0.0.1")
    assert address(found, NAME) == "10.0.0.1"
    assert address(pod({"running": {}}, podIP="fd00::1"), NAME) == "[fd00::1]"
    assert ended(found, NAME) is None
    assert obstacle(found, 300.0) is None
    assert started(found, NAME)
    assert not is_over(found)


def test_before_its_container_runs_there_is_no_address():
    found = pod(waiting("ContainerCreating"), podIP="10.0.0.1")
    assert address(found, NAME) is None
    assert not started(found, NAME)
    assert obstacle(found, 300.0) is None
    assert server_status(pod(), NAME) == {}


def test_an_exit_status_says_it_all():
    end = ended(pod(terminated(3)), NAME)
    assert (end.exit_code, end.kind, end.restarted) == (3, None, False)


def test_want_of_memory_is_told_with_the_limit():
    end = ended(pod(terminated(137, "OOMKilled")), NAME)
    assert end.kind is FailureKind.OUT_OF_MEMORY_AT_LOAD
    assert "8Gi" in end.message
    end = ended(
        pod(waiting("CrashLoopBackOff"), last=terminated(137, "OOMKilled"), restarts=2), NAME
    )
    assert end.kind is FailureKind.OUT_OF_MEMORY_AT_LOAD


def test_a_restart_is_a_crash_though_the_server_answers_again():
    end = ended(pod({"running": {}}, last=terminated(1), restarts=1), NAME)
    assert (end.exit_code, end.kind, end.restarted) == (1, FailureKind.SERVER_CRASHED, True)
    assert "started anew" in end.message


def test_a_program_that_the_image_lacks_is_no_crash():
    end = ended(pod(terminated(128, "StartError", message="exec: no such file")), NAME)
    assert end.kind is FailureKind.LAUNCH_FAILED
    assert "no such file" in end.message


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("Evicted", FailureKind.SERVER_CRASHED),
        ("NodeLost", FailureKind.SERVER_CRASHED),
        ("OutOfnvidia.com/gpu", FailureKind.UNSCHEDULABLE),
        ("UnexpectedAdmissionError", FailureKind.UNSCHEDULABLE),
    ],
)
def test_a_pod_that_its_node_ends_or_refuses_says_why(reason, kind):
    end = ended(pod(phase="Failed", reason=reason, message="words"), NAME)
    assert end.kind is kind
    assert reason in end.message
    assert "words" in end.message


def test_a_pod_that_is_deleted_under_the_server_is_lost():
    gone = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert "by none of ours" in ended(pod({"running": {}}, meta=gone), NAME).message
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    end = ended(pod({"running": {}}, meta=gone, conditions=[condition]), NAME)
    assert "PreemptionByScheduler" in end.message
    assert end.kind is FailureKind.SERVER_CRASHED


def test_a_pod_without_a_node_waits_for_the_scheduler_whose_words_are_told():
    condition = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    found = obstacle(pod(node=None, phase="Pending", conditions=[condition]), 30.0)
    assert (found.kind, found.patience_s) == (FailureKind.UNSCHEDULABLE, 30.0)
    assert "0/3 nodes are available" in found.message
    found = obstacle(pod(node=None, phase="Pending"), 30.0)
    assert "no scheduler" in found.message


def test_an_image_that_cannot_be_pulled_is_tried_again_unless_its_name_is_none():
    tries = [
        obstacle(pod(waiting(reason), phase="Pending"), 30.0)
        for reason in ("ErrImagePull", "ImagePullBackOff")
    ]
    assert len({each.reason for each in tries}) == 1  # they take turns
    assert all(each.patience_s > 0 for each in tries)
    assert "img:1" in tries[0].message
    assert obstacle(pod(waiting("InvalidImageName"), phase="Pending"), 30.0).patience_s == 0


def test_a_container_that_cannot_be_made_is_told_with_the_reason():
    message = 'secret "hub-token" not found'
    found = obstacle(pod(waiting("CreateContainerConfigError", message), phase="Pending"), 30.0)
    assert found.kind is FailureKind.LAUNCH_FAILED
    assert message in found.message

from __future__ import annotations

from typing import Any

import pytest

from autotuner.bench.benchmark_job.pods import has_started, last_words, obstacle, phase


def pod(state: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    if state is not None:
        status["containerStatuses"] = [{"name": "genai-bench", "state": state}]
    return {"status": status}


def test_a_pod_without_a_status_is_pending() -> None:
    assert (phase({}), has_started({}), obstacle({}), last_words({})) == (
        "Pending",
        False,
        None,
        None,
    )


@pytest.mark.parametrize(
    "started", [pod({"running": {}}), pod({"terminated": {}}), pod(phase="Succeeded")]
)
def test_a_pod_has_started_once_its_container_ran(started: dict[str, Any]) -> None:
    assert has_started(started)


def test_a_pod_that_pulls_its_image_only_needs_time() -> None:
    assert obstacle(pod({"waiting": {"reason": "ContainerCreating"}})) is None


def test_a_container_that_cannot_start_says_why() -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    assert obstacle(pod({"waiting": waiting})) == (
        "ImagePullBackOff",
        "ImagePullBackOff: no such image",
    )


def test_a_pod_that_no_node_takes_says_why() -> None:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes",
    }
    assert obstacle(pod(conditions=[condition])) == ("Unschedulable", "Unschedulable: 0/3 nodes")


def test_the_end_of_a_container_is_told_with_its_status() -> None:
    ended = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    assert last_words(pod(ended)) == "OOMKilled (exit status 137)"


def test_a_pod_that_was_evicted_says_so() -> None:
    assert last_words(pod(phase="Failed", reason="Evicted", message="low on memory")) == (
        "Evicted: low on memory"
    )

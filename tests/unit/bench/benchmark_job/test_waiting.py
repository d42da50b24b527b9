from __future__ import annotations

from typing import Any

import pytest

from autotuner.bench.benchmark_job.waiting import JobFailedError, Patience, Progress

PATIENCE = Patience(run_s=100.0, unschedulable_s=300.0)
RUNS = {"status": {"phase": "Running"}}
PULLS = {"status": {"phase": "Pending"}}


def job(state: str | None = None, **status: Any) -> dict[str, Any]:
    return {"status": {**({"state": state} if state else {}), **status}}


def waits(reason: str) -> dict[str, Any]:
    waiting = {"reason": reason, "message": "because"}
    return {"status": {"containerStatuses": [{"state": {"waiting": waiting}}]}}


def unplaced() -> dict[str, Any]:
    return {"status": {"conditions": [{"type": "PodScheduled", "status": "False"}]}}


@pytest.fixture
def progress() -> Progress:
    return Progress(PATIENCE, began=0.0)


def test_a_job_ends_where_ome_calls_it_completed(progress: Progress) -> None:
    assert not progress.judge(job(), [], 1.0)
    assert not progress.judge(job("Pending"), [], 1.0)
    assert not progress.judge(job("Running"), [RUNS], 2.0)
    assert progress.judge(job("Completed"), [], 3.0)


def test_a_failed_job_says_what_ome_and_its_container_say(progress: Progress) -> None:
    ended = {"terminated": {"reason": "Error", "exitCode": 1}}
    pod = {"status": {"containerStatuses": [{"state": ended}]}}
    with pytest.raises(JobFailedError, match=r"too often; its container Error \(exit status 1\)"):
        progress.judge(job("Failed", failureMessage="too often"), [pod], 1.0)


def test_a_failed_job_may_say_nothing(progress: Progress) -> None:
    with pytest.raises(JobFailedError, match="OME does not say why"):
        progress.judge(job("Failed"), [], 1.0)


def test_a_job_that_is_gone_was_deleted(progress: Progress) -> None:
    with pytest.raises(JobFailedError, match="deleted"):
        progress.judge(None, [RUNS], 1.0)


@pytest.mark.parametrize("state", ["Complete", "Succeeded", "Done"])
def test_no_other_word_is_an_end(progress: Progress, state: str) -> None:
    assert not progress.judge(job(state), [RUNS], 1.0)
    with pytest.raises(JobFailedError, match=f"is {state} and not Completed"):
        progress.judge(job(state), [RUNS], 102.0)


def test_the_time_to_run_begins_with_the_container(progress: Progress) -> None:
    assert not progress.judge(job("Running"), [PULLS], 900.0)
    assert not progress.judge(job("Running"), [RUNS], 950.0)
    assert not progress.judge(job("Running"), [RUNS], 1049.0)
    with pytest.raises(JobFailedError, match="level_grace_s"):
        progress.judge(job("Running"), [RUNS], 1051.0)


def test_a_job_that_ome_makes_no_pod_of_is_given_up(progress: Progress) -> None:
    assert not progress.judge(job("Pending"), [], 119.0)
    with pytest.raises(JobFailedError, match="made no pod"):
        progress.judge(job("Pending"), [], 121.0)


def test_an_image_may_take_its_time_but_not_for_ever(progress: Progress) -> None:
    assert not progress.judge(job("Running"), [PULLS], 1199.0)
    with pytest.raises(JobFailedError, match="has not started"):
        progress.judge(job("Running"), [PULLS], 1201.0)


def test_an_image_that_is_not_there_is_noticed_earlier(progress: Progress) -> None:
    assert not progress.judge(job("Running"), [waits("ErrImagePull")], 100.0)
    assert not progress.judge(job("Running"), [waits("ImagePullBackOff")], 159.0)
    with pytest.raises(JobFailedError, match="ImagePullBackOff: because"):
        progress.judge(job("Running"), [waits("ImagePullBackOff")], 161.0)


def test_an_obstacle_that_passes_is_forgotten(progress: Progress) -> None:
    assert not progress.judge(job("Running"), [waits("ErrImagePull")], 100.0)
    assert not progress.judge(job("Running"), [PULLS], 150.0)
    assert not progress.judge(job("Running"), [waits("ErrImagePull")], 161.0)


def test_a_pod_that_no_node_takes_waits_as_long_as_the_servers(progress: Progress) -> None:
    assert not progress.judge(job("Running"), [unplaced()], 10.0)
    assert not progress.judge(job("Running"), [unplaced()], 309.0)
    with pytest.raises(JobFailedError, match="cannot start"):
        progress.judge(job("Running"), [unplaced()], 311.0)

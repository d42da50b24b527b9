"""Results in the first autotuner's layout: its names and its arithmetic, and strict JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotuner.errors import OutputError
from autotuner.results.level_rows import skipped
from autotuner.results.load import load_results
from autotuner.results.seed_json import seed_json, write_seed_json
from autotuner.results.store import ResultStore
from autotuner.results.study_record import StudyRecord
from autotuner.spec.experiment import Attempt, Experiment, Failed, FailureKind, Phase
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Constraint, Direction, Objective, Over, Penalty

CRASHED = Failed(FailureKind.SERVER_CRASHED, Phase.LOAD, "the server ended")
LATENCY = Objective(
    "minimize_latency", "e2e_latency_s", Direction.MINIMIZE, "mean", over=Over.SEED_MEAN
)

Writer = Callable[..., Attempt]


@pytest.fixture
def exported(
    tmp_path: Path, study: StudyRecord, experiments: tuple[Experiment, ...], write_attempt: Writer
) -> Callable[..., dict[str, Any]]:
    """Export a study of which the first takes 2 s a request, the second fails, the third 1 s."""

    def export(judging: Judging) -> dict[str, Any]:
        store = ResultStore.create(tmp_path / "results", replace(study, judging=judging))
        write_attempt(store, experiments[0], latency_s=2.0)
        write_attempt(store, experiments[1], levels=experiments[1].levels[:1], outcome=CRASHED)
        write_attempt(store, experiments[2], latency_s=1.0)
        target = tmp_path / "old.json"
        write_seed_json(load_results(store.paths.root), target)
        content: dict[str, Any] = json.loads(target.read_text(), parse_constant=pytest.fail)
        return content

    return export


def test_the_layout_is_the_old_one(exported: Callable[..., dict[str, Any]]) -> None:
    content = exported(Judging(LATENCY))
    assert content["task_name"] == "tiny"
    assert (content["total_experiments"], content["successful_experiments"]) == (3, 2)
    assert [e["experiment_id"] for e in content["all_results"]] == [1, 2, 3]
    assert [e["status"] for e in content["all_results"]] == ["success", "failed", "success"]
    assert content["all_results"][0]["parameters"] == {"max-num-seqs": 8}
    assert content["best_result"] == content["all_results"][2]


def test_a_failed_experiment_has_no_score_and_no_numbers(
    exported: Callable[..., dict[str, Any]],
) -> None:
    failed = exported(Judging(LATENCY))["all_results"][1]
    assert failed["objective_score"] is None
    assert failed["metrics"] is None
    assert "the server ended" in failed["error_message"]


def test_metrics_are_plain_means_over_the_levels(
    exported: Callable[..., dict[str, Any]],
) -> None:
    metrics = exported(Judging(LATENCY))["best_result"]["metrics"]
    assert metrics["mean_e2e_latency"] == metrics["p99_e2e_latency"] == pytest.approx(1.0)
    assert metrics["min_e2e_latency"] == metrics["max_e2e_latency"] == pytest.approx(1.0)
    assert metrics["mean_ttft"] == pytest.approx(0.1)
    assert metrics["mean_tpot"] == pytest.approx(0.1)
    assert metrics["mean_output_throughput"] == pytest.approx(10.0)
    assert metrics["max_total_throughput"] == pytest.approx(110.0)
    assert metrics["total_requests"] == metrics["total_completed_requests"] == 8
    assert (metrics["total_error_requests"], metrics["success_rate"]) == (0, 1.0)
    assert metrics["concurrency_levels"] == [1, 16]
    assert metrics["num_result_files"] == len(metrics["raw_results"]) == 2
    assert metrics["raw_results"][0]["stats"]["ttft"]["p90"] == pytest.approx(0.1)


def test_the_lower_score_is_the_better_one_whatever_the_objective(
    exported: Callable[..., dict[str, Any]],
) -> None:
    throughput = Objective(
        "maximize_throughput", "total_throughput_tok_s", Direction.MAXIMIZE, over=Over.SEED_MEAN
    )
    content = exported(Judging(throughput))
    scores = {e["experiment_id"]: e["objective_score"] for e in content["all_results"]}
    assert scores == {1: pytest.approx(-55.0), 2: None, 3: pytest.approx(-110.0)}
    assert content["best_result"]["experiment_id"] == 3


def test_a_soft_limit_raises_the_score(exported: Callable[..., dict[str, Any]]) -> None:
    soft = Constraint("e2e_latency_s", "mean", 1.0, penalty=Penalty(weight=1.0, steepness=1.0))
    slow, _, fast = exported(Judging(LATENCY, (soft,)))["all_results"]
    assert fast["objective_score"] == pytest.approx(1.0)
    assert slow["objective_score"] > slow["autotuner"]["value"] == pytest.approx(2.0)


def test_what_the_old_layout_cannot_say_stands_apart(
    exported: Callable[..., dict[str, Any]],
) -> None:
    content = exported(Judging(LATENCY))
    assert content["autotuner"]["study_id"] == "study1"
    assert content["autotuner"]["verdict"] == "not_enough_evidence"
    assert "not enough evidence" in content["autotuner"]["verdict_in_words"]
    assert content["best_result"]["autotuner"]["experiment_id"] == "exp2"
    assert content["best_result"]["autotuner"]["servers"] == 1


def test_what_has_not_ended_is_left_out_and_counted(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Writer
) -> None:
    write_attempt(store, experiments[0], levels=experiments[0].levels[:1], outcome=None)
    content = seed_json(load_results(store.paths.root))
    assert (content["total_experiments"], content["all_results"]) == (0, [])
    assert content["best_result"] is None
    assert content["elapsed_time"] is None
    assert json.loads(json.dumps(content))["autotuner"]["pending_experiments"] == 3


def test_a_file_that_cannot_be_written_is_the_users_mistake(
    store: ResultStore, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_seed_json(load_results(store.paths.root), tmp_path / "no" / "such" / "folder.json")


def test_levels_that_were_skipped_enter_no_mean(
    tmp_path: Path, study: StudyRecord, experiments: tuple[Experiment, ...], write_attempt: Writer
) -> None:
    best = replace(LATENCY, over=Over.BEST, concurrency=None)
    store = ResultStore.create(tmp_path / "some", replace(study, judging=Judging(best)))
    low, high = experiments[0].levels
    attempt = write_attempt(store, experiments[0], levels=[low])
    store.write_level(attempt, skipped(high, attempt, "too slow"))
    content: dict[str, Any] = seed_json(load_results(store.paths.root))
    (found,) = content["all_results"]
    assert found["metrics"]["concurrency_levels"] == [1]
    assert found["metrics"]["mean_e2e_latency"] == pytest.approx(1.0)

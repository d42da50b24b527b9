from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autotuner.errors import OutputError
from autotuner.results.load import load_results
from autotuner.results.score import EntryStatus
from autotuner.results.store import ResultStore
from autotuner.results.study_record import StudyRecord
from autotuner.spec.experiment import Attempt, Experiment, Failed, FailureKind, Phase

CRASHED = Failed(FailureKind.SERVER_CRASHED, Phase.LOAD, "the server ended")

Writer = Callable[..., Attempt]


def test_a_study_without_rows_loads_with_all_columns_and_everything_pending(
    store: ResultStore, study: StudyRecord
) -> None:
    results = load_results(store.paths.root)
    assert results.study == study
    for frame in (results.levels, results.requests, results.experiments):
        assert len(frame) == 0
        assert {"experiment_id", "param_max_num_seqs", "label"} <= set(frame.columns)
    ranking = results.ranking()
    assert ranking.winner is None
    assert [entry.status for entry in ranking.entries] == [EntryStatus.PENDING] * 3


def test_levels_and_requests_carry_parameters_and_label(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Writer
) -> None:
    for experiment in experiments:
        write_attempt(store, experiment)
    results = load_results(store.paths.root)
    assert len(results.levels) == 6
    assert len(results.requests) == 24
    for frame in (results.levels, results.requests):
        pairs = set(zip(frame["param_max_num_seqs"], frame["label"], strict=True))
        assert pairs == {(n, f"max-num-seqs={n}") for n in (8, 16, 32)}
    assert results.experiments["param_max_num_seqs"].tolist() == [8, 16, 32]


def test_a_running_study_shows_the_rows_so_far(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Writer
) -> None:
    write_attempt(store, experiments[0], latency_s=2.0)
    write_attempt(store, experiments[1], levels=experiments[1].levels[:1], outcome=None)
    results = load_results(store.paths.root)
    assert len(results.levels) == 3
    ranking = results.ranking()
    assert [(e.experiment_id, e.rank) for e in ranking.entries] == [
        ("exp0", 1),
        ("exp1", None),
        ("exp2", None),
    ]
    assert [e.score.reason for e in ranking.pending] == [
        "running or interrupted: 1 of 2 levels stored",
        "not started",
    ]


def test_levels_of_an_attempt_without_a_row_are_readable(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Writer
) -> None:
    write_attempt(store, experiments[2], outcome=None)
    results = load_results(store.paths.root)
    assert results.levels["param_max_num_seqs"].tolist() == [32, 32]
    assert len(results.requests) == 8
    assert len(results.experiments) == 0


def test_the_completed_attempt_stands_for_its_experiment(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Writer
) -> None:
    write_attempt(store, experiments[0], number=1, outcome=CRASHED, latency_s=0.1)
    write_attempt(store, experiments[0], number=2, latency_s=2.0)
    write_attempt(store, experiments[0], number=3, outcome=CRASHED, latency_s=0.1)
    results = load_results(store.paths.root)
    assert results.chosen == {"exp0": "exp0-a2"}
    for frame in (results.levels, results.requests, results.experiments):
        assert set(frame["attempt_id"]) == {"exp0-a2"}
    winner = results.ranking().winner
    assert winner is not None
    assert winner.score.value == pytest.approx(10 / 2.0)


def test_without_a_completed_attempt_the_latest_stands_for_its_experiment(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Writer
) -> None:
    write_attempt(store, experiments[0], number=9, outcome=CRASHED)
    write_attempt(store, experiments[0], number=10, outcome=None)
    results = load_results(store.paths.root)
    assert results.chosen == {"exp0": "exp0-a10"}
    assert results.ranking().entries[0].status is EntryStatus.PENDING


def test_all_attempts_are_there_on_request_and_do_not_change_the_ranking(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Writer
) -> None:
    write_attempt(store, experiments[0], number=1, outcome=CRASHED, latency_s=0.1)
    write_attempt(store, experiments[0], number=2, latency_s=2.0)
    everything = load_results(store.paths.root, all_attempts=True)
    for frame in (everything.levels, everything.requests, everything.experiments):
        assert set(frame["attempt_id"]) == {"exp0-a1", "exp0-a2"}
    assert everything.ranking() == load_results(store.paths.root).ranking()


def test_a_failed_attempt_is_infeasible_with_kind_and_message(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Writer
) -> None:
    write_attempt(store, experiments[0], outcome=CRASHED)
    entry = load_results(store.paths.root).ranking().entries[0]
    assert entry.status is EntryStatus.INFEASIBLE
    assert entry.score.reason == "failed: server_crashed: the server ended"


def test_a_folder_that_is_no_study_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no results folder"):
        load_results(tmp_path / "absent")
    with pytest.raises(OutputError, match="holds no study"):
        load_results(tmp_path)


def test_an_attempt_of_an_experiment_that_is_not_in_the_study_is_named(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Callable[..., Attempt]
) -> None:
    write_attempt(store, replace(experiments[0], id="stranger"))
    with pytest.raises(OutputError, match="holds the attempt stranger-a1, whose experiment is not"):
        load_results(store.paths.root)

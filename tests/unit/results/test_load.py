from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autotuner.errors import OutputError
from autotuner.results.level_rows import skipped
from autotuner.results.load import load_results
from autotuner.results.quality.inspected import Inspected
from autotuner.results.score import EntryStatus
from autotuner.results.store import ResultStore
from autotuner.results.study_record import StudyRecord
from autotuner.spec.experiment import Attempt, Experiment, Failed, FailureKind, Phase, Pruned
from autotuner.spec.judging import Condition, RequestSlo
from autotuner.spec.objective import Direction, Objective, Over
from autotuner.spec.workload import Level

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


def test_a_completed_attempt_stands_for_its_experiment(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Writer
) -> None:
    write_attempt(store, experiments[0], number=1, outcome=CRASHED, latency_s=0.1)
    write_attempt(store, experiments[0], number=2, latency_s=2.0)
    write_attempt(store, experiments[0], number=3, outcome=CRASHED, latency_s=0.1)
    results = load_results(store.paths.root)
    assert results.chosen == {"exp0": ("exp0-a2",)}
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
    assert results.chosen == {"exp0": ("exp0-a10",)}
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


def test_all_completed_attempts_count_oldest_first(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Writer
) -> None:
    for number in (10, 9, 1):
        write_attempt(store, experiments[0], number=number, latency_s=float(number))
    write_attempt(store, experiments[0], number=11, outcome=CRASHED, latency_s=0.1)
    results = load_results(store.paths.root)
    assert results.chosen == {"exp0": ("exp0-a1", "exp0-a9", "exp0-a10")}
    for frame in (results.levels, results.requests, results.experiments):
        assert set(frame["attempt_id"]) == set(results.chosen["exp0"])
    assert set(results.attempts["attempt_id"]) == {*results.chosen["exp0"], "exp0-a11"}
    (entry,) = results.ranking().feasible
    assert entry.servers == 3
    assert entry.score.samples == pytest.approx((10 / 1.0, 10 / 9.0, 10 / 10.0))
    # One long measurement: all tokens over all seconds.
    assert entry.score.value == pytest.approx(3 * 40 / (4 * (1 + 9 + 10)))


def test_pooled_levels_have_one_row_per_experiment_and_level(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Writer
) -> None:
    write_attempt(store, experiments[1])
    for number in (1, 2):
        write_attempt(store, experiments[0], number=number, latency_s=float(number))
    pooled = load_results(store.paths.root).pooled_levels
    keys = ["experiment_id", "concurrency", "measurements"]
    assert pooled[keys].to_numpy().tolist() == [
        ["exp0", 1, 2],
        ["exp0", 16, 2],
        ["exp1", 1, 1],
        ["exp1", 16, 1],
    ]
    assert pooled["param_max_num_seqs"].tolist() == [8, 8, 16, 16]
    assert pooled["e2e_latency_s_count"].tolist() == [8, 8, 4, 4]
    assert pooled["e2e_latency_s_p50"].tolist() == pytest.approx([1.5, 1.5, 1.0, 1.0])
    assert not pooled["is_baseline"].any()
    assert "attempt_id" not in pooled.columns


def test_repeats_on_one_server_are_one_sample(
    repeated_store: ResultStore, repeated: tuple[Experiment, ...], write_attempt: Writer
) -> None:
    for number, latency_s in ((1, 1.0), (2, 2.0)):
        write_attempt(repeated_store, repeated[0], number=number, latency_s=latency_s)
    results = load_results(repeated_store.paths.root)
    assert results.pooled_levels["measurements"].tolist() == [6, 6]
    (entry,) = results.ranking().feasible
    assert entry.score.samples == pytest.approx((10.0, 5.0))


def test_a_lost_repeat_is_a_lost_level(
    repeated_store: ResultStore, repeated: tuple[Experiment, ...], write_attempt: Writer
) -> None:
    write_attempt(repeated_store, repeated[0], levels=repeated[0].levels[:-1])
    entry = load_results(repeated_store.paths.root).ranking().entries[0]
    assert entry.status is EntryStatus.INFEASIBLE
    assert entry.score.reason == "level chat D(100,100) c=16 has no result"


def test_request_rows_are_read_only_where_a_latency_of_several_measurements_is_asked_for(
    store: ResultStore,
    study: StudyRecord,
    experiments: tuple[Experiment, ...],
    write_attempt: Writer,
) -> None:
    for number in (1, 2):
        write_attempt(store, experiments[0], number=number)
    write_attempt(store, experiments[1])
    for path in store.paths.requests.glob("*.parquet"):
        path.unlink()
    assert len(load_results(store.paths.root).ranking().feasible) == 2
    latency = Objective("latency", "e2e_latency_s", Direction.MINIMIZE, "p50", over=Over.WORST)
    judging = replace(study.judging, objective=latency)
    ResultStore.create(store.paths.root, replace(study, judging=judging))
    with pytest.raises(OutputError, match=r"exp0-a1-00\.parquet cannot be read"):
        load_results(store.paths.root).ranking()


def test_what_another_engine_version_measured_is_not_compared_unless_told_to(
    store: ResultStore,
    study: StudyRecord,
    experiments: tuple[Experiment, ...],
    write_attempt: Writer,
) -> None:
    write_attempt(store, experiments[0], engine_version="0.6")
    write_attempt(store, experiments[1], engine_version="0.7", latency_s=0.1)
    write_attempt(store, experiments[2], engine_version="0.6")
    write_attempt(store, experiments[2], number=2, engine_version="0.7", latency_s=0.1)
    results = load_results(store.paths.root)
    assert results.chosen["exp2"] == ("exp2-a1", "exp2-a2")
    assert results.compared["exp2"] == ("exp2-a1",)
    apart = results.ranking().entries[2]
    assert (apart.experiment_id, apart.status) == ("exp1", EntryStatus.NOT_COMPARABLE)
    assert "engine_version is 0.7, that of the others 0.6" in apart.score.reason
    assert "`compare_across: [engine_version]`" in apart.score.reason
    (last,) = [e for e in results.ranking().feasible if e.experiment_id == "exp2"]
    assert (last.servers, last.score.value) == (1, pytest.approx(10.0))

    judging = replace(study.judging, compare_across=frozenset({Condition.ENGINE_VERSION}))
    ResultStore.create(store.paths.root, replace(study, judging=judging))
    assert len(load_results(store.paths.root).ranking().feasible) == 3


def test_goodput_and_price_are_those_of_the_study_as_it_is_now(
    store: ResultStore,
    study: StudyRecord,
    experiments: tuple[Experiment, ...],
    write_attempt: Writer,
) -> None:
    write_attempt(store, experiments[0], latency_s=1.0)
    write_attempt(store, experiments[1], latency_s=8.0)
    before = load_results(store.paths.root).levels
    assert before["goodput_share"].isna().all()
    assert before["output_tokens_per_usd"].isna().all()
    judging = replace(
        study.judging, request_slos=(RequestSlo("ttft_s", 0.5),), usd_per_gpu_hour=2.0
    )
    ResultStore.create(store.paths.root, replace(study, judging=judging))
    results = load_results(store.paths.root)
    assert set(results.levels["request_slos"]) == {"ttft_s<=0.5"}
    assert results.levels["goodput_share"].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert results.levels["output_tokens_per_usd"].tolist() == pytest.approx(
        [10 * 1800, 10 * 1800, 1.25 * 1800, 1.25 * 1800]
    )
    assert results.pooled_levels["goodput_requests"].tolist() == [4, 4, 0, 0]


def skip(store: ResultStore, attempt: Attempt, *levels: Level, reason: str = "too slow") -> None:
    for level in levels:
        store.write_level(attempt, skipped(level, attempt, reason))


@pytest.fixture
def best_counts(store: ResultStore, study: StudyRecord) -> ResultStore:
    """A store of the same study, but that each experiment's best level counts."""
    objective = replace(study.judging.objective, over=Over.BEST)
    judging = replace(study.judging, objective=objective)
    return ResultStore.create(store.paths.root, replace(study, judging=judging))


def test_an_experiment_may_skip_levels_where_the_best_counts(
    best_counts: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Writer
) -> None:
    low, high = experiments[0].levels
    skip(best_counts, write_attempt(best_counts, experiments[0], levels=[low]), high)
    results = load_results(best_counts.paths.root)
    (entry,) = results.ranking().feasible
    assert entry.score.level == str(low)
    rows = results.pooled_levels
    assert rows["status"].tolist() == ["ok", "skipped"]
    assert rows["reason"].tolist()[1] == "too slow"
    assert rows["requests"].isna().tolist() == [False, True]


def test_a_server_that_skipped_a_level_says_nothing_of_it(
    best_counts: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Writer
) -> None:
    low, high = experiments[0].levels
    write_attempt(best_counts, experiments[0])
    skip(best_counts, write_attempt(best_counts, experiments[0], number=2, levels=[low]), high)
    rows = load_results(best_counts.paths.root).pooled_levels
    assert rows["status"].tolist() == ["ok", "ok"]
    assert rows["measurements"].tolist() == [2, 1]
    assert rows["ttft_s_count"].tolist() == [8, 4]  # requests of the one that measured it


def test_an_experiment_that_was_given_up_keeps_its_levels_and_its_reason(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Writer
) -> None:
    low, high = experiments[0].levels
    pruned = Pruned("behind by 40 %")
    skip(store, write_attempt(store, experiments[0], levels=[low], outcome=pruned), high)
    results = load_results(store.paths.root)
    (row,) = results.experiments.to_dict("records")
    assert (row["outcome"], row["failure_message"]) == ("pruned", "behind by 40 %")
    entry = next(e for e in results.ranking().entries if e.experiment_id == "exp0")
    assert (entry.status, entry.score.reason) == (EntryStatus.PRUNED, "behind by 40 %")


def test_skipped_levels_are_no_levels_to_the_checks_of_quality(
    best_counts: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Writer
) -> None:
    low, high = experiments[0].levels
    skip(best_counts, write_attempt(best_counts, experiments[0], levels=[low]), high)
    inspected = Inspected.of(load_results(best_counts.paths.root))
    assert [row["status"] for row in inspected.levels] == ["ok"]
    assert [row["status"] for row in inspected.pooled] == ["ok", "skipped"]

"""What counts of an experiment whose load was found, and what each server makes of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from autotuner.results.limits import LevelRow
from autotuner.results.measured import Measured
from autotuner.results.score import EntryStatus, Score, score_experiment
from autotuner.results.server_values import counting_levels, found_loads
from autotuner.results.study_record import ExpectedExperiment
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Constraint, Direction, Objective, Over, WeightedLevel
from autotuner.spec.workload import Level

LIMIT = Constraint("tpot_s", "p95", 0.05)
LOAD = Judging(Objective("load", "concurrency", Direction.MAXIMIZE, over=Over.BEST), (LIMIT,))
STEPS = tuple(range(1, 17))
CODE = Level("code", "D(1,1)", 8)


def chat(concurrency: int) -> Level:
    return Level("chat", "D(1,1)", concurrency)


EXPERIMENT = ExpectedExperiment("e", "e", {}, tuple(map(chat, STEPS)), found=("chat",))
MIXED = ExpectedExperiment("e", "e", {}, (CODE, *map(chat, STEPS)), found=("chat",))


def row(concurrency: int, tpot_s: float, tok_s: float = 100.0) -> LevelRow:
    numbers = {"tpot_s_p95": tpot_s, "output_throughput_tok_s": tok_s * concurrency}
    return {"status": "ok", "reason": None, "concurrency": concurrency, **numbers}


def failed(concurrency: int) -> LevelRow:
    return {"status": "failed", "reason": "2 requests failed", "concurrency": concurrency}


def rows(*kept: int, missed: int | None = None, **more: LevelRow) -> dict[Level, LevelRow]:
    found = {chat(c): row(c, 0.02) for c in kept}
    if missed is not None:
        found[chat(missed)] = row(missed, 0.08)
    return found


def measured(*servers: Mapping[Level, LevelRow]) -> Measured:
    pooled = {level: one for own in servers for level, one in own.items()}
    return Measured("completed", "", pooled, servers)


def scored(
    measured: Measured, judging: Judging = LOAD, experiment: ExpectedExperiment = EXPERIMENT
) -> tuple[Score, EntryStatus]:
    return score_experiment(experiment, measured, judging)


def test_the_load_is_the_largest_level_that_keeps_the_limits() -> None:
    score, status = scored(measured(rows(1, 2, 4, missed=5)))
    assert (score.value, score.level, status) == (4, str(chat(4)), EntryStatus.FEASIBLE)


def test_levels_that_no_server_was_measured_at_are_not_missing() -> None:
    assert counting_levels(EXPERIMENT, measured(rows(1, 4, missed=5)), LOAD) == (chat(1), chat(4))


def test_a_level_whose_requests_failed_is_too_much_and_no_failure() -> None:
    found = measured({**rows(1, 2, 4), chat(8): failed(8)})
    score, status = scored(found)
    assert (score.value, status) == (4, EntryStatus.FEASIBLE)
    assert str(found_loads(EXPERIMENT, found.levels, LOAD)["chat"]) == (
        "4..8 (failed requests limits)"
    )


def test_a_level_above_one_that_misses_does_not_count_by_luck() -> None:
    levels = {**rows(1, 2), chat(3): row(3, 0.06), chat(4): row(4, 0.0495), chat(5): row(5, 0.09)}
    assert scored(measured(levels))[0].value == 2


def test_each_server_has_a_load_of_its_own() -> None:
    score, _ = scored(measured(rows(1, 4, missed=5), rows(4, 2, missed=5), rows(2, 8, missed=9)))
    assert score.samples == (4, 4, 8)


def test_a_server_that_keeps_the_limits_at_no_load_is_not_left_out() -> None:
    score, status = scored(measured(rows(1, 2, 4, missed=5), {chat(1): row(1, 0.08)}))
    assert status is EntryStatus.INFEASIBLE
    assert score.reason.startswith("on one of 2 servers, ")
    assert score.samples == ()


def test_where_no_load_keeps_the_limits_the_reason_is_the_limit() -> None:
    score, status = scored(measured(rows(missed=1)))
    assert status is EntryStatus.INFEASIBLE
    assert "tpot_s_p95 is 0.08, must be <= 0.05" in score.reason


def test_where_every_level_failed_so_has_the_experiment() -> None:
    score, status = scored(measured({chat(1): failed(1)}))
    assert (status, "2 requests failed" in score.reason) == (EntryStatus.INFEASIBLE, True)


def test_without_any_level_there_is_no_result() -> None:
    score, status = scored(measured({}))
    assert (status, score.reason) == (
        EntryStatus.INFEASIBLE,
        "level chat D(1,1) c=1 has no result",
    )


def test_another_objective_looks_at_the_levels_up_to_the_load() -> None:
    judging = Judging(
        Objective("t", "output_throughput_tok_s", Direction.MAXIMIZE, over=Over.BEST), (LIMIT,)
    )
    assert scored(measured(rows(1, 2, 4, missed=5)), judging)[0].value == 400


def test_levels_that_are_listed_beside_it_must_all_be_there() -> None:
    judging = Judging(
        Objective("t", "output_throughput_tok_s", Direction.MAXIMIZE, workload="code"), (LIMIT,)
    )
    both = {**rows(1, 2, missed=4), CODE: row(8, 0.02)}
    assert scored(measured(both), judging, MIXED)[0].value == 800
    without = scored(measured(rows(1, 2, missed=4)), judging, MIXED)[0]
    assert "code D(1,1) c=8 has no result" in without.reason


def test_a_found_load_can_be_a_term_of_a_weighted_mean() -> None:
    weights = (WeightedLevel(1.0, "chat"), WeightedLevel(1.0, "code", 8))
    objective = Objective(
        "t", "output_throughput_tok_s", Direction.MAXIMIZE, over=Over.WEIGHTED, weights=weights
    )
    both = {**rows(1, 2, missed=4), CODE: row(8, 0.02)}
    score, status = scored(measured(both), Judging(objective, (LIMIT,)), MIXED)
    assert (score.value, status) == (500, EntryStatus.FEASIBLE)
    assert score.samples == (pytest.approx(500),)


def test_a_study_that_runs_tells_how_many_levels_there_are_so_far() -> None:
    running = Measured(None, "", rows(1, 2))
    assert scored(running)[0].reason == "running or interrupted: 2 levels stored"


def crossing(low: float, high: float) -> dict[Level, LevelRow]:
    """A server whose limit lies between 8 and 16."""
    return {chat(8): row(8, low), chat(16): row(16, high)}


def test_servers_are_compared_by_where_they_reach_the_limit_and_not_by_steps() -> None:
    score, _ = scored(measured(crossing(0.03, 0.06), crossing(0.03, 0.08)))
    assert score.samples == (12, 10)
    assert score.level == str(chat(8))
    alone, _ = scored(measured(crossing(0.03, 0.06)))
    assert (alone.value, alone.samples) == (12, (12,))

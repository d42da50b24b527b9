from __future__ import annotations

import math

import pytest

from autotuner.results.aggregate import LevelRow, Term, levels_in_scope, read_objective, value_at
from autotuner.results.limits import penalised
from autotuner.spec.objective import (
    Constraint,
    Direction,
    Objective,
    Over,
    Penalty,
    WeightedLevel,
)
from autotuner.spec.workload import Level

C1, C4, C16 = (Level("chat", "D(100,100)", c) for c in (1, 4, 16))
DOCS = Level("docs", "D(2000,200)", 4)
LEVELS = (C1, C4, C16)
TTFT_BELOW_1 = Constraint("ttft_s", "p99", 1.0)


def objective(
    over: Over | None,
    direction: Direction = Direction.MAXIMIZE,
    *,
    workload: str | None = None,
    concurrency: int | None = None,
    weights: tuple[WeightedLevel, ...] = (),
) -> Objective:
    return Objective(
        "t",
        "output_throughput_tok_s",
        direction,
        workload=workload,
        concurrency=concurrency,
        over=over,
        weights=weights,
    )


def rows(*numbers: tuple[float | None, float | None]) -> dict[Level, LevelRow]:
    """Per level: throughput and TTFT p99."""
    return {
        level: {"output_throughput_tok_s": throughput, "ttft_s_p99": ttft}
        for level, (throughput, ttft) in zip(LEVELS, numbers, strict=True)
    }


GROWING = rows((10, 0.1), (40, 0.5), (90, 2.0))


def test_scope_narrows_by_workload_and_concurrency() -> None:
    levels = (C1, C4, DOCS)
    assert levels_in_scope(levels, objective(None)) == levels
    assert levels_in_scope(levels, objective(None, concurrency=4)) == (C4, DOCS)
    assert levels_in_scope(levels, objective(None, workload="docs", concurrency=4)) == (DOCS,)


@pytest.mark.parametrize(
    ("over", "direction", "value"),
    [
        (Over.BEST, Direction.MAXIMIZE, 90),
        (Over.BEST, Direction.MINIMIZE, 10),
        (Over.WORST, Direction.MAXIMIZE, 10),
        (Over.WORST, Direction.MINIMIZE, 90),
        (None, Direction.MAXIMIZE, 10),
    ],
)
def test_best_and_worst_follow_the_direction_and_worst_is_the_default(
    over: Over | None, direction: Direction, value: float
) -> None:
    reading = read_objective(LEVELS, GROWING, objective(over, direction), ())
    assert reading.value == value
    assert reading.reason == ""


def test_best_is_taken_among_the_levels_that_keep_the_constraints() -> None:
    reading = read_objective(LEVELS, GROWING, objective(Over.BEST), [TTFT_BELOW_1])
    assert (reading.value, reading.level, reading.reason) == (40, C4, "")


def test_best_without_a_passing_level_names_the_nearest_miss() -> None:
    measured = rows((10, 3.0), (40, 1.5), (90, 2.0))
    reading = read_objective(LEVELS, measured, objective(Over.BEST), [TTFT_BELOW_1])
    assert reading.reason == (
        "no level meets the constraints, nearest is chat D(100,100) c=4: "
        "ttft_s_p99 is 1.5, must be <= 1"
    )


def test_a_level_with_a_missing_number_is_never_the_nearest() -> None:
    measured = rows((10, 3.0), (40, None), (90, 2.0))
    reading = read_objective(LEVELS, measured, objective(Over.BEST), [TTFT_BELOW_1])
    assert reading.level == C16


def test_worst_needs_every_level_to_keep_every_constraint() -> None:
    reading = read_objective(LEVELS, GROWING, objective(Over.WORST), [TTFT_BELOW_1])
    assert reading.value == 10
    assert reading.reason == "chat D(100,100) c=16: ttft_s_p99 is 2, must be <= 1"


def test_a_named_level_alone_must_keep_the_constraints() -> None:
    named = objective(None, concurrency=4)
    reading = read_objective(LEVELS, GROWING, named, [TTFT_BELOW_1])
    assert (reading.value, reading.reason) == (40, "")


def test_a_lower_limit_is_missed_from_below() -> None:
    floor = Constraint("output_throughput_tok_s", None, 50.0, upper=False)
    reading = read_objective(LEVELS, GROWING, objective(None, concurrency=4), [floor])
    assert "output_throughput_tok_s is 40, must be >= 50" in reading.reason


@pytest.mark.parametrize("upper", [True, False])
def test_a_value_at_the_limit_keeps_the_constraint(upper: bool) -> None:
    limit = Constraint("ttft_s", "p99", 0.5, upper)
    reading = read_objective(LEVELS, GROWING, objective(None, concurrency=4), [limit])
    assert reading.reason == ""


def test_a_constraint_without_a_number_is_not_met() -> None:
    reading = read_objective(
        LEVELS, rows((10, 0.1), (40, None), (90, 0.1)), objective(Over.WORST), [TTFT_BELOW_1]
    )
    assert reading.reason == "chat D(100,100) c=4: ttft_s_p99 has no value, must be <= 1"


def test_a_limit_of_zero_can_be_kept_and_missed() -> None:
    zero_errors = Constraint("error_rate", None, 0.0)
    measured = {C1: {"output_throughput_tok_s": 1.0, "error_rate": 0.5}}
    reading = read_objective((C1,), measured, objective(None), [zero_errors])
    assert "error_rate is 0.5, must be <= 0" in reading.reason
    clean = {C1: {"output_throughput_tok_s": 1.0, "error_rate": 0.0}}
    assert read_objective((C1,), clean, objective(None), [zero_errors]).reason == ""


@pytest.mark.parametrize("missing", [None, float("inf"), float("-inf"), float("nan")])
def test_worst_over_a_missing_number_has_no_value(missing: float | None) -> None:
    reading = read_objective(
        LEVELS, rows((10, 0.1), (missing, 0.1), (90, 0.1)), objective(Over.WORST), ()
    )
    assert reading.value is None
    assert reading.reason == "chat D(100,100) c=4: output_throughput_tok_s has no value"


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("missing", [None, float("inf"), float("-inf"), float("nan")])
def test_best_never_takes_a_missing_number(direction: Direction, missing: float | None) -> None:
    measured = rows((missing, 0.1), (40, 0.1), (missing, 0.1))
    reading = read_objective(LEVELS, measured, objective(Over.BEST, direction), ())
    assert (reading.value, reading.level) == (40, C4)


def test_best_over_missing_numbers_alone_has_no_value() -> None:
    measured = rows((None, 0.1), (None, 0.1), (None, 0.1))
    reading = read_objective(LEVELS, measured, objective(Over.BEST), [TTFT_BELOW_1])
    assert reading.value is None
    assert "output_throughput_tok_s has no value" in reading.reason


def test_a_level_without_a_row_has_no_value() -> None:
    reading = read_objective(LEVELS, {C1: GROWING[C1]}, objective(Over.WORST), ())
    assert reading.value is None
    assert "c=4" in reading.reason


def test_an_objective_that_matches_no_level_says_so() -> None:
    reading = read_objective(LEVELS, GROWING, objective(None, concurrency=99), ())
    assert (reading.value, reading.level) == (None, None)
    assert reading.reason == "no level of the experiment matches the objective"


SOFT_TTFT = Constraint("ttft_s", "p99", 1.0, penalty=Penalty(weight=0.5, steepness=0.5))


def test_the_best_level_is_chosen_by_its_value_with_the_penalty() -> None:
    # At 2 s, twice the limit, the penalty is 0.5 * (exp(1 / 0.5) - 1) = 3.19.
    reading = read_objective(LEVELS, GROWING, objective(Over.BEST), [SOFT_TTFT])
    assert (reading.value, reading.level, reading.penalty) == (40, C4, 0.0)
    measured = rows((10, 0.1), (40, 0.5), (400, 2.0))
    reading = read_objective(LEVELS, measured, objective(Over.BEST), [SOFT_TTFT])
    assert (reading.value, reading.level) == (400, C16)
    assert reading.penalty == pytest.approx(0.5 * math.expm1(2))


def test_the_worst_level_is_chosen_by_its_value_with_the_penalty() -> None:
    measured = rows((10, 0.1), (40, 0.5), (20, 2.0))
    reading = read_objective(LEVELS, measured, objective(Over.WORST), [SOFT_TTFT])
    assert (reading.value, reading.level) == (20, C16)


WEIGHTS = (WeightedLevel(3.0, "chat", 4), WeightedLevel(1.0, "docs"))
MIXED = (*LEVELS, DOCS, Level("docs", "D(2000,200)", 8))


def mixed(*docs: tuple[float | None, float | None]) -> dict[Level, LevelRow]:
    own = {
        level: {"output_throughput_tok_s": throughput, "ttft_s_p99": ttft}
        for level, (throughput, ttft) in zip(MIXED[3:], docs, strict=True)
    }
    return {**GROWING, **own}


def test_a_weighted_mean_is_of_named_levels_and_of_the_best_level_of_a_workload() -> None:
    weighted = objective(Over.WEIGHTED, weights=WEIGHTS)
    reading = read_objective(MIXED, mixed((8, 0.9), (12, 3.0)), weighted, [TTFT_BELOW_1])
    assert reading.value == pytest.approx((3 * 40 + 1 * 8) / 4)
    assert reading.terms == (Term(C4, 3.0), Term(DOCS, 1.0))
    assert (reading.level, reading.reason) == (None, "")


@pytest.mark.parametrize(
    ("docs", "reason"),
    [
        (((8, 2.0), (12, 3.0)), "no level meets the constraints, nearest is docs D(2000,200) c=4"),
        (((None, 0.1), (None, 0.1)), "docs D(2000,200) c=4: output_throughput_tok_s has no value"),
    ],
)
def test_every_term_of_a_weighted_mean_must_exist_and_keep_the_hard_limits(
    docs: tuple[tuple[float | None, float | None], ...], reason: str
) -> None:
    weighted = objective(Over.WEIGHTED, weights=WEIGHTS)
    assert reason in read_objective(MIXED, mixed(*docs), weighted, [TTFT_BELOW_1]).reason
    assert read_objective(LEVELS, GROWING, weighted, ()).reason == (
        "the experiment has no level of workload docs"
    )
    named = objective(
        Over.WEIGHTED, weights=(WeightedLevel(1, "chat", 16), WeightedLevel(1, "docs"))
    )
    reading = read_objective(MIXED, mixed((8, 0.1), (12, 0.1)), named, [TTFT_BELOW_1])
    assert reading.reason == "chat D(100,100) c=16: ttft_s_p99 is 2, must be <= 1"


def test_the_seed_s_mean_is_over_all_levels_of_all_workloads() -> None:
    reading = read_objective(MIXED, mixed((8, 0.9), (12, 3.0)), objective(Over.SEED_MEAN), ())
    assert reading.value == pytest.approx((10 + 40 + 90 + 8 + 12) / 5)
    assert len(reading.terms) == 5


def test_unlike_the_seed_s_its_mean_does_without_no_level() -> None:
    mean = objective(Over.SEED_MEAN)
    absent = read_objective(MIXED, GROWING, mean, ())
    assert (absent.value, absent.reason) == (
        None,
        "docs D(2000,200) c=4: output_throughput_tok_s has no value",
    )
    assert "c=16: ttft_s_p99 is 2" in read_objective(LEVELS, GROWING, mean, [TTFT_BELOW_1]).reason


@pytest.mark.parametrize("direction", list(Direction))
def test_a_mean_has_the_penalty_that_gives_the_mean_of_the_penalised_levels(
    direction: Direction,
) -> None:
    reading = read_objective(LEVELS, GROWING, objective(Over.SEED_MEAN, direction), [SOFT_TTFT])
    factor = 1 + 0.5 * math.expm1(2)
    worse = 90 * factor if direction is Direction.MINIMIZE else 90 / factor
    expected = (10 + 40 + worse) / 3
    assert reading.value == pytest.approx(140 / 3)
    assert penalised(reading.value, reading.penalty, direction) == pytest.approx(expected)
    assert value_at(reading.terms, GROWING, objective(Over.SEED_MEAN, direction), [SOFT_TTFT]) == (
        pytest.approx(expected)
    )


def test_other_measurements_are_read_at_the_levels_that_were_chosen() -> None:
    reading = read_objective(LEVELS, GROWING, objective(Over.BEST), [TTFT_BELOW_1])
    other = rows((99, 0.1), (41, 1.5), (500, 0.1))
    assert value_at(reading.terms, other, objective(Over.BEST), [TTFT_BELOW_1]) == 41
    assert (
        value_at(reading.terms, rows((1, 1), (None, 1), (1, 1)), objective(Over.BEST), ()) is None
    )

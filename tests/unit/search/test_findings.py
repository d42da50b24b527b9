from __future__ import annotations

from collections.abc import Mapping

import pytest

from autotuner.search.base import Candidate, Ended, Told
from autotuner.search.findings import CRASHED, Point, points_of
from autotuner.spec.judging import Judging
from autotuner.spec.objective import (
    Constraint,
    Direction,
    Objective,
    Over,
    Penalty,
    WeightedLevel,
)
from autotuner.spec.workload import Level

LOW, HIGH = (Level("chat", "D(1,1)", concurrency) for concurrency in (1, 8))
CANDIDATE = Candidate("a", {}, 1, (LOW, HIGH))
SLO = Constraint("ttft_s", "p99", 1.0)
SOFT = Constraint("ttft_s", "p99", 1.0, penalty=Penalty(weight=1.0, steepness=1.0))


def row(throughput: float | None, ttft_s: float | None = 0.5) -> Mapping[str, object]:
    return {"output_throughput_tok_s": throughput, "ttft_s_p99": ttft_s}


def point(
    rows: Mapping[Level, Mapping[str, object]],
    over: Over = Over.BEST,
    ended: Ended = Ended.COMPLETED,
    slo: Constraint = SLO,
) -> Point:
    weights = (WeightedLevel(1.0, concurrency=1), WeightedLevel(1.0, concurrency=8))
    objective = Objective(
        "o",
        "output_throughput_tok_s",
        Direction.MAXIMIZE,
        over=over,
        weights=weights if over is Over.WEIGHTED else (),
    )
    (found,) = points_of(CANDIDATE, Told("a", rows, ended), Judging(objective, (slo,)))
    return found


def test_more_is_better_and_less_is_better_become_one_direction() -> None:
    objective = Objective("o", "ttft_s", Direction.MINIMIZE, "p99", concurrency=1)
    told = Told("a", {LOW: row(5, 0.25)}, Ended.COMPLETED)
    assert points_of(CANDIDATE, told, Judging(objective)) == (Point((-0.25,)),)
    assert point({LOW: row(5), HIGH: row(7)}) == Point((7.0,))


def test_a_missed_limit_is_told_with_how_far_it_is_missed() -> None:
    near = point({LOW: row(9, 1.1), HIGH: row(9, 3.0)})
    far = point({LOW: row(9, 2.0), HIGH: row(9, 3.0)})
    assert not near.feasible
    assert 0 < near.violation < far.violation < 1


@pytest.mark.parametrize("over", [Over.WORST, Over.SEED_MEAN, Over.WEIGHTED])
def test_where_every_level_counts_the_furthest_miss_does(over: Over) -> None:
    one, both = point({LOW: row(9), HIGH: row(9, 1.5)}, over), point({LOW: row(9, 3.0)}, over)
    assert 0 < one.violation < both.violation
    further = point({LOW: row(1, 1.2), HIGH: row(9, 1.8)}, over)
    assert further.violation > one.violation


def test_a_missing_number_is_further_off_than_any_missed_limit() -> None:
    missed = point({LOW: row(9, 1e6), HIGH: row(9, 1e6)})
    assert point({LOW: row(9, None), HIGH: row(9, None)}).violation > missed.violation
    assert point({LOW: row(None), HIGH: row(None)}).violation > missed.violation
    assert point({}).violation > missed.violation


def test_a_crash_is_the_furthest_of_all() -> None:
    crashed = point({}, ended=Ended.FAILED)
    assert crashed == Point(violation=CRASHED)
    assert crashed.violation > point({LOW: row(None, None)}, Over.WORST).violation


def test_a_soft_limit_makes_the_value_worse_but_leaves_it_feasible() -> None:
    missed = point({LOW: row(9, 2.0), HIGH: row(1, 0.5)}, slo=SOFT)
    assert missed.feasible
    assert 1 < missed.values[0] < 9


def test_a_pruned_experiment_counts_with_the_levels_that_it_has() -> None:
    assert point({LOW: row(5)}, ended=Ended.PRUNED) == Point((5.0,))
    assert not point({LOW: row(5)}, Over.WORST, ended=Ended.PRUNED).feasible


@pytest.mark.parametrize("ended", [None, Ended.LOST, Ended.PRUNED])
def test_what_has_shown_nothing_has_no_point(ended: Ended | None) -> None:
    objective = Objective("o", "ttft_s", Direction.MINIMIZE, "p99", over=Over.BEST)
    assert points_of(CANDIDATE, Told("a", {}, ended), Judging(objective)) == ()

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping

import numpy as np
import pytest
from unit.search.curves import LEVELS, THROUGHPUT, row

from autotuner.results.limits import LevelRow
from autotuner.search.climb import Belief, Climb
from autotuner.search.level_plans import NoMore, Seen
from autotuner.search.yardstick import yardstick
from autotuner.spec.objective import Constraint
from autotuner.spec.workload import Level

FLOOR = (Constraint("tpot_s", "mean", 1 / 40),)


def climb(
    expected: Mapping[Level, LevelRow],
    best: float | None = None,
    spread: float = 0.3,
    limits: tuple[Constraint, ...] = FLOOR,
    correlation: float = 0.8,
) -> Climb:
    """A plan that expects these rows, within a factor of ``exp(spread)``."""
    stick = yardstick(THROUGHPUT, limits)
    count = len(expected)
    covariance = spread**2 * (correlation + (1 - correlation) * np.eye(count))
    scale = np.where(np.eye(len(stick.columns)) == 1, 1.0, -0.8)
    belief = Belief(
        tuple(stick.logs(one) for one in expected.values()),
        tuple(map(tuple, covariance.tolist())),
        tuple(map(tuple, scale.tolist())),
        0.0025,
    )
    utility = None if best is None else math.log(best)
    return Climb(tuple(expected), belief, stick, utility, 0.01)


def rows(speed: float = 100.0, knee: float = 32.0) -> dict[Level, LevelRow]:
    return {level: row(level, speed, knee) for level in LEVELS}


def ran(plan: Climb, truth: Mapping[Level, LevelRow]) -> tuple[list[Level], NoMore]:
    """The levels that a server with these rows is loaded with."""
    seen: list[Seen] = []
    while not isinstance(level := plan.next(seen), NoMore):
        seen.append(Seen(level, truth[level], ok=True))
    return [one.level for one in seen], level


def best_of(truth: Mapping[Level, LevelRow], floor: float = 40.0) -> Level:
    kept = [level for level in truth if 1 / float(str(truth[level]["tpot_s_mean"])) >= floor]
    return max(kept, key=lambda level: float(str(truth[level][THROUGHPUT.column])))


def test_the_first_level_is_where_the_best_is_expected() -> None:
    expected = rows()
    assert climb(expected).next([]) == best_of(expected)


@pytest.mark.parametrize("speed", [50, 100, 200, 400])
@pytest.mark.parametrize("knee", [8, 32, 128])
def test_a_server_that_differs_from_what_was_expected_still_shows_its_best_level(
    speed: float, knee: float
) -> None:
    truth = rows(speed, knee)
    levels, _ = ran(climb(rows(), spread=1.0, correlation=0.6), truth)
    assert best_of(truth) in levels


def test_what_one_level_shows_moves_what_is_expected_of_the_others() -> None:
    """A server half as quick keeps the limit at a lower load than was expected."""
    plan = climb(rows(), spread=0.5, correlation=0.95)
    first = plan.next([])
    slower = Seen(LEVELS[0], row(LEVELS[0], speed=45), ok=True)
    assert first == LEVELS[2]
    assert plan.next([slower]) != first


def test_no_level_is_loaded_that_is_not_worth_its_time() -> None:
    levels, end = ran(climb(rows()), rows())
    assert len(levels) < len(LEVELS)
    assert "less than 1 %" in end.reason
    assert not end.pruned


def test_a_server_that_cannot_win_is_given_up_and_the_reason_has_the_numbers() -> None:
    levels, end = ran(climb(rows(), best=50_000), rows())
    assert end.pruned
    assert len(levels) < len(LEVELS)
    assert "of the best so far" in end.reason


@pytest.mark.parametrize("times", [1.001, 1.05, 1.1])
def test_a_server_that_is_as_good_as_the_best_within_the_noise_is_not_given_up(
    times: float,
) -> None:
    """It stays in the ranking, and fresh servers tell which of the two is better."""
    best = float(str(rows()[best_of(rows())][THROUGHPUT.column]))
    _, end = ran(climb(rows(), best=times * best, spread=0.05), rows())
    assert not end.pruned
    _, end = ran(climb(rows(), best=1.3 * best, spread=0.05), rows())
    assert end.pruned


def test_no_server_is_given_up_after_one_level() -> None:
    for speed in (5, 30, 100):
        levels, end = ran(climb(rows(), best=1e9), rows(speed))
        assert end.pruned
        assert len(levels) == 2


def test_a_server_that_may_still_win_is_not_given_up() -> None:
    truth = rows(speed=200)
    best = float(str(truth[best_of(truth)][THROUGHPUT.column]))
    levels, end = ran(climb(rows(speed=100), best=0.9 * best, spread=0.6), truth)
    assert best_of(truth) in levels
    assert not end.pruned


def test_what_was_measured_bounds_what_other_loads_can_do() -> None:
    """Ten times the load is at most ten times the throughput, however hopeful the belief."""
    hopeful = {level: row(level, speed=1e5) for level in LEVELS}
    plan = climb(hopeful, best=2_000, spread=0.01, limits=())
    seen = [Seen(level, row(level, speed=1), ok=True) for level in LEVELS[:2]]
    end = plan.next(seen)
    assert isinstance(end, NoMore)
    assert end.pruned


def test_above_a_load_that_misses_the_limit_nothing_keeps_it() -> None:
    plan = climb(rows(speed=1000), spread=0.5)
    missed = Seen(LEVELS[2], row(LEVELS[2], speed=20), ok=True)
    assert plan.next([missed]) in LEVELS[:2]


def test_where_no_level_keeps_the_limits_the_server_is_given_up() -> None:
    levels, end = ran(climb(rows(speed=60), spread=0.5), rows(speed=1))
    assert end.pruned
    assert "keeps the limits" in end.reason
    assert len(levels) < len(LEVELS)


def test_a_level_that_failed_is_not_given_again_and_teaches_nothing() -> None:
    plan = climb(rows())
    first = plan.next([])
    assert isinstance(first, Level)
    second = plan.next([Seen(first, {}, ok=False)])
    assert second != first
    assert isinstance(second, Level)


def test_when_all_levels_are_seen_there_is_nothing_to_explain() -> None:
    seen = [Seen(level, row(level), ok=True) for level in LEVELS]
    assert climb(rows()).next(seen) == NoMore("")


def test_a_plan_is_a_value_that_travels() -> None:
    plan = climb(rows())
    copy = pickle.loads(pickle.dumps(plan))  # noqa: S301
    assert copy == plan
    assert hash(copy) == hash(plan)
    assert copy.most == LEVELS
    assert ran(copy, rows(60)) == ran(plan, rows(60))

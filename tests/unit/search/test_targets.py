from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from unit.search.curves import LEVELS, THROUGHPUT, TPOT, candidate, problem, row, rows

from autotuner.search.targets import Targets, targets_of
from autotuner.search.yardstick import yardstick
from autotuner.spec.objective import Objective
from autotuner.spec.workload import Level

ONE, TWO = candidate("one"), replace(candidate("two", gpus=2), levels=LEVELS[1:])


def targets(objective: Objective, floor: float | None = None) -> Targets:
    asked = problem(ONE, TWO, objective=objective, floor_tok_s=floor)
    return targets_of(asked, yardstick(asked.judging.objective, asked.judging.constraints))


def test_where_the_best_level_counts_each_level_is_predicted() -> None:
    found = targets(THROUGHPUT)
    assert found.each
    assert found.exists.tolist() == [[True] * 5, [False] + [True] * 4]
    assert found.load[1].tolist() == [level.concurrency / 2 for level in LEVELS]
    assert found.observed(ONE, rows(of=LEVELS[:2])).keys() == {0, 1}
    assert found.observed(TWO, rows(of=LEVELS[1:3])).keys() == {1, 2}


def test_where_all_levels_count_a_candidate_has_one_value_once_all_are_measured() -> None:
    found = targets(TPOT)
    assert not found.each
    assert found.observed(ONE, rows(of=LEVELS[:2])) == {}
    worst = row(LEVELS[-1])["tpot_s_mean"]
    assert found.observed(ONE, rows())[0][0] == pytest.approx(math.log(float(str(worst))))
    assert found.measured(ONE, rows(of=LEVELS[:2])) is None
    assert found.measured(ONE, rows()) == pytest.approx(-math.log(float(str(worst))))


def test_a_limit_is_judged_where_it_is_nearest_to_being_missed() -> None:
    worst_throughput = replace(THROUGHPUT, over=None)
    found = targets(worst_throughput, floor=40)
    value, tpot = found.observed(ONE, rows())[0]
    assert math.exp(value) == pytest.approx(float(str(row(LEVELS[0])[THROUGHPUT.column])))
    assert math.exp(tpot) == pytest.approx(float(str(row(LEVELS[-1])["tpot_s_mean"])))


def test_a_prior_is_reduced_as_a_measurement_is() -> None:
    for objective in (TPOT, replace(THROUGHPUT, over=None)):
        found = targets(objective, floor=40)
        logs = np.array([[found.yardstick.logs(row(level)) for level in found.levels]] * 2)
        assert found.reduced(logs)[0, 0] == pytest.approx(found.observed(ONE, rows())[0])


def test_what_was_measured_counts_by_its_best_level_that_keeps_the_limits() -> None:
    found = targets(THROUGHPUT, floor=40)
    best = max(
        float(str(row(level)[THROUGHPUT.column]))
        for level in LEVELS
        if float(str(row(level)["tpot_s_mean"])) <= 1 / 40
    )
    assert found.measured(ONE, rows()) == pytest.approx(math.log(best))
    assert found.measured(ONE, rows(speed=1)) is None
    assert found.measured(ONE, {}) is None


def test_of_very_many_levels_some_stand_for_all() -> None:
    """As where a load is to be found: each of fifty tells of the next."""
    many = tuple(Level("chat", "D(100,100)", c) for c in range(1, 51))
    asked = problem(replace(ONE, levels=many), replace(TWO, levels=many[:25]))
    found = targets_of(asked, yardstick(THROUGHPUT, ()))
    assert len(found.levels) == 16
    assert {many[0], many[-1]} <= set(found.levels)
    assert found.exists[0].all()
    assert not found.exists[1].all()
    seen = found.observed(ONE, {many[5]: row(many[5]), many[6]: row(many[6])})
    assert 1 <= len(seen) <= 2
    for place in seen:
        assert abs(found.levels[place].concurrency - 6.5) < 3


def test_a_level_tells_more_of_itself_than_one_that_it_stands_for() -> None:
    many = tuple(Level("chat", "D(100,100)", c) for c in range(1, 51))
    found = targets_of(problem(replace(ONE, levels=many)), yardstick(THROUGHPUT, ()))
    own = found.levels[5]
    stands_for = [level for level in many if found.place_of[level] == 5 and level != own]
    shown = {level: row(level, 80.0) for level in stands_for} | {own: row(own, 50.0)}
    assert stands_for
    for order in (shown, dict(reversed(shown.items()))):
        assert found.observed(ONE, order)[5] == found.yardstick.logs(row(own, 50.0))

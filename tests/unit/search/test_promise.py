from __future__ import annotations

import math

import numpy as np
import pytest
from unit.search.curves import LEVELS, candidate, problem

from autotuner.search.promise import Costs, Drawn, costs_of, draw
from autotuner.search.surrogate import Prediction
from autotuner.search.targets import targets_of
from autotuner.search.yardstick import yardstick

ONE, EIGHT = candidate("one"), candidate("eight", gpus=8)


def drawn(means: list[float], tpot_s: float = 0.01, doubt: float = 0.2) -> Drawn:
    """Candidates that are alike at all levels, under a limit of 25 ms."""
    asked = problem(*(candidate(str(i)) for i in range(len(means))), floor_tok_s=40)
    targets = targets_of(asked, yardstick(asked.judging.objective, asked.judging.constraints))
    logs = np.array([[[mean, math.log(tpot_s)]] * len(LEVELS) for mean in means])
    variance = np.full((len(means), len(LEVELS)), doubt**2)
    every = np.arange(len(means))
    return draw(targets, every, Prediction(logs, variance, np.array([[1.0, -0.8], [-0.8, 1.0]])))


def test_the_gain_is_the_expected_improvement() -> None:
    from scipy.stats import norm

    best, doubt = 1.1, 0.2
    found = drawn([1.0], doubt=doubt).gain(best)[0]
    mean, z = 1.0 - best, (1.0 - best) / doubt
    exact = math.exp(mean + doubt**2 / 2) * norm.cdf(z + doubt) - norm.cdf(z)
    assert found == pytest.approx(exact, rel=0.1)


def test_more_is_promised_by_what_is_better_and_by_what_is_less_known() -> None:
    low, high = drawn([1.0, 1.2]).gain(1.2)
    assert low < high < drawn([1.2], doubt=0.5).gain(1.2)[0]


def test_a_level_that_misses_a_limit_gains_nothing() -> None:
    assert drawn([5.0], tpot_s=0.5).gain(0.0)[0] == 0
    assert drawn([5.0], tpot_s=0.5).expected[0] == -math.inf
    sure, unsure = (drawn([1.0], tpot_s=at).gain(0.5)[0] for at in (0.01, 0.025))
    assert 0 < unsure < sure


def test_a_quicker_server_is_better_and_keeps_the_limit_more_often() -> None:
    """The chance of a gain is that of both at once, not their product."""
    found = drawn([1.0], tpot_s=0.025)
    assert found.chance[0] == pytest.approx(0.5, abs=0.05)
    assert found.expected[0] > 1.0


def test_where_nothing_keeps_the_limits_so_far_what_is_nearest_has_the_most_merit() -> None:
    near, far = (drawn([1.0], tpot_s=at).merit()[0] for at in (0.1, 1.0))
    assert near > far > 0


def test_each_percent_of_all_gpu_time_has_to_promise_a_fifth_of_a_percent() -> None:
    costs = Costs(np.array([1.0, 10.0, 50.0]), of_all=100.0)
    assert costs.least_gain(np.arange(3), 0.01) == pytest.approx([0.01, 0.02, 0.1])


def test_a_server_that_chooses_its_levels_costs_less() -> None:
    climbing, whole = (costs_of((ONE, EIGHT), climbs=climbs) for climbs in (True, False))
    assert whole.of_all == climbing.of_all == 9 * (60 + 60 * len(LEVELS))
    assert whole.of_each.tolist() == [360, 8 * 360]
    assert climbing.of_each.tolist() == [180, 8 * 180]

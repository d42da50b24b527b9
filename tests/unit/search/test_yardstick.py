from __future__ import annotations

import math

import numpy as np
import pytest
from unit.search.curves import LEVELS, THROUGHPUT, TPOT, row

from autotuner.results.limits import judge_level, penalised
from autotuner.search.yardstick import draws, kind_of, yardstick
from autotuner.spec.objective import METRICS, Constraint, Direction, Objective, Over, Penalty

FAST = Constraint("tpot_s", "mean", 0.02)
SOFT = Constraint("tpot_s", "mean", 0.02, penalty=Penalty(steepness=0.5, fail_ratio=1.0))
BUSY = Constraint("output_throughput_tok_s", None, 300, upper=False)


@pytest.mark.parametrize("limits", [(), (FAST,), (SOFT,), (BUSY,), (FAST, BUSY)])
@pytest.mark.parametrize("objective", [THROUGHPUT, TPOT])
def test_a_prediction_is_judged_as_a_measurement_would_be(
    objective: Objective, limits: tuple[Constraint, ...]
) -> None:
    stick = yardstick(objective, limits)
    for level in LEVELS:
        numbers = row(level)
        judged = judge_level(numbers, limits)
        found = float(stick.utility(np.array(stick.logs(numbers))))
        if judged.misses:
            assert found == -math.inf
            continue
        worth = penalised(
            float(str(numbers[objective.column])), judged.penalty, objective.direction
        )
        sign = 1 if objective.direction is Direction.MAXIMIZE else -1
        assert found == pytest.approx(sign * math.log(worth))
        assert stick.measured([level], {level: numbers}) == pytest.approx(found)


def test_a_gain_is_a_difference_of_utilities_also_where_less_is_better() -> None:
    stick = yardstick(TPOT, ())
    half, whole = (np.array([math.log(value)]) for value in (0.01, 0.02))
    assert stick.utility(half) - stick.utility(whole) == pytest.approx(math.log(2))


def test_the_excess_is_that_of_the_limit_furthest_from_being_kept() -> None:
    stick = yardstick(THROUGHPUT, (FAST, BUSY))
    logs = {"output_throughput_tok_s_per_gpu": 0.0, "tpot_s_mean": math.log(0.04)}
    logs |= {"output_throughput_tok_s": math.log(100)}
    found = stick.excess(np.array([logs[column] for column in stick.columns]))
    assert float(found) == pytest.approx(math.log(3))
    assert float(yardstick(THROUGHPUT, ()).excess(np.zeros(1))) == -math.inf


def test_a_limit_on_what_has_no_logarithm_is_left_to_measurements() -> None:
    stick = yardstick(THROUGHPUT, (Constraint("error_rate", None, 0.0), FAST))
    assert stick.columns == ("output_throughput_tok_s_per_gpu", "tpot_s_mean")
    kept = dict(row(LEVELS[0]), error_rate=0.0)
    assert stick.measured([LEVELS[0]], {LEVELS[0]: kept}) is not None
    assert stick.measured([LEVELS[0]], {LEVELS[0]: kept | {"error_rate": 0.1}}) is None


def test_a_missing_number_is_no_utility() -> None:
    stick = yardstick(THROUGHPUT, (FAST,))
    assert math.isnan(stick.logs({})[0])
    assert float(stick.utility(np.array(stick.logs({})))) == -math.inf
    assert stick.measured(LEVELS, {}) is None


def test_every_metric_has_a_kind_and_only_rates_of_closed_loops_are_bounded() -> None:
    bounded = {name for name in METRICS if kind_of(name).rises or kind_of(name).never_falls}
    assert bounded == METRICS.keys() - {
        "goodput_requests_per_s",
        "goodput_share",
        "error_rate",
        "concurrency",
    }


def test_an_objective_that_is_also_limited_has_one_column() -> None:
    limit = Constraint("tpot_s", "mean", 0.02)
    objective = Objective("tpot", "tpot_s", Direction.MINIMIZE, statistic="mean", over=Over.BEST)
    assert yardstick(objective, (limit, limit)).columns == ("tpot_s_mean",)


def test_draws_are_standard_normal_independent_and_always_the_same() -> None:
    found = draws(64, 3)
    assert np.allclose(found.mean(axis=0), 0, atol=1e-9)
    assert np.allclose(found.std(axis=0), 1, atol=0.05)
    assert np.abs(np.corrcoef(found.T) - np.eye(3)).max() < 0.3
    assert np.array_equal(found, draws(64, 3))

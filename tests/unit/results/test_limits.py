from __future__ import annotations

import math

import pytest

from autotuner.results.limits import judge_level, number, penalised
from autotuner.spec.objective import Constraint, Direction, Penalty


def soft(limit: float = 0.5, *, upper: bool = True, **penalty: float) -> Constraint:
    return Constraint("ttft_s", "p99", limit, upper, Penalty(**penalty))


def penalty_at(ttft_s: float, constraint: Constraint) -> float:
    judged = judge_level({"ttft_s_p99": ttft_s}, [constraint])
    assert judged.misses == ()
    return judged.penalty


def test_the_penalty_follows_its_formula() -> None:
    limit = soft(weight=2.0, steepness=0.2)
    assert penalty_at(0.6, limit) == pytest.approx(2.0 * (math.exp(0.2 / 0.2) - 1))


def test_the_penalty_starts_at_zero_without_a_jump() -> None:
    assert penalty_at(0.4, soft()) == 0
    assert penalty_at(0.5, soft()) == 0
    assert 0 < penalty_at(0.5 * (1 + 1e-9), soft()) < 1e-6


def test_the_penalty_grows_with_the_violation_and_stays_a_number() -> None:
    costs = [penalty_at(ttft_s, soft()) for ttft_s in (0.55, 0.6, 1.0, 2.0, 5.0, 1e300)]
    assert costs == sorted(costs)
    assert all(math.isfinite(cost) for cost in costs)
    for direction in Direction:
        assert math.isfinite(penalised(100.0, costs[-1], direction))


def test_a_lower_soft_limit_is_missed_from_below() -> None:
    floor = soft(upper=False, steepness=0.5)
    assert penalty_at(0.6, floor) == 0
    assert penalty_at(0.25, floor) == pytest.approx(math.expm1(1))


def test_penalties_add_up() -> None:
    one = judge_level({"ttft_s_p99": 0.6}, [soft()]).penalty
    assert judge_level({"ttft_s_p99": 0.6}, [soft(), soft()]).penalty == pytest.approx(2 * one)


def test_beyond_the_fail_ratio_a_soft_limit_is_a_hard_one() -> None:
    limit = soft(fail_ratio=0.5)
    assert judge_level({"ttft_s_p99": 0.75}, [limit]).misses == ()
    judged = judge_level({"ttft_s_p99": 0.76}, [limit])
    assert judged.misses == ("ttft_s_p99 is 0.76, must be <= 0.5, at most 50 % beyond it",)
    assert judged.penalty == 0


def test_a_missing_number_keeps_no_soft_limit_either() -> None:
    assert judge_level({}, [soft()]).misses == ("ttft_s_p99 has no value, must be <= 0.5",)


def test_a_soft_limit_of_zero_counts_the_value_itself() -> None:
    errors = Constraint("error_rate", None, 0.0, penalty=Penalty(steepness=0.1))
    assert judge_level({"error_rate": 0.0}, [errors]).penalty == 0
    assert judge_level({"error_rate": 0.1}, [errors]).penalty == pytest.approx(math.expm1(1))


@pytest.mark.parametrize("value", [None, math.inf, -math.inf, math.nan, "1"])
def test_only_a_finite_number_is_one(value: object) -> None:
    assert number({"x": value}, "x") is None


def test_a_penalty_makes_a_value_worse_in_either_direction() -> None:
    assert penalised(10.0, 0.25, Direction.MINIMIZE) == 12.5
    assert penalised(10.0, 0.25, Direction.MAXIMIZE) == 8.0

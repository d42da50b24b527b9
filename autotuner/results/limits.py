"""One level under the constraints: which hard limits it misses, and what the soft ones cost.

A value beyond a soft limit costs a penalty that grows with how far it is beyond::

    violation = (value - limit) / |limit|
    penalty   = weight * (exp(violation / steepness) - 1)

which is 0 at the limit and grows from there without a jump. The penalties of a level add up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotuner.spec.objective import Constraint, Direction, Penalty

__all__ = ["LevelRow", "Limits", "finite", "judge_level", "number", "penalised"]

LevelRow = Mapping[str, object]
"""A row of the schema `LEVELS`, or one that pools several."""

_LARGEST_EXPONENT = 50.0
"""``exp`` of it is 5e21: worse than anything, and far from what a float cannot hold."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the constraints say of a level."""

    misses: tuple[str, ...]
    """Each hard limit that is not kept, in words."""
    distance: tuple[int, float]
    """How far it is from keeping them: numbers that are missing, then the largest excess as a
    fraction of its limit."""
    penalty: float
    """Sum over the soft limits."""


@dataclass(frozen=True, slots=True)
class _Miss:
    text: str
    excess: float | None
    """As a fraction of the limit; None where the number is missing."""


def judge_level(row: LevelRow, constraints: Sequence[Constraint]) -> Limits:
    """Hold a level against the constraints.

    A missing number keeps no limit, hard or soft.
    """
    misses, penalty = [], 0.0
    for constraint in constraints:
        value = number(row, constraint.column)
        excess = None if value is None else _excess(value, constraint)
        if value is None or (excess is not None and _is_hard(constraint, excess)):
            misses.append(_Miss(_text(value, constraint), excess))
        elif constraint.penalty is not None and excess is not None:
            penalty += _penalty(constraint.penalty, excess)
    known = [miss.excess for miss in misses if miss.excess is not None]
    distance = (len(misses) - len(known), max(known, default=0.0))
    return Limits(tuple(miss.text for miss in misses), distance, penalty)


def penalised(value: float, penalty: float, direction: Direction) -> float:
    """The value made worse by a penalty: ``value * (1 + penalty)`` where less is better."""
    return value * (1 + penalty) if direction is Direction.MINIMIZE else value / (1 + penalty)


def number(row: LevelRow, column: str) -> float | None:
    """The row's number in a column; None where it is missing or not finite."""
    return finite(row.get(column))


def finite(value: object) -> float | None:
    """The number, or None for whatever stands for a missing one."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def _excess(value: float, constraint: Constraint) -> float | None:
    """How far beyond the limit, as a fraction of it; None where the limit is kept."""
    excess = value - constraint.limit if constraint.upper else constraint.limit - value
    if excess <= 0:
        return None
    return excess / abs(constraint.limit) if constraint.limit else excess


def _is_hard(constraint: Constraint, excess: float) -> bool:
    penalty = constraint.penalty
    return penalty is None or (penalty.fail_ratio is not None and excess > penalty.fail_ratio)


def _penalty(penalty: Penalty, excess: float) -> float:
    return penalty.weight * math.expm1(min(excess / penalty.steepness, _LARGEST_EXPONENT))


def _text(value: float | None, constraint: Constraint) -> str:
    limit, sign = constraint.limit, "<=" if constraint.upper else ">="
    bound = f"must be {sign} {limit:g}"
    if value is None:
        return f"{constraint.column} has no value, {bound}"
    if constraint.penalty is not None and constraint.penalty.fail_ratio is not None:
        bound += f", at most {100 * constraint.penalty.fail_ratio:g} % beyond it"
    return f"{constraint.column} is {value:.4g}, {bound}"

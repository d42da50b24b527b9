"""The level rows of one experiment to the one number that the objective asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotuner.spec.objective import Constraint, Direction, Objective, Over
from autotuner.spec.workload import Level

__all__ = ["LevelRow", "Reading", "levels_in_scope", "read_objective"]

LevelRow = Mapping[str, object]
"""A row of the schema `LEVELS`."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the levels say for an objective."""

    value: float | None
    level: Level | None
    """The level that the value, or the reason, is about."""
    reason: str
    """Why the value does not count; empty when it does."""


@dataclass(frozen=True, slots=True)
class _Check:
    level: Level
    value: float | None
    misses: tuple[_Miss, ...]


@dataclass(frozen=True, slots=True)
class _Miss:
    text: str
    distance: float | None
    """How far beyond the limit, relative to it; None where the number is missing."""


def levels_in_scope(levels: Sequence[Level], objective: Objective) -> tuple[Level, ...]:
    """Levels that the objective looks at, in their given order."""
    return tuple(
        level
        for level in levels
        if objective.workload in (None, level.workload)
        and objective.concurrency in (None, level.concurrency)
    )


def read_objective(
    levels: Sequence[Level],
    rows: Mapping[Level, LevelRow],
    objective: Objective,
    constraints: Sequence[Constraint],
) -> Reading:
    """Reduce an experiment's levels to one number, under the constraints.

    With ``over`` best, the best of the levels that have a number and keep every constraint.
    Otherwise the worst of the levels; all of them need a number and must keep every
    constraint. A level without a row has no numbers, and a missing number keeps no constraint.
    """
    scope = levels_in_scope(levels, objective)
    if not scope:
        return Reading(None, None, "no level of the experiment matches the objective")
    checks = [_check(level, rows.get(level, {}), objective, constraints) for level in scope]
    if objective.over is Over.BEST:
        return _best(checks, objective)
    return _worst(checks, objective)


def _check(
    level: Level, row: LevelRow, objective: Objective, constraints: Sequence[Constraint]
) -> _Check:
    misses = (_miss(_number(row, constraint.column), constraint) for constraint in constraints)
    return _Check(
        level, _number(row, objective.column), tuple(miss for miss in misses if miss is not None)
    )


def _number(row: LevelRow, column: str) -> float | None:
    value = row.get(column)
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return None


def _miss(value: float | None, constraint: Constraint) -> _Miss | None:
    if value is None:
        return _Miss(f"{constraint.column} has no value, must be {_bound(constraint)}", None)
    excess = value - constraint.limit if constraint.upper else constraint.limit - value
    if excess <= 0:
        return None
    return _Miss(
        f"{constraint.column} is {value:.4g}, must be {_bound(constraint)}",
        excess / abs(constraint.limit) if constraint.limit else excess,
    )


def _bound(constraint: Constraint) -> str:
    return f"{'<=' if constraint.upper else '>='} {constraint.limit:g}"


def _best(checks: Sequence[_Check], objective: Objective) -> Reading:
    passing = [check for check in checks if not check.misses]
    valued = [check for check in passing if check.value is not None]
    if valued:
        best = _extreme(valued, lowest=objective.direction is Direction.MINIMIZE)
        return Reading(best.value, best.level, "")
    if passing:
        return _without_value(passing[0], objective)
    nearest = min(checks, key=_nearness)
    text = "; ".join(miss.text for miss in nearest.misses)
    only = "" if len(checks) == 1 else "no level meets the constraints, nearest is "
    return Reading(nearest.value, nearest.level, f"{only}{nearest.level}: {text}")


def _worst(checks: Sequence[_Check], objective: Objective) -> Reading:
    for check in checks:
        if check.value is None:
            return _without_value(check, objective)
    worst = _extreme(checks, lowest=objective.direction is Direction.MAXIMIZE)
    missing = [check for check in checks if check.misses]
    if not missing:
        return Reading(worst.value, worst.level, "")
    furthest = max(missing, key=_nearness)
    text = "; ".join(miss.text for miss in furthest.misses)
    return Reading(worst.value, worst.level, f"{furthest.level}: {text}")


def _extreme(checks: Sequence[_Check], *, lowest: bool) -> _Check:
    def value(check: _Check) -> float:
        # Callers pass only checks with a value.
        return check.value if check.value is not None else math.nan

    return min(checks, key=value) if lowest else max(checks, key=value)


def _nearness(check: _Check) -> tuple[int, float]:
    """Sorts by missing numbers first, then by the largest distance beyond a limit."""
    known = [miss.distance for miss in check.misses if miss.distance is not None]
    return len(check.misses) - len(known), max(known, default=0.0)


def _without_value(check: _Check, objective: Objective) -> Reading:
    return Reading(None, check.level, f"{check.level}: {objective.column} has no value")

"""The level rows of one experiment to the one number that the objective asks for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autotuner.results.limits import LevelRow, judge_level, number, penalised
from autotuner.spec.objective import Constraint, Direction, Objective, Over, WeightedLevel
from autotuner.spec.workload import Level

__all__ = ["LevelRow", "Reading", "Term", "levels_in_scope", "read_objective", "value_at"]


@dataclass(frozen=True, slots=True)
class Term:
    """A level that enters a value, and with what weight."""

    level: Level
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What the levels say for an objective."""

    value: float | None
    level: Level | None
    """The level that the value, or the reason, is about; None for a mean of several."""
    reason: str
    """Why the value does not count; empty when it does."""
    penalty: float = 0.0
    """What missed soft limits cost, see `penalised`."""
    terms: tuple[Term, ...] = ()
    """The levels that the value is the mean of; empty where it does not count."""


@dataclass(frozen=True, slots=True)
class _Check:
    """A level's number under the constraints."""

    level: Level
    value: float | None
    misses: tuple[str, ...]
    distance: tuple[int, float]
    """How far it is from keeping the constraints: numbers missing, then the largest excess."""
    penalty: float
    effective: float | None
    """The value with the penalty applied: levels are compared by it."""


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

    With ``over`` best, the best of the levels that have a number and keep every hard limit; with
    ``weighted``, the weighted mean of its terms, each a level or the best of a workload; with
    ``seed_mean``, the plain mean of all levels. Otherwise the worst of the levels. But for best,
    every level that enters needs a number and must keep every hard limit. A level without a row
    has no numbers, and a missing number keeps no limit. A missed soft limit makes its level's
    number worse, before levels are compared or averaged.

    Args:
        levels: Those of the experiment, the repeats of a level as one.
    """
    scope = levels_in_scope(levels, objective)
    if not scope:
        return Reading(None, None, "no level of the experiment matches the objective")
    checks = [_check(level, rows.get(level, {}), objective, constraints) for level in scope]
    match objective.over:
        case Over.BEST:
            return _best(checks, objective)
        case Over.WEIGHTED:
            return _weighted(checks, objective)
        case Over.SEED_MEAN:
            return _mean([(check, 1.0) for check in checks], objective)
        case _:
            return _worst(checks, objective)


def value_at(
    terms: Iterable[Term],
    rows: Mapping[Level, LevelRow],
    objective: Objective,
    constraints: Sequence[Constraint],
) -> float | None:
    """The effective value of other measurements at the levels that a reading has chosen.

    None where one of the levels has no number. Limits are judged on the reading, so that here a
    missed one costs its penalty, and a hard one nothing.
    """
    total = weights = 0.0
    for term in terms:
        check = _check(term.level, rows.get(term.level, {}), objective, constraints)
        if check.effective is None:
            return None
        total += term.weight * check.effective
        weights += term.weight
    return total / weights if weights else None


def _check(
    level: Level, row: LevelRow, objective: Objective, constraints: Sequence[Constraint]
) -> _Check:
    value = number(row, objective.column)
    judged = judge_level(row, constraints)
    effective = None if value is None else penalised(value, judged.penalty, objective.direction)
    return _Check(level, value, judged.misses, judged.distance, judged.penalty, effective)


def _best(checks: Sequence[_Check], objective: Objective) -> Reading:
    found = _best_check(checks, objective)
    if found is not None:
        return _reading_of(found)
    passing = [check for check in checks if not check.misses]
    if passing:
        return _without_value(passing[0], objective)
    nearest = min(checks, key=_distance)
    only = "" if len(checks) == 1 else "no level meets the constraints, nearest is "
    return Reading(nearest.value, nearest.level, only + _missed(nearest))


def _best_check(checks: Iterable[_Check], objective: Objective) -> _Check | None:
    """The best level that has a number and keeps the hard limits."""
    valued = [check for check in checks if not check.misses and check.value is not None]
    lowest = objective.direction is Direction.MINIMIZE
    return _extreme(valued, lowest=lowest) if valued else None


def _worst(checks: Sequence[_Check], objective: Objective) -> Reading:
    for check in checks:
        if check.value is None:
            return _without_value(check, objective)
    worst = _extreme(checks, lowest=objective.direction is Direction.MAXIMIZE)
    furthest = max(checks, key=_distance)
    if furthest.misses:
        return Reading(worst.value, worst.level, _missed(furthest))
    return _reading_of(worst)


def _weighted(checks: Sequence[_Check], objective: Objective) -> Reading:
    chosen: list[tuple[_Check, float]] = []
    for term in objective.weights:
        candidates = [check for check in checks if _matches(term, check.level)]
        if not candidates:
            return Reading(None, None, f"the experiment has no level {_term_words(term)}")
        # A named level counts as it is, so that what it misses is said of it.
        best = candidates[0] if len(candidates) == 1 else _best_check(candidates, objective)
        if best is None:
            return _best(candidates, objective)
        chosen.append((best, term.weight))
    if not chosen:
        return Reading(None, None, "the objective has no weights")
    return _mean(chosen, objective)


def _matches(term: WeightedLevel, level: Level) -> bool:
    return term.workload in (None, level.workload) and term.concurrency in (None, level.concurrency)


def _term_words(term: WeightedLevel) -> str:
    words = [f"of workload {term.workload}"] if term.workload else []
    words += [f"at concurrency {term.concurrency}"] if term.concurrency else []
    return " ".join(words)


def _mean(chosen: Sequence[tuple[_Check, float]], objective: Objective) -> Reading:
    """The weighted mean; every level must have a number and keep the hard limits."""
    value, effective, weights = 0.0, 0.0, math.fsum(weight for _, weight in chosen)
    for check, weight in chosen:
        if check.value is None or check.effective is None:
            return _without_value(check, objective)
        value += weight / weights * check.value
        effective += weight / weights * check.effective
    furthest = max((check for check, _ in chosen), key=_distance)
    if furthest.misses:
        return Reading(value, furthest.level, _missed(furthest))
    level = chosen[0][0].level if len(chosen) == 1 else None
    terms = tuple(Term(check.level, weight) for check, weight in chosen)
    return Reading(value, level, "", _penalty_of(value, effective), terms)


def _penalty_of(value: float, effective: float) -> float:
    """The penalty that turns the one mean into the other."""
    smaller, larger = sorted((value, effective))
    return max(0.0, larger / smaller - 1.0) if smaller > 0 else 0.0


def _reading_of(check: _Check) -> Reading:
    return Reading(check.value, check.level, "", check.penalty, (Term(check.level),))


def _extreme(checks: Sequence[_Check], *, lowest: bool) -> _Check:
    def effective(check: _Check) -> float:
        # Callers pass only checks with a value.
        return check.effective if check.effective is not None else math.nan

    return min(checks, key=effective) if lowest else max(checks, key=effective)


def _distance(check: _Check) -> tuple[int, float]:
    return check.distance


def _missed(check: _Check) -> str:
    return f"{check.level}: {'; '.join(check.misses)}"


def _without_value(check: _Check, objective: Objective) -> Reading:
    return Reading(None, check.level, f"{check.level}: {objective.column} has no value")

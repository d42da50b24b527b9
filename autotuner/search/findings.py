"""What an experiment has shown, in numbers that a search can order."""

from __future__ import annotations

from dataclasses import dataclass

from autotuner.results.aggregate import Reading, levels_in_scope, read_objective
from autotuner.results.limits import judge_level, penalised
from autotuner.search.base import Candidate, Ended, Told
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Direction, Over

__all__ = ["CRASHED", "Point", "points_of", "violation_of"]

CRASHED = 100.0
"""Violation of a configuration that failed: further off than any that misses its limits."""


@dataclass(frozen=True, slots=True)
class Point:
    """Where an experiment stands: better or worse than others, or how far from being allowed."""

    values: tuple[float, ...] = ()
    """Larger is better; empty where it has none that counts."""
    violation: float = 0.0
    """0: it keeps the limits; else the larger, the further off."""

    @property
    def feasible(self) -> bool:
        return self.violation == 0


def points_of(candidate: Candidate, told: Told, judging: Judging) -> tuple[Point, ...]:
    """The study's objective as one point; none where the experiment has shown nothing.

    An experiment that misses a limit has a violation: numbers that are missing, plus the excess
    over the limit, as a fraction of it, on a scale from 0 to 1. One that was pruned counts with
    the levels that it has.
    """
    if told.ended is Ended.FAILED:
        return (Point(violation=CRASHED),)
    if told.ended in (None, Ended.LOST) or (told.ended is Ended.PRUNED and not told.rows):
        return ()
    reading = read_objective(candidate.levels, told.rows, judging.objective, judging.constraints)
    if reading.value is None or reading.reason:
        return (Point(violation=_violation(candidate, told, judging, reading)),)
    direction = judging.objective.direction
    value = penalised(reading.value, reading.penalty, direction)
    return (Point((value if direction is Direction.MAXIMIZE else -value,)),)


def violation_of(distance: tuple[int, float]) -> float:
    """One number for how far a level is from its limits, see `Limits.distance`."""
    missing, excess = distance
    return missing + excess / (1 + excess)


def _violation(candidate: Candidate, told: Told, judging: Judging, reading: Reading) -> float:
    scope = levels_in_scope(candidate.levels, judging.objective)
    if judging.objective.over in (Over.BEST, Over.WEIGHTED) and reading.level is not None:
        # The level that the reason is about.
        scope = (reading.level,)
    distances = [judge_level(told.rows.get(at, {}), judging.constraints).distance for at in scope]
    worst = max((violation_of(distance) for distance in distances), default=1.0)
    return max(worst + (reading.value is None), 1e-9)

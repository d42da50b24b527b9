"""A whole plan as an estimator sees it: every experiment at every level, and their likely order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from autotuner.results.aggregate import Reading, levels_in_scope, read_objective
from autotuner.results.limits import LevelRow, judge_level, number, penalised
from autotuner.search.estimators.base import Estimate, Estimator, Misfit, Unknown
from autotuner.search.estimators.expected_rows import chance_to_keep, expected_row
from autotuner.search.estimators.subject import load_of, subject_of
from autotuner.spec.experiment import Experiment
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Direction, Over
from autotuner.spec.workload import Level

__all__ = ["Expected", "ExpectedLevel", "forecast", "reasons"]

_LEAST_CHANCE = 1e-6


@dataclass(frozen=True, slots=True)
class ExpectedLevel:
    """What is expected of one level."""

    level: Level
    said: Estimate | Unknown
    row: LevelRow
    """Empty where it is unknown."""
    chance: float | None
    """Probability that it keeps the hard limits; None: not known."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of one experiment."""

    experiment: Experiment
    levels: tuple[ExpectedLevel, ...]
    misfit: Misfit | None
    reading: Reading
    """The objective, read of the expected rows."""
    rank: int | None = None
    """Expected place, from 1; None where the objective cannot be read or it cannot fit."""

    @property
    def is_estimated(self) -> bool:
        """Whether a number is known of any of its levels."""
        return any(isinstance(one.said, Estimate) for one in self.levels)

    @property
    def unknown(self) -> str | None:
        """Why a level of it is not known; None: all are."""
        return next((one.said.reason for one in self.levels if isinstance(one.said, Unknown)), None)


def forecast(
    experiments: Iterable[Experiment],
    judging: Judging,
    estimator: Estimator,
    gpu: str | None = None,
) -> tuple[Expected, ...]:
    """The experiments, the most promising first; then what is not known, then what cannot fit.

    Args:
        gpu: Model of the GPUs; None: the one that the study asks for.
    """
    expected = [_expected(experiment, judging, estimator, gpu) for experiment in experiments]
    ranked = sorted((one for one in expected if _ranks(one)), key=lambda one: _merit(one, judging))
    placed = [replace(one, rank=place) for place, one in enumerate(ranked, start=1)]
    rest = [one for one in expected if not _ranks(one)]
    return (*placed, *sorted(rest, key=lambda one: one.misfit is not None))


def _expected(
    experiment: Experiment, judging: Judging, estimator: Estimator, gpu: str | None
) -> Expected:
    subject = subject_of(experiment.server, experiment.footprint, gpu=gpu)
    levels = []
    for workload in experiment.workloads:
        for level in dict.fromkeys(level.of_all_repeats for level in workload.levels):
            load = load_of(workload, level)
            said = estimator.estimate(subject, load)
            row: LevelRow = {}
            chance = None
            if isinstance(said, Estimate):
                row = expected_row(said, load, subject.gpus, judging.usd_per_gpu_hour)
                chance = chance_to_keep(judging.constraints, row, said)
            levels.append(ExpectedLevel(level, said, row, chance))
    rows = {one.level: one.row for one in levels}
    reading = read_objective(list(rows), rows, judging.objective, judging.constraints)
    return Expected(experiment, tuple(levels), estimator.misfit(subject), reading)


def _ranks(one: Expected) -> bool:
    return one.misfit is None and one.reading.value is not None


def _merit(one: Expected, judging: Judging) -> float:
    """Sorts by the objective's value, the less of it the likelier a limit is missed.

    A limit is no filter: predictions are too far off for that.
    """
    objective = judging.objective
    scope = set(levels_in_scope([level.level for level in one.levels], objective))
    levels = [level for level in one.levels if level.level in scope]
    if objective.over is Over.BEST:
        return min(_worth(level.row, level.chance, judging) for level in levels)
    reading = one.reading
    value = penalised(reading.value or 0.0, reading.penalty, objective.direction)
    chance = math.prod(1.0 if level.chance is None else level.chance for level in levels)
    return _discounted(value, chance, objective.direction)


def _worth(row: LevelRow, chance: float | None, judging: Judging) -> float:
    """Of a level that may be the best one; infinite where it has no value."""
    objective = judging.objective
    value = number(row, objective.column)
    if value is None:
        return math.inf
    penalty = judge_level(row, judging.constraints).penalty
    value = penalised(value, penalty, objective.direction)
    return _discounted(value, 1.0 if chance is None else chance, objective.direction)


def _discounted(value: float, chance: float, direction: Direction) -> float:
    if direction is Direction.MAXIMIZE:
        return -value * chance
    return value / max(chance, _LEAST_CHANCE)


def reasons(expected: Sequence[Expected]) -> dict[str, int]:
    """Why estimates are missing -> of how many experiments."""
    counts: dict[str, int] = {}
    for one in expected:
        if (reason := one.unknown) is not None:
            counts[reason] = counts.get(reason, 0) + 1
    return counts

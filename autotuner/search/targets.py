"""What a model predicts: each candidate at each level, or each candidate as a whole.

Where the objective takes a candidate's best level, every level is a place of its own. Where it
takes a mean, the worst or a named level, all levels have to be measured, and a candidate has one
place: its value for the objective, and for each constraint the level nearest to missing it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autotuner.results.aggregate import levels_in_scope, read_objective
from autotuner.results.limits import LevelRow
from autotuner.search.axes import Ints
from autotuner.search.base import Candidate, Problem
from autotuner.search.yardstick import Floats, Yardstick
from autotuner.spec.objective import Direction, Over
from autotuner.spec.workload import Level

__all__ = ["Targets", "targets_of"]

_MOST_LEVELS = 16
"""Of a workload; where a load is to be found there are fifty, each of which tells of the next."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Candidates x places."""

    candidates: tuple[Candidate, ...]
    yardstick: Yardstick
    levels: tuple[Level, ...]
    """Those in the objective's scope, of all candidates; of very many, some that stand for all."""
    place_of: Mapping[Level, int]
    """Each level in scope -> the place of the one that stands for it."""
    each: bool
    """Whether each level is a place; else there is one place, for all of them."""
    exists: npt.NDArray[np.bool_]
    """Candidates x places."""
    concurrency: Floats
    """Of each place."""
    workloads: Ints
    """Of each place, its number."""
    gpus: Floats
    """Of each candidate; a server without any counts as one."""

    @property
    def load(self) -> Floats:
        """Candidates x places: requests in flight per GPU."""
        found: Floats = self.concurrency / self.gpus[:, None]
        return found

    def observed(
        self, candidate: Candidate, rows: Mapping[Level, LevelRow]
    ) -> dict[int, tuple[float, ...]]:
        """Place -> logarithms of its columns, where the objective has a number."""
        if self.each:
            # The level itself comes after those that it stands for.
            known = sorted(rows.keys() & self.place_of, key=self.levels.__contains__)
            found = {self.place_of[level]: self.yardstick.logs(rows[level]) for level in known}
        else:
            found = {0: self._as_a_whole(candidate, rows)}
        return {place: logs for place, logs in found.items() if not math.isnan(logs[0])}

    def measured(self, candidate: Candidate, rows: Mapping[Level, LevelRow]) -> float | None:
        """Utility of what was measured of it; None where that does not count."""
        levels = candidate.levels
        if self.each:
            levels = tuple(level for level in levels if level in rows)
        return self.yardstick.measured(levels, rows) if levels else None

    def reduced(self, logs: Floats) -> Floats:
        """Candidates x levels x columns to candidates x places x columns.

        A level that a candidate does not have is NaN.
        """
        if self.each:
            return logs
        if not self.levels:
            return np.zeros((len(logs), 1, logs.shape[2]))
        objective = self.yardstick.objective
        found = np.nanmean(logs, axis=1)
        if objective.over not in (Over.WEIGHTED, Over.SEED_MEAN):
            maximise = objective.direction is Direction.MAXIMIZE
            found[:, 0] = (np.nanmin if maximise else np.nanmax)(logs[:, :, 0], axis=1)
        for column in range(1, logs.shape[2]):
            nearest = np.nanmax if self._upper(column) else np.nanmin
            found[:, column] = nearest(logs[:, :, column], axis=1)
        turned: Floats = found[:, None, :]
        return turned

    def _as_a_whole(
        self, candidate: Candidate, rows: Mapping[Level, LevelRow]
    ) -> tuple[float, ...]:
        yardstick = self.yardstick
        objective = yardstick.objective
        # What it misses is told by the constraints' own columns.
        value = read_objective(candidate.levels, rows, objective, ()).value
        scope = [level for level in levels_in_scope(candidate.levels, objective) if level in rows]
        if value is None or not scope:
            return (math.nan,) * len(yardstick.columns)
        found = [yardstick.logs({objective.column: value})[0]]
        logs = np.array([yardstick.logs(rows[level]) for level in scope])
        for column in range(1, len(yardstick.columns)):
            values = logs[:, column]
            found.append(float(values.max() if self._upper(column) else values.min()))
        return tuple(found)

    def _upper(self, column: int) -> bool:
        name = self.yardstick.columns[column]
        return any(one.upper for one in self.yardstick.predicted if one.column == name)


def targets_of(problem: Problem, yardstick: Yardstick) -> Targets:
    objective = problem.judging.objective
    scopes = [set(levels_in_scope(one.levels, objective)) for one in problem.candidates]
    every = tuple(sorted(set().union(*scopes)))
    levels = _some(every)
    place_of = {level: _nearest(level, levels) for level in every}
    gpus = np.array([max(one.gpus, 1) for one in problem.candidates], dtype=np.float64)
    each = objective.over is Over.BEST and bool(every)
    concurrency = np.array([level.concurrency for level in every], dtype=np.float64)
    if not each:
        middle = np.exp(np.log(concurrency).mean(keepdims=True)) if every else np.ones(1)
        exists, workloads = np.ones((len(scopes), 1), dtype=bool), np.zeros(1, dtype=np.int64)
        return Targets(
            problem.candidates, yardstick, every, {}, False, exists, middle, workloads, gpus
        )
    exists = np.zeros((len(scopes), len(levels)), dtype=bool)
    for i, scope in enumerate(scopes):
        exists[i, [place_of[level] for level in scope]] = True
    concurrency = np.array([level.concurrency for level in levels], dtype=np.float64)
    names = sorted({level.workload for level in levels})
    workloads = np.array([names.index(level.workload) for level in levels], dtype=np.int64)
    return Targets(
        problem.candidates, yardstick, levels, place_of, True, exists, concurrency, workloads, gpus
    )


def _some(levels: Sequence[Level]) -> tuple[Level, ...]:
    """Of each workload's levels so many at most, spread over them, the outermost among them."""
    found: list[Level] = []
    for workload in sorted({level.workload for level in levels}):
        own = [level for level in levels if level.workload == workload]
        picked = np.linspace(0, len(own) - 1, min(len(own), _MOST_LEVELS)).round()
        found += [own[int(i)] for i in picked]
    return tuple(found)


def _nearest(level: Level, levels: Sequence[Level]) -> int:
    own = [i for i, other in enumerate(levels) if other.workload == level.workload]
    return min(own, key=lambda i: abs(math.log(levels[i].concurrency / level.concurrency)))

"""Optuna's NSGA-II: not one best configuration, but those from which a user may choose.

The objectives are the axes of the Pareto front in the results: output tokens per second and GPU,
tokens per second that one user sees, and seconds to the first token. As there, a point is a level
of a configuration, and the study's objective plays no role; but the limits do, so that the front
is sought within them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from optuna.samplers import NSGAIISampler

from autotuner.results.limits import LevelRow, judge_level, number
from autotuner.search.axes import Axes
from autotuner.search.base import Candidate, Ended, Problem, Told
from autotuner.search.findings import CRASHED, Point, violation_of
from autotuner.search.level_plans import AllLevels, LevelPlan
from autotuner.search.modelled import SampledStrategy
from autotuner.search.optuna_study import OptunaStudy
from autotuner.spec.workload import Level

__all__ = ["Nsga2Strategy"]

_GENERATION = 8
_OBJECTIVES = 3


class Nsga2Strategy(SampledStrategy):
    """For a front.

    With several workloads, the levels of the same place in their lists are one point, the
    geometric mean of each objective: a configuration has to serve all of them.
    """

    sampler_name = "NSGA-II"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        searching = problem.searching
        experiments = max(2, searching.first or _GENERATION)
        self._population = experiments * max(
            (len(_rungs(candidate.levels)) for candidate in problem.candidates), default=1
        )

    def new_study(self, axes: Axes, seed: int) -> OptunaStudy:
        sampler = NSGAIISampler(population_size=max(2, self._population), seed=seed)
        return OptunaStudy(axes, sampler, _OBJECTIVES)

    def levels(self, candidate: Candidate) -> LevelPlan:
        """All: each is a point of the front, also where the study's objective needs one alone."""
        return AllLevels(candidate.levels)

    def points(self, candidate: Candidate, told: Told) -> tuple[Point, ...]:
        if told.ended is Ended.FAILED:
            return (Point(violation=CRASHED),)
        if told.ended is Ended.LOST:
            return ()
        rungs = [[told.rows.get(level) for level in rung] for rung in _rungs(candidate.levels)]
        found = [
            self._point([row for row in rung if row is not None])
            for rung in rungs
            if None not in rung
        ]
        if not found and told.ended is Ended.COMPLETED:
            return (Point(violation=1.0),)
        return tuple(found)

    def _point(self, rows: Sequence[LevelRow]) -> Point:
        constraints = self.problem.judging.constraints
        violation = max(violation_of(judge_level(row, constraints).distance) for row in rows)
        numbers = [_objectives(row) for row in rows]
        known = [one for one in numbers if one is not None]
        if violation > 0 or len(known) < len(numbers):
            return Point(violation=violation + len(numbers) - len(known))
        throughput, interactivity, ttft_s = (_mean(column) for column in zip(*known, strict=True))
        return Point((throughput, interactivity, -ttft_s))


def _rungs(levels: Sequence[Level]) -> list[tuple[Level, ...]]:
    """The levels of all workloads, those of the same place in their lists together."""
    lists: dict[str, list[Level]] = {}
    for level in levels:
        lists.setdefault(level.workload, []).append(level)
    return list(zip(*lists.values(), strict=False))


def _objectives(row: LevelRow) -> tuple[float, float, float] | None:
    throughput = number(row, "output_throughput_tok_s_per_gpu")
    if throughput is None:  # of a server without GPUs
        throughput = number(row, "output_throughput_tok_s")
    tpot_s, ttft_s = number(row, "tpot_s_p50"), number(row, "ttft_s_p50")
    if throughput is None or ttft_s is None or tpot_s is None or tpot_s <= 0:
        return None
    return throughput, 1 / tpot_s, ttft_s


def _mean(values: Sequence[float]) -> float:
    """Geometric: a change by a tenth counts alike, however fast the workload."""
    if len(values) == 1 or min(values) <= 0:
        return min(values)
    return math.exp(math.fsum(math.log(value) for value in values) / len(values))

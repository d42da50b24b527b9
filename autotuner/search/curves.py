"""What is believed of the curves of all candidates, and which levels of each server follow from it.

For every strategy whose study leaves levels out (`levels: adaptive`): those that do not choose by
these beliefs have their servers climb by them.
"""

from __future__ import annotations

import numpy as np

from autotuner.search.axes import Axes
from autotuner.search.base import Candidate, Problem, Told
from autotuner.search.climb import Climb
from autotuner.search.curve_prior import prior_of
from autotuner.search.level_plans import AllLevels, LevelPlan
from autotuner.search.measured import Measured
from autotuner.search.surrogate import Surrogate
from autotuner.search.targets import targets_of
from autotuner.search.yardstick import yardstick
from autotuner.spec.objective import Over
from autotuner.spec.searching import LevelChoice

__all__ = ["Curves", "leaves_levels_out"]

_FIRST_LEARNED_AT, _LEARNED_AGAIN = 6, 1.25
"""How much each parameter counts is learned from so many candidates, and anew when there are so
many times as many."""
_LEARNED_FROM = 150
"""Measurements, at most: the time for it grows with the cube of them."""


def leaves_levels_out(problem: Problem) -> bool:
    """Whether servers choose which of their levels they measure."""
    wanted = problem.searching.levels is LevelChoice.ADAPTIVE
    return wanted and problem.judging.objective.over is Over.BEST


class Curves:
    """Of one problem; learns from what it is told when it is asked."""

    def __init__(self, problem: Problem) -> None:
        judging, stop = problem.judging, problem.searching.stop_when
        self._index = {one.id: i for i, one in enumerate(problem.candidates)}
        self.axes = Axes([one.parameters for one in problem.candidates])
        self.targets = targets_of(problem, yardstick(judging.objective, judging.constraints))
        self.measured = Measured(self.targets)
        self.model = Surrogate(self.targets, self.axes, prior_of(problem, self.targets))
        self.climbs = self.targets.each and leaves_levels_out(problem)
        wished = stop.expected_gain_below
        self.worth = judging.minimal_effect / 2 if wished is None else wished
        """Gain, as a fraction of the best so far, below which a measurement is not worth it."""
        self._learn_at = _FIRST_LEARNED_AT

    def tell(self, candidate: Candidate, told: Told) -> None:
        self.measured.tell(candidate, told)

    def learn(self) -> None:
        """Bring the model up to all that was told."""
        seen = self.measured.observations()
        tried = len(np.unique(seen.candidates))
        if tried >= self._learn_at:
            self._learn_at = int(tried * _LEARNED_AGAIN) + 1
            some = slice(None, None, -(-len(seen) // _LEARNED_FROM))
            self.model.learn_relevance(seen.candidates[some], seen.places[some], seen.logs[some])
        self.model.learn(seen.candidates, seen.places, seen.logs)

    def plan(self, candidate: Candidate) -> LevelPlan:
        """Which of its levels are measured, by what was learned last."""
        if not self.climbs:
            return AllLevels(candidate.levels)
        index = self._index[candidate.id]
        exists = self.targets.exists[index]
        levels = [level for level, has in zip(self.targets.levels, exists, strict=True) if has]
        if not set(levels) <= set(candidate.levels):  # other candidates' levels stand for its own
            return AllLevels(candidate.levels)
        belief, best = self.model.belief(index), self.measured.best()
        return Climb(tuple(levels), belief, self.targets.yardstick, best, self.worth)

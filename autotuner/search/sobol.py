"""Candidates spread evenly over the space, without regard to what they show."""

from __future__ import annotations

from autotuner.search.axes import Axes
from autotuner.search.base import Problem
from autotuner.search.pool import PoolStrategy
from autotuner.search.spread import spread_out

__all__ = ["SobolStrategy"]


class SobolStrategy(PoolStrategy):
    """A scrambled Sobol sequence: wherever it ends, no part of the space was left out.

    A resumed study goes on in the order it began.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        axes = Axes([candidate.parameters for candidate in problem.candidates])
        self._order = spread_out(problem.candidates, axes, problem.searching.seed)

    def choose(self) -> tuple[str, str]:
        return next(one for one in self._order if one in self.left), "spread over the space"

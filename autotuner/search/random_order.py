"""Candidates in an order drawn at random: what a cleverer strategy has to beat."""

from __future__ import annotations

from autotuner.search.base import Problem
from autotuner.search.pool import PoolStrategy
from autotuner.spec.ordering import drawn

__all__ = ["RandomStrategy"]


class RandomStrategy(PoolStrategy):
    """Draws without putting back.

    A candidate's place is a hash of seed and id, so that a resumed study goes on in the order it
    began, and candidates that are added do not move the others.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        order = drawn(list(self.candidates), problem.searching.seed, str)
        self._order = iter(order)

    def choose(self) -> tuple[str, str]:
        return next(one for one in self._order if one in self.left), "drawn at random"

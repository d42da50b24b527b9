"""What all strategies of ours share that choose among candidates one by one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from autotuner.search.base import Ask, Candidate, Problem, Strategy, Told
from autotuner.search.curves import Curves, leaves_levels_out
from autotuner.search.findings import Point, points_of
from autotuner.search.level_plans import AllLevels, LevelPlan
from autotuner.search.stopping import NoImprovement

__all__ = ["PoolStrategy"]


class PoolStrategy(Strategy):
    """Asks for every candidate at most once, the baseline first; which comes next is `choose`'s.

    What has ended, in this run or an earlier one, however it ended, is not asked for.

    Args:
        curves: Of a strategy that has a use of its own for them; else they are made where servers
            choose their levels.
    """

    def __init__(self, problem: Problem, curves: Curves | None = None) -> None:
        super().__init__(problem)
        self.candidates = {candidate.id: candidate for candidate in problem.candidates}
        self.left = dict.fromkeys(self.candidates)
        """Ids that may be asked for, in the order of the plan."""
        stop = problem.searching.stop_when.no_improvement
        self._stop = NoImprovement(stop, problem.judging.minimal_effect)
        if curves is None and leaves_levels_out(problem):
            curves = Curves(problem)
        self._curves = curves

    @abstractmethod
    def choose(self) -> tuple[str, str]:
        """Which of `left` comes next, which is not empty, and why, in a few words."""

    def may_ask(self) -> bool:
        """Whether one more may be asked for now."""
        return self.finished is None

    def asked(self, candidate: Candidate) -> None:
        """It has been chosen, and is pending now."""

    def heard(self, candidate: Candidate, told: Told, points: Sequence[Point]) -> None:
        """An experiment has ended, or another end of it is known.

        Args:
            points: See `points`; empty where it says nothing of the configuration.
        """

    def points(self, candidate: Candidate, told: Told) -> tuple[Point, ...]:
        """What an experiment that has ended says of the configuration; nothing if it was lost."""
        return points_of(candidate, told, self.problem.judging)

    def levels(self, candidate: Candidate) -> LevelPlan:
        """Which of its levels are measured."""
        if self._curves is None:
            return AllLevels(candidate.levels)
        self._curves.learn()
        return self._curves.plan(candidate)

    def ask(self, most: int) -> Sequence[Ask]:
        asks: list[Ask] = []
        while len(asks) < most and self.may_ask():
            baseline = self.problem.baseline
            chosen, why = (baseline, "baseline") if baseline in self.left else self.choose()
            candidate = self.candidates[chosen]
            del self.left[chosen]
            asks.append(Ask(chosen, self.levels(candidate), why))
            self.asked(candidate)
        return asks

    def tell(self, told: Told) -> None:
        candidate = self.candidates.get(told.candidate)
        if candidate is None:
            return
        if self._curves is not None:
            self._curves.tell(candidate, told)
        was_left = candidate.id in self.left
        self.left.pop(candidate.id, None)
        if told.ended is None:
            if was_left:  # pending, though not on our word
                self.asked(candidate)
            return
        points = self.points(candidate, told)
        self._stop.tell(candidate.id, points)
        self.heard(candidate, told, points)

    @property
    def finished(self) -> str | None:
        if not self.left:
            return f"all {len(self.candidates)} experiments have been asked for"
        return self._stop.reason

    def expected_experiments(self) -> int | None:
        some = self.problem.searching.stop_when.no_improvement is not None
        return None if some else len(self.candidates)

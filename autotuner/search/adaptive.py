"""Our own strategy: GPU time goes where it is expected to better the best, else to nothing.

A model (`surrogate`) says what each candidate may do at each level: from an estimator, or the usual
shape of such curves, corrected by everything measured so far. The candidate with the largest
expected gain per GPU-second is next (`promise`); its server is loaded with the levels that are
worth their time (`climb`); and the search ends when no candidate is worth its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from autotuner.search.axes import Ints
from autotuner.search.base import Candidate, Problem, Told
from autotuner.search.crashes import chance_of_running
from autotuner.search.curves import Curves
from autotuner.search.findings import Point
from autotuner.search.level_plans import LevelPlan
from autotuner.search.likeness import features_of
from autotuner.search.pool import PoolStrategy
from autotuner.search.promise import costs_of, draw
from autotuner.search.spread import spread_out
from autotuner.search.yardstick import Floats

__all__ = ["AdaptiveStrategy"]

_FEWEST_IN_FLIGHT = 2
_CANDIDATES_PER_IN_FLIGHT = 8
"""One in so many is measured at a time, at most: those that run together learn nothing of each
other."""
_MOST_WEIGHED = 2000
"""Candidates that are compared for an ask; of more, so many are drawn each time."""
_EXPECTED, _EXPECTED_POWER = 0.65, 0.75
_HOPELESS = 1 / 64
_LEAST_IN_VAIN, _CANDIDATES_PER_IN_VAIN = 4, 4
"""Where no candidate keeps the limits, and none is likely to, the search ends when so many, and one
in so many, have been tried."""


@dataclass(frozen=True, slots=True)
class _Choice:
    candidate: str | None
    """None: none is worth its GPU time."""
    why: str


class AdaptiveStrategy(PoolStrategy):
    """See the module's docstring."""

    tells_expected_gain: ClassVar[bool] = True

    def __init__(self, problem: Problem) -> None:
        candidates, searching = problem.candidates, problem.searching
        self._known = Curves(problem)
        super().__init__(problem, self._known)
        self._index = {one.id: i for i, one in enumerate(candidates)}
        self._pending: dict[str, None] = {}
        self._choice: _Choice | None = None
        """Thought of, and nothing has happened since."""
        self._features = features_of(self._known.axes)
        self._costs = costs_of(candidates, climbs=self._known.climbs)
        self._first = searching.first or 0
        self._spread: Iterator[str] = spread_out(candidates, self._known.axes, searching.seed)

    def may_ask(self) -> bool:
        if super().finished is not None:
            return False
        most = max(_FEWEST_IN_FLIGHT, len(self._index) // _CANDIDATES_PER_IN_FLIGHT)
        return len(self._pending) < most and self._chosen().candidate is not None

    def choose(self) -> tuple[str, str]:
        choice = self._chosen()
        if choice.candidate is None:
            raise LookupError(choice.why)
        return choice.candidate, choice.why

    def levels(self, candidate: Candidate) -> LevelPlan:
        return self._known.plan(candidate)

    def asked(self, candidate: Candidate) -> None:
        self._pending[candidate.id] = None
        self._choice = None

    def heard(self, candidate: Candidate, told: Told, points: Sequence[Point]) -> None:
        self._pending.pop(candidate.id, None)

    def tell(self, told: Told) -> None:
        self._choice = None
        super().tell(told)

    @property
    def finished(self) -> str | None:
        if (reason := super().finished) is not None or self._pending:
            return reason
        choice = self._chosen()
        return choice.why if choice.candidate is None else None

    def expected_experiments(self) -> int | None:
        """As many as searches of spaces of 8 to 432 candidates have taken in replays."""
        count = len(self._index)
        return min(count, math.ceil(_EXPECTED * math.pow(count, _EXPECTED_POWER)))

    def _chosen(self) -> _Choice:
        """The next of those left, of which there are some."""
        if self._choice is None:
            self._known.learn()
            self._choice = self._required() or self._weighed()
        return self._choice

    def _required(self) -> _Choice | None:
        """What comes first, whatever the model says."""
        if self.problem.baseline in self.left:
            return _Choice(self.problem.baseline, "baseline")
        begun = len(self._index) - len(self.left)
        if begun >= self._first:
            return None
        chosen = next((one for one in self._spread if one in self.left), None)
        if chosen is None:
            return None
        return _Choice(chosen, f"one of the first {self._first}, spread over the space")

    def _weighed(self) -> _Choice:
        """The one with the largest gain per GPU-second, of those that are worth it."""
        best = self._known.measured.best()
        to_beat = self._imagine(best) if self._pending else best
        left = self._to_weigh()
        drawn = draw(self._known.targets, left, self._known.model.predict(left))
        runs = chance_of_running(self._features, *self._known.measured.ended())[left]
        if to_beat is None:
            return self._nearest(left, runs * drawn.merit(), float(drawn.chance.max()))
        gain = runs * drawn.gain(to_beat)
        worthy = gain >= self._costs.least_gain(left, self._known.worth)
        if not worthy.any():
            most = f"{100 * gain.max():.2g} %"
            return _Choice(None, f"no experiment left is expected to gain more than {most}")
        rate = np.where(worthy, gain, 0.0) / self._costs.of_each[left]
        chosen = int(rate.argmax())
        why = f"expected to better the best so far by {100 * gain[chosen]:.2g} %"
        return _Choice(self.problem.candidates[left[chosen]].id, why)

    def _nearest(self, left: Ints, merit: Floats, chance: float) -> _Choice:
        """Nothing keeps the limits so far."""
        tried = len(self._index) - len(self.left)
        enough = max(_LEAST_IN_VAIN, len(self._index) // _CANDIDATES_PER_IN_VAIN)
        if chance < _HOPELESS and tried >= enough:
            why = f"none of {tried} experiments keeps the limits, and none left is likely to"
            return _Choice(None, why)
        chosen = int((merit / self._costs.of_each[left]).argmax())
        return _Choice(
            self.problem.candidates[left[chosen]].id,
            f"keeps the limits with a chance of {100 * chance:.2g} % at most"
            if tried
            else "promises the most per GPU-second",
        )

    def _imagine(self, best: float | None) -> float | None:
        """Take what runs to come out as expected; the utility to beat then."""
        seen = self._known.measured.observations()
        running = np.array([self._index[one] for one in self._pending], dtype=np.int64)
        prediction = self._known.model.predict(running)
        utility = self._known.targets.yardstick.utility(prediction.mean)
        places = np.where(self._known.targets.exists[running], utility, -np.inf).argmax(axis=1)
        logs = prediction.mean[np.arange(len(running)), places]
        expected = draw(self._known.targets, running, prediction).expected
        self._known.model.learn(
            np.concatenate([seen.candidates, running]),
            np.concatenate([seen.places, places]),
            np.concatenate([seen.logs, logs]),
            imagined=len(running),
        )
        values = [value for value in (best, float(expected.max())) if value is not None]
        top = max(values)
        return top if np.isfinite(top) else None

    def _to_weigh(self) -> Ints:
        left = np.array([self._index[one] for one in self.left], dtype=np.int64)
        if len(left) <= _MOST_WEIGHED:
            return left
        generator = np.random.default_rng([self.problem.searching.seed, len(left)])
        drawn: Ints = np.sort(generator.choice(left, _MOST_WEIGHED, replace=False))
        return drawn

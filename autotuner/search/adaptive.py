"""Our own strategy: GPU time goes where it is expected to better the best, else to nothing.

A model (`surrogate`) says what each candidate may do at each level: from an estimator, or the usual
shape of such curves, corrected by everything measured so far. The candidate with the largest
expected gain per GPU-second is next (`promise`); its server is loaded with the levels that are
worth their time (`climb`); and the search ends when no candidate is worth its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from autotuner.search.axes import Axes, Ints
from autotuner.search.base import Ask, Problem, Strategy, Told
from autotuner.search.climb import Climb
from autotuner.search.crashes import chance_of_running
from autotuner.search.curve_prior import prior_of
from autotuner.search.findings import points_of
from autotuner.search.level_plans import AllLevels, LevelPlan
from autotuner.search.likeness import features_of
from autotuner.search.measured import Measured
from autotuner.search.promise import costs_of, draw
from autotuner.search.spread import spread_out
from autotuner.search.stopping import NoImprovement
from autotuner.search.surrogate import Surrogate
from autotuner.search.targets import targets_of
from autotuner.search.yardstick import Floats, yardstick
from autotuner.spec.searching import LevelChoice

__all__ = ["AdaptiveStrategy"]

_FEWEST_IN_FLIGHT = 2
_CANDIDATES_PER_IN_FLIGHT = 8
"""One in so many is measured at a time, at most: those that run together learn nothing of each
other."""
_MOST_WEIGHED = 2000
"""Candidates that are compared for an ask; of more, so many are drawn each time."""
_FIRST_LEARNED_AT, _LEARNED_AGAIN = 6, 1.25
"""How much each parameter counts is learned from so many candidates, and anew when there are so
many times as many."""
_LEARNED_FROM = 150
"""Measurements, at most: the time for it grows with the cube of them."""

_HOPELESS = 1 / 64
_TRIED_IN_VAIN = 4
"""Where no candidate keeps the limits, and none is likely to, the search ends when one in so many
has been tried."""


@dataclass(frozen=True, slots=True)
class _Choice:
    candidate: str | None
    """None: none is worth its GPU time."""
    why: str


class AdaptiveStrategy(Strategy):
    """See the module's docstring."""

    tells_expected_gain: ClassVar[bool] = True

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        candidates, judging, searching = problem.candidates, problem.judging, problem.searching
        self._index = {one.id: i for i, one in enumerate(candidates)}
        self._left = dict.fromkeys(self._index)
        self._pending: dict[str, None] = {}
        self._choice: _Choice | None = None
        """Thought of, and nothing has happened since."""
        axes = Axes([one.parameters for one in candidates])
        self._targets = targets_of(problem, yardstick(judging.objective, judging.constraints))
        self._measured = Measured(self._targets)
        self._features = features_of(axes)
        self._model = Surrogate(self._targets, axes, prior_of(problem, self._targets))
        self._learn_at = _FIRST_LEARNED_AT
        self._climbs = self._targets.each and searching.levels is LevelChoice.ADAPTIVE
        self._costs = costs_of(candidates, climbs=self._climbs)
        wished = searching.stop_when.expected_gain_below
        self._worth = judging.minimal_effect / 2 if wished is None else wished
        self._stop = NoImprovement(searching.stop_when.no_improvement, judging.minimal_effect)
        self._first = searching.first or 0
        self._spread: Iterator[str] = spread_out(candidates, axes, searching.seed)

    def ask(self, most: int) -> Sequence[Ask]:
        asks: list[Ask] = []
        while len(asks) < most and self._may_start():
            choice = self._chosen()
            if choice.candidate is None:
                break
            asks.append(Ask(choice.candidate, self._levels(choice.candidate), choice.why))
            del self._left[choice.candidate]
            self._pending[choice.candidate] = None
            self._choice = None
        return asks

    def tell(self, told: Told) -> None:
        index = self._index.get(told.candidate)
        if index is None:
            return
        candidate = self.problem.candidates[index]
        self._choice = None
        self._measured.tell(candidate, told)
        was_left = candidate.id in self._left
        self._left.pop(candidate.id, None)
        if told.ended is not None:
            self._pending.pop(candidate.id, None)
            self._stop.tell(candidate.id, points_of(candidate, told, self.problem.judging))
        elif was_left:  # it runs, though not on our word
            self._pending[candidate.id] = None

    @property
    def finished(self) -> str | None:
        if not self._left:
            return f"all {len(self._index)} experiments have been asked for"
        if self._stop.reason is not None or self._pending:
            return self._stop.reason
        choice = self._chosen()
        return choice.why if choice.candidate is None else None

    def expected_experiments(self) -> int | None:
        return None

    def _may_start(self) -> bool:
        if not self._left or self._stop.reason is not None:
            return False
        most = max(_FEWEST_IN_FLIGHT, len(self._index) // _CANDIDATES_PER_IN_FLIGHT)
        return len(self._pending) < most

    def _chosen(self) -> _Choice:
        """The next of those left, of which there are some."""
        if self._choice is None:
            self._learn()
            self._choice = self._required() or self._weighed()
        return self._choice

    def _required(self) -> _Choice | None:
        """What comes first, whatever the model says."""
        if self.problem.baseline in self._left:
            return _Choice(self.problem.baseline, "baseline")
        begun = len(self._index) - len(self._left)
        if begun >= self._first:
            return None
        chosen = next((one for one in self._spread if one in self._left), None)
        if chosen is None:
            return None
        return _Choice(chosen, f"one of the first {self._first}, spread over the space")

    def _learn(self) -> None:
        seen = self._measured.observations()
        tried = len(np.unique(seen.candidates))
        if tried >= self._learn_at:
            self._learn_at = int(tried * _LEARNED_AGAIN) + 1
            some = slice(None, None, -(-len(seen) // _LEARNED_FROM))
            self._model.learn_relevance(seen.candidates[some], seen.places[some], seen.logs[some])
        self._model.learn(seen.candidates, seen.places, seen.logs)

    def _weighed(self) -> _Choice:
        """The one with the largest gain per GPU-second, of those that are worth it."""
        best = self._measured.best()
        to_beat = self._imagine(best) if self._pending else best
        left = self._to_weigh()
        drawn = draw(self._targets, left, self._model.predict(left))
        runs = chance_of_running(self._features, *self._measured.ended())[left]
        if to_beat is None:
            return self._nearest(left, runs * drawn.merit(), float(drawn.chance.max()))
        gain = runs * drawn.gain(to_beat)
        worthy = gain >= self._costs.least_gain(left, self._worth)
        if not worthy.any():
            most = f"{100 * gain.max():.2g} %"
            return _Choice(None, f"no experiment left is expected to gain more than {most}")
        rate = np.where(worthy, gain, 0.0) / self._costs.of_each[left]
        chosen = int(rate.argmax())
        why = f"expected to better the best so far by {100 * gain[chosen]:.2g} %"
        return _Choice(self.problem.candidates[left[chosen]].id, why)

    def _nearest(self, left: Ints, merit: Floats, chance: float) -> _Choice:
        """Nothing keeps the limits so far."""
        tried = len(self._index) - len(self._left)
        if chance < _HOPELESS and tried * _TRIED_IN_VAIN >= len(self._index):
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
        seen = self._measured.observations()
        running = np.array([self._index[one] for one in self._pending], dtype=np.int64)
        prediction = self._model.predict(running)
        utility = self._targets.yardstick.utility(prediction.mean)
        places = np.where(self._targets.exists[running], utility, -np.inf).argmax(axis=1)
        logs = prediction.mean[np.arange(len(running)), places]
        expected = draw(self._targets, running, prediction).expected
        self._model.learn(
            np.concatenate([seen.candidates, running]),
            np.concatenate([seen.places, places]),
            np.concatenate([seen.logs, logs]),
            imagined=len(running),
        )
        values = [value for value in (best, float(expected.max())) if value is not None]
        top = max(values)
        return top if np.isfinite(top) else None

    def _to_weigh(self) -> Ints:
        left = np.array([self._index[one] for one in self._left], dtype=np.int64)
        if len(left) <= _MOST_WEIGHED:
            return left
        generator = np.random.default_rng([self.problem.searching.seed, len(left)])
        drawn: Ints = np.sort(generator.choice(left, _MOST_WEIGHED, replace=False))
        return drawn

    def _levels(self, candidate: str) -> LevelPlan:
        index = self._index[candidate]
        if not self._climbs:
            return AllLevels(self.problem.candidates[index].levels)
        exists = self._targets.exists[index]
        levels = [level for level, has in zip(self._targets.levels, exists, strict=True) if has]
        best = self._measured.best()
        belief = self._model.belief(index)
        return Climb(tuple(levels), belief, self._targets.yardstick, best, self._worth)

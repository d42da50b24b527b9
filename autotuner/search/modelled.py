"""What strategies share that let an Optuna sampler choose."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from autotuner.search.axes import Axes, Place
from autotuner.search.base import Candidate, Problem, Told
from autotuner.search.feasibility import chance_of_no_crash
from autotuner.search.findings import CRASHED, Point
from autotuner.search.likeness import features_of
from autotuner.search.optuna_study import OptunaStudy
from autotuner.search.pool import PoolStrategy
from autotuner.search.spread import spread_out

__all__ = ["SampledStrategy"]

_FIRST = 8
_TRIES = 3
_LIKELY = 0.5


class SampledStrategy(PoolStrategy):
    """Spreads the first experiments over the space, then asks a sampler.

    A sampler knows no candidates, only axes: what it suggests is moved to the nearest candidate
    that may still be asked for, and the sampler is told of that one. What runs is pending for it,
    what failed is told as infeasible, and what was lost as nothing at all.
    """

    sampler_name: str
    """For the user."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        candidates, searching = problem.candidates, problem.searching
        self._axes = Axes([candidate.parameters for candidate in candidates])
        self._features = features_of(self._axes)
        self._index = {candidate.id: index for index, candidate in enumerate(candidates)}
        self._spread = spread_out(candidates, self._axes, searching.seed)
        self._first = _FIRST if searching.first is None else searching.first
        self._running: dict[str, int | None] = {}
        """What was asked for and has not ended; its number in the Optuna study."""
        self._shown: dict[str, tuple[Point, ...]] = {}
        """What has ended, in the order in which that was first told."""
        self._studies = 0
        self._study: OptunaStudy | None = None

    @abstractmethod
    def new_study(self, axes: Axes, seed: int) -> OptunaStudy:
        """An Optuna study that knows nothing yet."""

    def choose(self) -> tuple[str, str]:
        begun = len(self._shown) + len(self._running)
        known = sum(1 for points in self._shown.values() if points)
        # With many slots the first are all asked for before anything is known.
        if begun < self._first or known < max(1, self._first // 2) or not self._axes.axes:
            return next(one for one in self._spread if one in self.left), "spread over the space"
        chosen = self._nearest(self._current_study())
        return chosen, f"suggested by {self.sampler_name} after {known} experiments"

    def asked(self, candidate: Candidate) -> None:
        self._running[candidate.id] = None
        if self._study is not None:
            self._running[candidate.id] = self._study.begin(self._place(candidate.id))

    def heard(self, candidate: Candidate, told: Told, points: Sequence[Point]) -> None:
        now, before = tuple(points), self._shown.get(candidate.id)
        self._shown[candidate.id] = now
        number = self._running.pop(candidate.id, None)
        if self._study is None or now == before:
            return
        if before is not None:
            # Optuna cannot take back what it was told: it is told everything anew.
            self._study = None
            return
        if number is not None:
            self._study.forget(number)
        self._learn(self._study, candidate.id)

    def _current_study(self) -> OptunaStudy:
        if self._study is None:
            self._study = self.new_study(self._axes, self.problem.searching.seed + self._studies)
            self._studies += 1
            for one in self._shown:
                self._learn(self._study, one)
            for one in self._running:
                self._running[one] = self._study.begin(self._place(one))
        return self._study

    def _learn(self, study: OptunaStudy, candidate: str) -> None:
        for point in self._shown[candidate]:
            study.learn(self._place(candidate), point.values, point.violation)

    def _nearest(self, study: OptunaStudy) -> str:
        """The candidate that is nearest to what is suggested.

        Where a suggestion has been asked for already, another is fetched before one beside it is
        taken: the sampler knows better than the distance where to look next.
        """
        ids = self._likely_to_run()
        indices = [self._index[one] for one in ids]
        least, chosen = np.inf, ids[0]
        for _ in range(_TRIES):
            distances = self._axes.distances(study.suggest())[indices]
            nearest = int(np.argmin(distances))
            if distances[nearest] < least:
                least, chosen = distances[nearest], ids[nearest]
            if least == 0:
                break
        return chosen

    def _likely_to_run(self) -> list[str]:
        """Those that are more likely to run than to crash; if there are none, the likeliest.

        None is left out for good: when all others have been asked for, these come too.
        """
        left = list(self.left)
        known = {one: points[0] for one, points in self._shown.items() if points}
        ran = np.array([point.violation != CRASHED for point in known.values()])
        tried = np.array([self._index[one] for one in known], dtype=np.int64)
        # Another forest each time, so that none of its accidents lasts.
        seed = self.problem.searching.seed + len(known)
        chances = chance_of_no_crash(self._features, tried, ran, seed)
        of_left = chances[[self._index[one] for one in left]]
        likely = of_left >= min(_LIKELY, of_left.max())
        return [one for one, is_likely in zip(left, likely, strict=True) if is_likely]

    def _place(self, candidate: str) -> Place:
        return self._axes.place_of(self._index[candidate])

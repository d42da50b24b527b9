"""What a model learns from: the levels that were measured, the best of them, what has crashed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autotuner.search.axes import Ints
from autotuner.search.base import Candidate, Ended, Told
from autotuner.search.targets import Targets
from autotuner.search.yardstick import Floats

__all__ = ["Measured", "Observations"]

_MOST_POINTS = 400
"""A model's time grows with the cube of it."""


@dataclass(frozen=True, slots=True)
class Observations:
    candidates: Ints
    """Index of the candidate of each."""
    places: Ints
    logs: Floats
    """Observations x columns."""

    def __len__(self) -> int:
        return len(self.candidates)


@dataclass(frozen=True, slots=True)
class _Finding:
    places: dict[int, tuple[float, ...]]
    utility: float | None
    """Of the best of it; None: nothing of it counts."""
    ended: Ended | None


class Measured:
    """Of the candidates of one problem; what is told later replaces what was told before."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._index = {one.id: i for i, one in enumerate(targets.candidates)}
        self._found: dict[str, _Finding] = {}

    def tell(self, candidate: Candidate, told: Told) -> None:
        counts = told.rows and told.ended not in (Ended.FAILED, Ended.LOST)
        if not counts:
            self._found[candidate.id] = _Finding({}, None, told.ended)
            return
        places = self._targets.observed(candidate, told.rows)
        utility = self._targets.measured(candidate, told.rows)
        self._found[candidate.id] = _Finding(places, utility, told.ended)

    def best(self) -> float | None:
        """Utility of the best that has completed or runs; None: nothing counts so far."""
        values = [
            found.utility
            for found in self._found.values()
            if found.utility is not None and found.ended in (None, Ended.COMPLETED)
        ]
        return max(values, default=None)

    def observations(self) -> Observations:
        """In the order in which candidates were told of."""
        keep = self._thinned() if self._count() > _MOST_POINTS else self._all()
        i = [self._index[name] for name, places in keep.items() for _ in places]
        p = [place for places in keep.values() for place in places]
        logs = [
            self._found[name].places[place] for name, places in keep.items() for place in places
        ]
        columns = len(self._targets.yardstick.columns)
        table = np.array(logs, dtype=np.float64).reshape(-1, columns)
        return Observations(np.array(i, dtype=np.int64), np.array(p, dtype=np.int64), table)

    def ended(self) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Candidates that have run or failed, and whether they ran."""
        ran = {
            self._index[name]: found.ended is not Ended.FAILED
            for name, found in self._found.items()
            if found.ended not in (None, Ended.LOST)
        }
        return np.array([*ran], dtype=np.int64), np.array([*ran.values()], dtype=np.bool_)

    def _count(self) -> int:
        return sum(len(found.places) for found in self._found.values())

    def _all(self) -> dict[str, list[int]]:
        return {name: [*found.places] for name, found in self._found.items()}

    def _thinned(self) -> dict[str, list[int]]:
        """Of each candidate its best and its outer places, and not of all the worse candidates."""
        utility = self._targets.yardstick.utility
        keep: dict[str, list[int]] = {}
        for name, found in self._found.items():
            values = {place: float(utility(np.array(logs))) for place, logs in found.places.items()}
            if values:
                outer = {min(values), max(values), max(values, key=lambda place: values[place])}
                keep[name] = sorted(outer)
        worst_first = sorted(keep, key=self._order)
        left = sum(len(places) for places in keep.values())
        # Every other one first: where it is bad has to be known too.
        for name in [*worst_first[::2], *worst_first[1::2]]:
            if left <= _MOST_POINTS:
                break
            left -= len(keep.pop(name))
        return keep

    def _order(self, name: str) -> float:
        utility = self._found[name].utility
        return -np.inf if utility is None else utility

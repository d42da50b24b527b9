"""How much of a search space some experiments cover: what failed alike may fail for all, or not."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from autotuner.spec.experiment import Experiment
from autotuner.spec.server import Value, is_number

__all__ = ["SearchSpace"]

_Point = tuple[str, str, Value]
"""A parameter, the type of its value (1 and True are different flags, equal in Python), and it."""
_Trait = frozenset[_Point]
"""One value of a parameter, or two of different parameters."""


class SearchSpace:
    """The experiments of a plan, by what each of them has and others have not.

    That is every value of every parameter, and any two extreme values together: what fits is
    often a matter of two, such as a short context on many GPUs, and lies at the edge then. Of
    numbers the least and the largest are extreme, of anything else all.
    """

    def __init__(self, experiments: Sequence[Experiment]) -> None:
        self._traits = _traits(experiments)
        self._all = _union(self._traits.values())

    def is_covered_by(self, experiments: Iterable[Experiment]) -> bool:
        """Whether they have everything that any experiment of the plan has."""
        return self._had(experiments) == self._all

    def newest_first(
        self, waiting: Sequence[Experiment], tried: Iterable[Experiment]
    ) -> list[Experiment]:
        """The waiting, those first that have most of what none before them has."""
        had = self._had(tried)
        new = [self._traits[experiment.id] - had for experiment in waiting]
        # What is new in one only shrinks as others are chosen: the top, looked at again, is the
        # best if it has not changed. To look at all each time takes seconds of a large plan.
        heap = [(-len(traits), place) for place, traits in enumerate(new)]
        heapq.heapify(heap)
        chosen: list[int] = []
        while heap and heap[0][0]:
            known, place = heap[0]
            new[place] -= had
            if -len(new[place]) != known:
                heapq.heapreplace(heap, (-len(new[place]), place))
                continue
            heapq.heappop(heap)
            had |= new[place]
            chosen.append(place)
        return [waiting[place] for place in [*chosen, *sorted(place for _, place in heap)]]

    def _had(self, experiments: Iterable[Experiment]) -> frozenset[_Trait]:
        return _union(self._traits[experiment.id] for experiment in experiments)


def _union(sets: Iterable[frozenset[_Trait]]) -> frozenset[_Trait]:
    return frozenset().union(*sets)


def _traits(experiments: Sequence[Experiment]) -> Mapping[str, frozenset[_Trait]]:
    numbers: dict[str, set[float]] = {}
    for experiment in experiments:
        for name, value in experiment.parameters.items():
            if is_number(value):
                numbers.setdefault(name, set()).add(value)
    ends = {name: (min(values), max(values)) for name, values in numbers.items()}
    traits = {}
    for experiment in experiments:
        points = [(name, type(v).__name__, v) for name, v in experiment.parameters.items()]
        extreme = [p for p in points if not is_number(p[2]) or p[2] in ends[p[0]]]
        single = [frozenset([point]) for point in points]
        traits[experiment.id] = frozenset([*single, *map(frozenset, combinations(extreme, 2))])
    return traits

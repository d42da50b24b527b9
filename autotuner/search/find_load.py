"""The largest load that keeps the limits, found level by level on a running server.

Doubling, or strides that double from where the answer is expected, until a level misses a limit or
its requests fail; then bisection in between. A level that is as near to its limit as noise reaches
is measured again, or the ones beside it are; what remains in doubt widens the bracket that is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from autotuner.results.found_load import FoundLoad, Margin, bracket, margin_of, monotone
from autotuner.search.level_plans import LevelPlan, NoMore, Seen
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Constraint
from autotuner.spec.workload import Level, LoadRange, Workload

__all__ = ["FindLoads", "LoadSearch", "find_loads"]


@dataclass(frozen=True, slots=True)
class LoadSearch:
    """Of one workload."""

    workload: str
    scenario: str
    range: LoadRange
    constraints: tuple[Constraint, ...]
    start: int | None = None
    """Where the answer is expected; None: nowhere, so that the least load comes first."""

    def next(self, seen: Sequence[Seen]) -> Level | None:
        """The level to load next; None where the load is found as well as it can be."""
        if len(seen) >= self.range.most_levels:
            return None
        fitted = monotone(self._margins(seen))
        concurrency = self._next(fitted)
        if concurrency is None:
            return None
        repeat = sum(one.level.concurrency == concurrency for one in seen)
        return Level(self.workload, self.scenario, concurrency, repeat)

    def found(self, seen: Sequence[Seen]) -> FoundLoad:
        """Where it lies, by what was seen."""
        return bracket(self._margins(seen))

    def _margins(self, seen: Sequence[Seen]) -> list[Margin]:
        return [
            margin_of(one.level.concurrency, one.row if one.ok else None, self.constraints)
            for one in seen
        ]

    def _next(self, fitted: Sequence[Margin]) -> int | None:
        steps = self.range.steps
        place = {concurrency: index for index, concurrency in enumerate(steps)}
        start = max((i for c, i in place.items() if c <= (self.start or 0)), default=0)
        if not fitted:
            return steps[start]
        keeps = [place[m.concurrency] for m in fitted if m.value >= 0]
        misses = [place[m.concurrency] for m in fitted if m.value < 0]
        if not misses and keeps[-1] < len(steps) - 1:
            return steps[self._beyond(keeps[-1], start, steps)]
        if not keeps and misses[0] > 0:
            return steps[self._below(misses[0], start, steps)]
        low, high = (keeps or [-1])[-1], (misses or [len(steps)])[0]
        if high - low > 1:
            return steps[(low + high) // 2]
        return self._in_doubt(fitted, place)

    def _beyond(self, low: int, start: int, steps: Sequence[int]) -> int:
        last = len(steps) - 1
        doubled = next((i for i, c in enumerate(steps) if c >= 2 * steps[low]), last)
        stride = max(1, low - start) if self.start is not None else len(steps)
        return min(doubled, low + stride)

    def _below(self, high: int, start: int, steps: Sequence[int]) -> int:
        halved = max((i for i, c in enumerate(steps) if 2 * c <= steps[high]), default=0)
        stride = max(1, start - high) if self.start is not None else len(steps)
        return max(halved, high - stride)

    def _in_doubt(self, fitted: Sequence[Margin], place: Mapping[int, int]) -> int | None:
        """What may still narrow the bracket."""
        doubtful = [m for m in fitted if not m.is_sure]
        again = [m for m in doubtful if m.times < self.range.times]
        if again:
            return min(again, key=lambda m: (m.times, abs(m.value) / m.noise)).concurrency
        if not doubtful:
            return None
        steps, known = self.range.steps, {place[m.concurrency] for m in fitted}
        below, above = place[doubtful[0].concurrency] - 1, place[doubtful[-1].concurrency] + 1
        beside = [i for i in (above, below) if 0 <= i < len(steps) and i not in known]
        return steps[beside[0]] if beside else None


@dataclass(frozen=True, slots=True)
class FindLoads(LevelPlan):
    """Levels that are all measured, and then a search for each workload whose load is wanted."""

    fixed: tuple[Level, ...]
    searches: tuple[LoadSearch, ...]
    decides_repeats: ClassVar[bool] = True

    def next(self, seen: Sequence[Seen]) -> Level | NoMore:
        loaded = {one.level for one in seen}
        for level in self.fixed:
            if level not in loaded:
                return level
        for search in self.searches:
            own = [one for one in seen if one.level.workload == search.workload]
            if (following := search.next(own)) is not None:
                return following
        return NoMore("; ".join(self._found(search, seen) for search in self.searches))

    def _found(self, search: LoadSearch, seen: Sequence[Seen]) -> str:
        own = [one for one in seen if one.level.workload == search.workload]
        return f"{search.workload}: load {search.found(own)}"

    @property
    def most(self) -> tuple[Level, ...]:
        steps = (
            Level(search.workload, search.scenario, concurrency)
            for search in self.searches
            for concurrency in search.range.steps
        )
        return (*self.fixed, *steps)

    def most_of(self, workload: str) -> int:
        own = [search.range.most_levels for search in self.searches if search.workload == workload]
        return sum(own) + sum(level.workload == workload for level in self.fixed)

    def tolerates(self, level: Level) -> bool:
        return any(level.workload == search.workload for search in self.searches)

    def in_order(self, levels: Sequence[Level]) -> LevelPlan:
        fixed = set(self.fixed)
        return replace(self, fixed=tuple(level for level in levels if level in fixed))


def find_loads(
    workloads: Sequence[Workload], judging: Judging, starts: Mapping[str, int]
) -> FindLoads | None:
    """The plan of an experiment some of whose workloads have no levels but a range of loads.

    Args:
        starts: Workload -> where its load is expected.

    Returns:
        None where all workloads have their levels.
    """
    searches = tuple(
        LoadSearch(w.name, w.scenario, w.find, judging.constraints, starts.get(w.name))
        for w in workloads
        if w.find is not None
    )
    fixed = tuple(level for w in workloads if w.find is None for level in w.levels)
    return FindLoads(fixed, searches) if searches else None

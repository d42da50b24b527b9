"""The levels of an attempt, one after the other, and what becomes of those that are not run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from autotuner.node.events import AttemptOrder
from autotuner.results.levels import LevelResult, LevelStatus
from autotuner.search.level_plans import NoMore, Seen
from autotuner.spec.workload import Level, Workload

__all__ = ["LevelsInTurn"]

_NOT_ASKED = "its plan of levels has none of it"


class LevelsInTurn:
    """Asks the order's plan, where it has one, each time that a level has been loaded.

    A plan that leaves repeats to us gets a level's repeats on this server as one.
    """

    def __init__(self, order: AttemptOrder) -> None:
        self._order = order
        self._experiment = order.attempt.experiment
        self._loaded: list[Level] = []
        self._seen: list[Seen] = []
        self._waiting: list[Level] = []
        """The repeats of the plan's last answer that have not been seen."""
        self._repeats: list[LevelResult] = []
        """Those that have."""
        self._end: NoMore | None = None

    def groups(self) -> Iterator[tuple[Workload, Iterable[Level]]]:
        """Each workload with the levels that are loaded together.

        Of a plan's levels one is taken at a time, when the one before has been seen.
        """
        if self._order.plan is None:
            for workload in self._order.workloads:
                yield workload, self._order.levels_of(workload)
            return
        while isinstance(level := self._decided(), Level):
            (workload,) = (w for w in self._experiment.workloads if w.name == level.workload)
            yield workload, self._consecutive(workload)

    @property
    def known_ahead(self) -> tuple[Workload, Sequence[Level]] | None:
        """What is loaded first, as far as that is known before any numbers; None: nothing."""
        for workload, levels in self.groups():
            if isinstance(levels, Sequence):
                return workload, levels
            return workload, tuple(self._waiting[:1])
        return None

    def saw(self, result: LevelResult) -> None:
        """A level has been loaded."""
        self._loaded.append(result.level)
        if self._order.plan is None:
            return
        del self._waiting[0]
        self._repeats.append(result)
        if not self._waiting:
            self._seen.append(_seen(self._repeats))
            self._repeats = []

    @property
    def loaded(self) -> int:
        """Levels so far."""
        return len(self._loaded)

    @property
    def at_end(self) -> bool:
        """Whether no level is to follow."""
        if self._order.plan is None:
            return self.loaded == len(self._experiment.levels)
        return isinstance(self._decided(), NoMore)

    @property
    def pruned(self) -> str | None:
        """Why the experiment was given up; None where it was not."""
        end = self._end
        return end.reason if end is not None and end.pruned else None

    def left_out(self) -> Iterator[tuple[Level, str]]:
        """At its end, each level that the plan has not given, and why.

        Not those among which a load was to be found: they are no part of what is owed.
        """
        if self._end is None:
            return
        loaded = set(self._loaded)
        for level in self._experiment.owed:
            if level not in loaded:
                yield level, self._end.reason or _NOT_ASKED

    @property
    def end_reason(self) -> str | None:
        """Why the plan has given no more levels; None where it gave all, or there is none."""
        return None if self._end is None else self._end.reason or None

    def tolerates(self, level: Level) -> bool:
        """Whether it is an answer, and no failure, that the requests of the level failed."""
        plan = self._order.plan
        return plan is not None and plan.tolerates(level)

    def _consecutive(self, workload: Workload) -> Iterator[Level]:
        while isinstance(level := self._decided(), Level) and level.workload == workload.name:
            before = self.loaded
            yield level
            if self.loaded == before:
                raise ValueError(f"another level was asked for before {level} had been seen")

    def _decided(self) -> Level | NoMore:
        """Raises ValueError where the plan gives what it must not: the attempt would never end."""
        if self._waiting:
            return self._waiting[0]
        plan = self._order.plan
        if self._end is None:
            answer = NoMore("") if plan is None else plan.next(tuple(self._seen))
            if isinstance(answer, Level):
                self._waiting = self._repeats_of(answer)
                return self._waiting[0]
            self._end = answer
        return self._end

    def _repeats_of(self, level: Level) -> list[Level]:
        plan = self._order.plan
        if level not in self._experiment.levels:
            raise ValueError(f"the plan of levels gave {level}, which is none of the experiment's")
        if level in self._loaded:
            raise ValueError(f"the plan of levels gave {level} a second time")
        if plan is None or plan.decides_repeats:
            return [level]
        own = self._experiment.levels
        return [other for other in own if other.of_all_repeats == level.of_all_repeats]


def _seen(repeats: Sequence[LevelResult]) -> Seen:
    first, ok = repeats[0], all(one.status is LevelStatus.OK for one in repeats)
    if len(repeats) == 1:
        return Seen(first.level, first.summary, ok)
    import pyarrow as pa  # with the rows, and not before the server starts

    from autotuner.results.pooling import pool

    requests = [one.requests for one in repeats]
    row = pool([one.summary for one in repeats], lambda: pa.concat_tables(requests))
    return Seen(first.level.of_all_repeats, row, ok)

"""Which level of a running server is loaded next: decided where the server runs.

A plan travels with the attempt to its node, as a value, and is asked after each level. It looks at
nothing but the levels of this one server, and at what it was given when the attempt began, such as
the best value so far. So a lost message can never keep a GPU waiting, and the same plan decides
the same in a replay.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from autotuner.results.limits import LevelRow
from autotuner.spec.workload import Level

__all__ = ["AllLevels", "LevelPlan", "NoMore", "Seen", "rows_of"]


@dataclass(frozen=True, slots=True)
class Seen:
    """A level that this server was loaded with."""

    level: Level
    row: LevelRow
    """Its summary."""
    ok: bool
    """Whether it is a valid measurement."""


@dataclass(frozen=True, slots=True)
class NoMore:
    """No level is to be measured any more."""

    reason: str
    """Why those that remain are not; in a sentence, with the numbers. Empty: none remain."""
    pruned: bool = False
    """Whether the experiment was given up because it cannot win."""


class LevelPlan(ABC):
    """The levels of one attempt; a frozen value that can be pickled."""

    decides_repeats: ClassVar[bool] = False
    """Whether it tells the repeats of a level apart. If not, each that it gives is measured as
    often as its workload says, and seen once, with its repeats pooled."""

    @abstractmethod
    def next(self, seen: Sequence[Seen]) -> Level | NoMore:
        """The level to load next.

        Pure: the same levels seen give the same answer. A level is given once.

        Args:
            seen: In the order in which they were loaded.
        """

    @property
    @abstractmethod
    def most(self) -> tuple[Level, ...]:
        """All levels that it may give, in the order of its liking."""

    def most_of(self, workload: str) -> int:
        """So many levels of a workload it gives at most; bounds the attempt's time."""
        return sum(level.workload == workload for level in self.most)

    def tolerates(self, level: Level) -> bool:
        """Whether it is an answer, and no failure, that the requests of the level failed."""
        return False

    def in_order(self, levels: Sequence[Level]) -> LevelPlan:
        """The same plan for an attempt whose levels run in this order, repeats and all.

        Only what the plan does not decide follows it.
        """
        return self


@dataclass(frozen=True, slots=True)
class AllLevels(LevelPlan):
    """Every one of these levels, in this order."""

    decides_repeats: ClassVar[bool] = True
    levels: tuple[Level, ...]
    rest: str = ""
    """Why the experiment's others are left out; empty where there are none."""

    def next(self, seen: Sequence[Seen]) -> Level | NoMore:
        return self.levels[len(seen)] if len(seen) < len(self.levels) else NoMore(self.rest)

    @property
    def most(self) -> tuple[Level, ...]:
        return self.levels

    def in_order(self, levels: Sequence[Level]) -> AllLevels:
        wanted = {level.of_all_repeats for level in self.levels}
        own = tuple(level for level in levels if level.of_all_repeats in wanted)
        return replace(self, levels=own)


def rows_of(seen: Sequence[Seen]) -> Mapping[Level, LevelRow]:
    """The valid measurements among them."""
    return {one.level: one.row for one in seen if one.ok}

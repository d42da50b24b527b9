"""The experiments that wait for a slot, kept so that thousands of them cost nothing.

Experiments that need the same and may go to the same nodes are interchangeable to `placement`:
they stand in one line, in the order in which they are to start.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from autotuner.execution.base import Node
from autotuner.execution.placement import Group
from autotuner.spec.experiment import Experiment
from autotuner.spec.server import Footprint

__all__ = ["Choice", "Waiting"]


@dataclass(frozen=True, slots=True)
class Choice:
    """What decides which nodes an experiment may go to."""

    footprint: Footprint
    avoided: frozenset[str] = frozenset()
    """Ids of nodes on which it has failed."""
    lacking: frozenset[str] = frozenset()
    """Ids of nodes that lack what it needs."""
    wanted_host: str | None = None
    """Where it should go, if there is room."""


@dataclass(slots=True)
class _Line:
    experiments: list[Experiment] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)
    """Of the experiments, rising."""
    work_s: float = 0.0


class Waiting:
    """A set of experiments; changed only here, and asked for groups once a round.

    Args:
        choice: What decides where an experiment may go, asked when it is added: what has failed
            somewhere has done so before it waits again.
        expected_s: How long it is expected to hold its slot.
    """

    def __init__(
        self,
        choice: Callable[[Experiment], Choice],
        expected_s: Callable[[Experiment], float],
    ) -> None:
        self._choice = choice
        self._expected_s = expected_s
        self._lines: dict[Choice, _Line] = {}
        self._where: dict[str, tuple[Choice, int, float]] = {}
        """Experiment id -> its line, its rank, its expected seconds."""
        self._since_s: dict[Choice, float] = {}
        self._next_rank = 0
        self._first_rank = 0

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, experiment: Experiment) -> bool:
        return experiment.id in self._where

    def __iter__(self) -> Iterator[Experiment]:
        """In order of their ranks, over all lines."""
        everyone = [e for line in self._lines.values() for e in line.experiments]
        return iter(sorted(everyone, key=lambda experiment: self._where[experiment.id][1]))

    def add(self, experiments: Iterable[Experiment]) -> None:
        """Behind those that wait already."""
        for experiment in experiments:
            line = self._line_of(experiment, self._next_rank)
            line.experiments.append(experiment)
            line.ranks.append(self._next_rank)
            self._next_rank += 1

    def add_first(self, experiment: Experiment) -> None:
        """Before those that wait already."""
        self._first_rank -= 1
        line = self._line_of(experiment, self._first_rank)
        line.experiments.insert(0, experiment)
        line.ranks.insert(0, self._first_rank)

    def _line_of(self, experiment: Experiment, rank: int) -> _Line:
        """The line that it is to stand in, its work counted already."""
        choice, expected_s = self._choice(experiment), self._expected_s(experiment)
        self._where[experiment.id] = (choice, rank, expected_s)
        line = self._lines.setdefault(choice, _Line())
        line.work_s += expected_s
        return line

    def remove(self, experiment: Experiment) -> None:
        """Take it out: it starts."""
        choice, rank, expected_s = self._where.pop(experiment.id)
        line = self._lines[choice]
        place = bisect_left(line.ranks, rank)
        del line.experiments[place], line.ranks[place]
        line.work_s -= expected_s
        self._since_s.pop(choice, None)
        if not line.experiments:
            del self._lines[choice]

    def reorder(self, experiments: Sequence[Experiment]) -> None:
        """Start them in this order; they are those that wait."""
        self._lines.clear()
        self._where.clear()
        self._next_rank = self._first_rank = 0
        self.add(experiments)

    @property
    def demand(self) -> Counter[Footprint]:
        """How many wait of each footprint."""
        demand: Counter[Footprint] = Counter()
        for choice, line in self._lines.items():
            demand[choice.footprint] += len(line.experiments)
        return demand

    def groups(
        self, nodes_for: Callable[[Choice], Sequence[Node]], now_s: float
    ) -> tuple[Group, ...]:
        """The lines as `placement.place` takes them.

        Args:
            nodes_for: The nodes that a choice leaves now.
            now_s: Any clock that never goes back. A line waits from the first round after one of
                it has started.
        """
        return tuple(
            Group(
                choice.footprint,
                line.experiments,
                nodes_for(choice),
                max(0.0, line.work_s),
                now_s - self._since_s.setdefault(choice, now_s),
            )
            for choice, line in self._lines.items()
        )

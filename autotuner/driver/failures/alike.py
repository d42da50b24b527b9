"""When everything fails alike: something is wrong that all experiments of a study share. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from autotuner.driver.failures.advice import advice
from autotuner.execution.base import Node
from autotuner.execution.fitting import able_nodes
from autotuner.spec.coverage import SearchSpace
from autotuner.spec.experiment import Experiment, Failed, FailureKind

__all__ = ["OF_NO_CONFIGURATION", "Failure", "FailuresInARow"]

_ONE_BLOW_S = 30.0
"""What a node loses within so long is one event, however many attempts it takes."""

OF_NO_CONFIGURATION = frozenset(
    {
        FailureKind.LAUNCH_FAILED,
        FailureKind.BENCH_FAILED,
        FailureKind.DISK_FULL,
        FailureKind.ACTOR_LOST,
        FailureKind.NODE_LOST,
        FailureKind.INTERNAL_ERROR,
    }
)
"""Failures that the values of the parameters hardly ever decide.

A taken port is not among them: where many servers start at once it is a matter of chance. Nor is
a pod that no node takes: a narrower one may find its place.
"""


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that failed."""

    experiment: Experiment
    node: Node
    failed: Failed
    at_s: float

    @property
    def likeness(self) -> tuple[str, str]:
        return (self.failed.kind.value, self.failed.phase.value)


class FailuresInARow:
    """The failures since an experiment last completed, and what they say of the study.

    Args:
        experiments: Of the plan.
        give_up_after: So many experiments that fail alike stop the study; 0: none do.
        any_completed: Whether an earlier run has completed an experiment.
    """

    def __init__(
        self, experiments: Sequence[Experiment], give_up_after: int, *, any_completed: bool
    ) -> None:
        self._experiments = tuple(experiments)
        self._give_up_after = give_up_after
        self._any_completed = any_completed
        self._in_a_row: list[Failure] = []

    @cached_property
    def _space(self) -> SearchSpace:
        # Only where something fails: of thousands of candidates it takes a second.
        return SearchSpace(self._experiments)

    def completed(self) -> None:
        """An experiment has completed."""
        self._any_completed = True
        self._in_a_row.clear()

    def add(self, failure: Failure) -> None:
        """In order of their ends."""
        self._in_a_row.append(failure)

    @property
    def is_groping(self) -> bool:
        """Whether nothing has completed yet and something has failed: `in_order` matters then."""
        return bool(self._in_a_row) and not self._any_completed

    def in_order(self, waiting: Sequence[Experiment]) -> list[Experiment]:
        """The waiting experiments as they should start.

        The plan's order; but as long as all have failed, those first that differ most from
        what has been tried: sooner or later one of them runs, or it is plain that none will.
        """
        if not self.is_groping:
            return list(waiting)
        waits = {experiment.id for experiment in waiting}
        # What runs is being tried: eight slots need not try the same.
        under_way = [e for e in self._experiments if e.id not in waits]
        tried = [*under_way, *(f.experiment for f in self._in_a_row)]
        return self._space.newest_first(waiting, tried)

    def systemic(
        self, nodes: Sequence[Node], busy: Collection[str] = (), *, outlived: bool = False
    ) -> str | None:
        """Why the study should stop, or None.

        The last ``give_up_after`` experiments failed alike, with none completed among them, on
        more than one node where several could hold them, and on more nodes than are still busy:
        a few broken ones fail first, while the others load their models. Failures that may depend
        on the configuration count only where nothing has completed at all, and those that failed
        have every value of every parameter, and any two extreme ones together (`SearchSpace`).

        Args:
            nodes: Those alive.
            busy: Ids of nodes on which attempts still run.
            outlived: Whether one of these began no later than the one that has just failed. Where
                a pod finds no place, that one has found its own, and may be what takes it.
                Otherwise the width alone decides: if the narrowest fits nowhere, none does.
        """
        alike = self._alike()
        if not self._give_up_after or _count(alike) < self._give_up_after:
            return None
        failed = alike[-1].failed
        if failed.kind is FailureKind.UNSCHEDULABLE:
            spared = outlived or self._any_completed or not self._is_narrowest(alike)
        else:
            spared = self._may_be_nodes(alike, nodes, busy) or self._may_be_values(alike)
        if spared:
            return None
        return advice(failed, len({f.experiment.id for f in alike}))

    def _may_be_nodes(
        self, alike: Sequence[Failure], nodes: Sequence[Node], busy: Collection[str]
    ) -> bool:
        """Whether the failures may be of the nodes that they were on, and not of the study."""
        footprints = {f.experiment.footprint for f in alike}
        able = {n.id for need in footprints for n in able_nodes(need, nodes)}
        failed_on = {f.node.id for f in alike}
        if len(failed_on) == 1 and able - failed_on:
            return True
        return len(failed_on) <= len(set(busy) - failed_on)

    def _may_be_values(self, alike: Sequence[Failure]) -> bool:
        """Whether the failures may be of the values of the parameters that have failed."""
        if alike[-1].failed.kind in OF_NO_CONFIGURATION:
            return False
        return self._any_completed or not self._space.is_covered_by(f.experiment for f in alike)

    def _is_narrowest(self, alike: Sequence[Failure]) -> bool:
        least = min((e.footprint.gpus for e in self._experiments), default=0)
        return any(failure.experiment.footprint.gpus <= least for failure in alike)

    def _alike(self) -> list[Failure]:
        """The failures at the end of the row that are like the last one."""
        alike: list[Failure] = []
        for failure in reversed(self._in_a_row):
            if failure.likeness != self._in_a_row[-1].likeness:
                break
            alike.append(failure)
        return alike[::-1]


def _count(alike: Sequence[Failure]) -> int:
    """How many experiments failed; of those lost, how often a node lost any."""
    blows: dict[str, list[float]] = {}
    for failure in alike:
        times = blows.setdefault(failure.node.id, [])
        if not times or failure.at_s - times[-1] > _ONE_BLOW_S:
            times.append(failure.at_s)
    count = len({failure.experiment.id for failure in alike})
    if alike and alike[-1].failed.kind.is_loss:
        return min(count, sum(map(len, blows.values())))
    return count

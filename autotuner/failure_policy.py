"""What a failure means for the experiment, for the node, and for the study. Pure: no clock.

* The experiment: tried again, elsewhere where there is an elsewhere, or not. Two losses on
  different nodes make its configuration suspect: it may be what takes the nodes down.
* The node: a broken one takes one experiment after the other, quickest of all. It is set
  aside for a while, as long as there are others.
* The study: where everything fails alike, something is wrong that all experiments share. To
  go on would burn the night.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autotuner.execution.base import Node
from autotuner.execution.placement import fits_some_node
from autotuner.spec.experiment import (
    Completed,
    Experiment,
    Failed,
    FailureKind,
    Outcome,
    Retry,
)
from autotuner.spec.server import Value

__all__ = ["FailurePolicy"]

_SET_ASIDE_S = 1800.0
_NODE_STRIKES = 3
_MOST_DIRTY_SLOTS = 5

_OF_NO_CONFIGURATION = frozenset(
    {
        FailureKind.LAUNCH_FAILED,
        FailureKind.BENCH_FAILED,
        FailureKind.DISK_FULL,
        FailureKind.PORT_TAKEN,
        FailureKind.ACTOR_LOST,
        FailureKind.NODE_LOST,
        FailureKind.INTERNAL_ERROR,
    }
)
"""Failures that the values of the parameters hardly ever decide."""
_OF_THE_NODE = _OF_NO_CONFIGURATION - {FailureKind.INTERNAL_ERROR, FailureKind.PORT_TAKEN} | {
    FailureKind.MODEL_NOT_FOUND
}
"""For these the node is blamed at once; for others when the experiment runs elsewhere."""


@dataclass(frozen=True, slots=True)
class _Failure:
    experiment: Experiment
    node: Node
    failed: Failed

    @property
    def likeness(self) -> tuple[str, str]:
        return (self.failed.kind.value, self.failed.phase.value)


class FailurePolicy:
    """Judges the outcomes of one run of a study.

    Args:
        experiments: Of the plan.
        max_attempts: Per experiment, the first included.
        give_up_after: So many experiments that fail alike stop the study; 0: none do.
        any_completed: Whether an earlier run has completed an experiment.
    """

    def __init__(
        self,
        experiments: Sequence[Experiment],
        *,
        max_attempts: int,
        give_up_after: int,
        any_completed: bool,
    ) -> None:
        self._max_attempts = max_attempts
        self._give_up_after = give_up_after
        self._values = {pair for experiment in experiments for pair in _points(experiment)}
        self._any_completed = any_completed
        self._in_a_row: list[_Failure] = []
        """Since the last completed experiment, in order of their ends."""
        self._tries: dict[str, int] = {}
        self._dirty_slots: dict[str, int] = {}
        self._failed_on: dict[str, set[str]] = {}
        self._lost_on: dict[str, set[str]] = {}
        self._strikes: dict[str, set[str]] = {}
        self._aside_until: dict[str, float] = {}

    def record(
        self, experiment: Experiment, node: Node, outcome: Outcome, now_s: float
    ) -> frozenset[str]:
        """Take note of an attempt's end.

        Args:
            now_s: Any clock that never goes back.

        Returns:
            Ids of the nodes that are set aside because of it.
        """
        if isinstance(outcome, Completed):
            self._any_completed = True
            self._in_a_row.clear()
            self._strikes.pop(node.id, None)
            self._aside_until.pop(node.id, None)
            # What ran here was not to blame for its failures elsewhere.
            blamed = self._failed_on.get(experiment.id, set()) - {node.id}
            return self._strike(blamed, experiment, now_s)
        if isinstance(outcome, Failed):
            return self._record_failure(_Failure(experiment, node, outcome), now_s)
        return frozenset()

    def _record_failure(self, failure: _Failure, now_s: float) -> frozenset[str]:
        id_, node, kind = failure.experiment.id, failure.node, failure.failed.kind
        self._in_a_row.append(failure)
        self._failed_on.setdefault(id_, set()).add(node.id)
        if kind is FailureKind.DIRTY_GPU:  # says nothing about the experiment
            self._dirty_slots[id_] = self._dirty_slots.get(id_, 0) + 1
        else:
            self._tries[id_] = self._tries.get(id_, 0) + 1
        if kind.is_loss:
            self._lost_on.setdefault(id_, set()).add(node.host)
        blamed = {node.id} if kind in _OF_THE_NODE else set()
        return self._strike(blamed, failure.experiment, now_s)

    def _strike(
        self, node_ids: Iterable[str], experiment: Experiment, now_s: float
    ) -> frozenset[str]:
        aside = set()
        for node_id in node_ids:
            if self._aside_until.get(node_id, now_s) > now_s:
                continue  # already paying for it
            strikes = self._strikes.setdefault(node_id, set())
            strikes.add(experiment.id)
            if len(strikes) >= _NODE_STRIKES:
                aside.add(node_id)
                self._aside_until[node_id] = now_s + _SET_ASIDE_S
                strikes.clear()
        return frozenset(aside)

    def may_retry(self, experiment: Experiment, outcome: Outcome, nodes: Iterable[Node]) -> bool:
        """Whether another attempt is worth its GPU time. ``nodes`` are those alive now."""
        if not isinstance(outcome, Failed) or self.is_suspect(experiment):
            return False
        if self._tries.get(experiment.id, 0) >= self._max_attempts:
            return False
        if self._dirty_slots.get(experiment.id, 0) > _MOST_DIRTY_SLOTS:
            return False
        match outcome.kind.retry:
            case Retry.NEVER:
                return False
            case Retry.ELSEWHERE:
                failed_on = self._failed_on.get(experiment.id, set())
                return any(
                    node.id not in failed_on and fits_some_node(experiment.footprint, [node])
                    for node in nodes
                )
        return True

    def is_suspect(self, experiment: Experiment) -> bool:
        """Whether the experiment was lost on two different nodes."""
        return len(self._lost_on.get(experiment.id, ())) >= 2

    def nodes_for(
        self, experiment: Experiment, nodes: Sequence[Node], now_s: float
    ) -> tuple[Node, ...]:
        """The nodes that may take the experiment now.

        Neither one set aside nor one on which it has failed, where another could ever hold it.
        """
        failed_on = self._failed_on.get(experiment.id, set())
        kept = [n for n in nodes if self._aside_until.get(n.id, now_s) <= now_s]
        for choice in ([n for n in kept if n.id not in failed_on], kept):
            if fits_some_node(experiment.footprint, choice):
                return tuple(choice)
        return tuple(nodes)

    def in_order(self, waiting: Sequence[Experiment]) -> list[Experiment]:
        """The waiting experiments as they should start.

        The plan's order; but as long as all have failed, those first that differ most from
        what has been tried: sooner or later one of them runs, or it is plain that none will.
        """
        if self._any_completed or not self._in_a_row:
            return list(waiting)
        tried = {pair for f in self._in_a_row for pair in _points(f.experiment)}
        chosen: list[Experiment] = []
        rest = list(waiting)
        while rest:
            next_one = max(rest, key=lambda e: len(_points(e) - tried))
            if not _points(next_one) - tried:
                break
            tried |= _points(next_one)
            chosen.append(next_one)
            rest.remove(next_one)
        return chosen + rest

    def systemic(self, nodes: Sequence[Node]) -> str | None:
        """Why the study should stop, or None.

        The last ``give_up_after`` experiments failed alike, with none completed among them, on
        more than one node where there are several. Failures that may depend on the
        configuration count only where nothing has completed at all, and every value of every
        parameter is among those that failed.
        """
        alike = self._alike()
        count = len({failure.experiment.id for failure in alike})
        if not self._give_up_after or count < self._give_up_after:
            return None
        if len({f.node.id for f in alike}) == 1 and len(nodes) > 1:
            return None
        if alike[-1].failed.kind not in _OF_NO_CONFIGURATION:
            covered = {pair for f in alike for pair in _points(f.experiment)}
            if self._any_completed or covered != self._values:
                return None
        return _advice(alike[-1].failed, count)

    def _alike(self) -> list[_Failure]:
        """The failures at the end of the row that are like the last one."""
        alike: list[_Failure] = []
        for failure in reversed(self._in_a_row):
            if failure.likeness != self._in_a_row[-1].likeness:
                break
            alike.insert(0, failure)
        return alike


def _points(experiment: Experiment) -> frozenset[tuple[str, Value]]:
    # Types are kept apart: 1 and True are different flags and equal in Python.
    return frozenset((f"{name}:{type(v).__name__}", v) for name, v in experiment.parameters.items())


def _advice(failed: Failed, count: int) -> str:
    where = failed.phase.value.replace("_", " ")
    return (
        f"the last {count} experiments all failed in the same way, {failed.kind.value} at "
        f"{where}: {failed.message}. {_FIXES.get(failed.kind, _LOOK)}; then the same command "
        "goes on. (give_up_after: 0 in the study file goes on regardless)"
    )


_LOOK = "Look at the server's log under logs/ and mend what all experiments share"
_FIXES = {
    FailureKind.LAUNCH_FAILED: "Install what is missing on the nodes, or correct `executable`",
    FailureKind.MODEL_NOT_FOUND: "Correct `model`, or make it readable on every node",
    FailureKind.OUT_OF_MEMORY_AT_LOAD: (
        "Give it more GPUs (a larger parallel size), or a shorter context in engine.flags"
    ),
    FailureKind.CONFIG_REJECTED: "Correct engine.flags, or the names and values of `parameters`",
    FailureKind.LAUNCH_TIMEOUT: "Raise timeouts.start_s, or look at the log for what it waits for",
    FailureKind.BENCH_FAILED: "Look at the load generator's log under logs/",
    FailureKind.REQUESTS_FAILED: "Correct the workload: the server refuses its requests",
    FailureKind.DISK_FULL: "Make room on the nodes' disks",
    FailureKind.INTERNAL_ERROR: "This is a bug in autotuner; the evidence column has its traceback",
    FailureKind.DIRTY_GPU: "End what holds the GPUs, or leave those nodes out",
}

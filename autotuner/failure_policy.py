"""What a failure means for the experiment, for the node, and for the study. Pure: no clock.

* The experiment: tried again, elsewhere where there is an elsewhere, or not. Two losses on
  different nodes make its configuration suspect: it may be what takes the nodes down.
* The node: a broken one takes one experiment after the other, quickest of all. It is set
  aside for a while, as long as there are others.
* The study: where everything fails alike, something is wrong that all experiments share. To
  go on would burn the night.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from autotuner.execution.base import Node
from autotuner.execution.placement import fits_some_node
from autotuner.failure_advice import advice
from autotuner.spec.coverage import SearchSpace
from autotuner.spec.experiment import (
    Completed,
    Experiment,
    Failed,
    FailureKind,
    Outcome,
    Retry,
)

__all__ = ["FailurePolicy"]

_SET_ASIDE_S = 1800.0
_NODE_STRIKES = 3
_MOST_FALSE_STARTS = 5
_ONE_BLOW_S = 30.0
"""What a node loses within so long is one event, however many attempts it takes."""

_OF_NO_CONFIGURATION = frozenset(
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
_OF_THE_NODE = _OF_NO_CONFIGURATION | {FailureKind.MODEL_NOT_FOUND}
"""For these the node is blamed at once; for others when the experiment runs elsewhere.

A bug of ours is among them: most often it is something on the node that nobody foresaw, such as
a temporary folder that cannot be written, and no second attempt would ever tell.
"""


@dataclass(frozen=True, slots=True)
class _Failure:
    experiment: Experiment
    node: Node
    failed: Failed
    at_s: float

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
        self._experiments = tuple(experiments)
        self._space = SearchSpace(experiments)
        self._any_completed = any_completed
        self._in_a_row: list[_Failure] = []
        """Since the last completed experiment, in order of their ends."""
        self._tries: dict[str, int] = {}
        self._never_began_on: dict[str, list[str]] = {}
        self._failed_on: dict[str, set[str]] = {}
        self._lacking: dict[str, set[str]] = {}
        """Nodes that lack what the experiment needs: there it would fail again."""
        self._doubted: dict[str, set[str]] = {}
        """Nodes to blame if the experiment completes elsewhere."""
        self._lost_on: dict[str, set[str]] = {}
        self._strikes: dict[str, set[str]] = {}
        self._aside_until: dict[str, float] = {}

    def record(
        self,
        experiment: Experiment,
        node: Node,
        outcome: Outcome,
        now_s: float,
        *,
        began: bool = True,
    ) -> frozenset[str]:
        """Take note of an attempt's end.

        Args:
            now_s: Any clock that never goes back.
            began: Whether the attempt gave any sign of life.

        Returns:
            Ids of the nodes that are set aside because of it.
        """
        if isinstance(outcome, Completed):
            self._any_completed = True
            self._in_a_row.clear()
            self._strikes.pop(node.id, None)
            self._aside_until.pop(node.id, None)
            # What ran here was not to blame for its failures elsewhere.
            blamed = self._doubted.pop(experiment.id, set()) - {node.id}
            return self._strike(blamed, experiment, now_s)
        if isinstance(outcome, Failed):
            return self._record_failure(_Failure(experiment, node, outcome, now_s), began)
        return frozenset()

    def _record_failure(self, failure: _Failure, began: bool) -> frozenset[str]:
        id_, node, kind = failure.experiment.id, failure.node, failure.failed.kind
        if kind is FailureKind.DIRTY_GPU:
            # It never started, and the slot is out of use: this says nothing of anything else.
            self._never_began_on.setdefault(id_, []).append(node.id)
            return frozenset()
        self._in_a_row.append(failure)
        if kind.is_loss and not began:  # sent to a node that was gone already
            self._never_began_on.setdefault(id_, []).append(node.id)
        else:
            self._tries[id_] = self._tries.get(id_, 0) + 1
        if kind is FailureKind.UNSCHEDULABLE:
            # Another cluster has had no place: whichever node had asked, the answer were the same.
            return frozenset()
        self._failed_on.setdefault(id_, set()).add(node.id)
        if kind.retry is Retry.ELSEWHERE:
            self._lacking.setdefault(id_, set()).add(node.id)
        if kind.is_loss and began:
            self._lost_on.setdefault(id_, set()).add(node.host)
        if kind in _OF_THE_NODE:
            return self._strike({node.id}, failure.experiment, failure.at_s)
        self._doubted.setdefault(id_, set()).add(node.id)
        return frozenset()

    def _strike(
        self, node_ids: Iterable[str], experiment: Experiment, now_s: float
    ) -> frozenset[str]:
        aside = set()
        for node_id in node_ids:
            if self._is_aside(node_id, now_s):
                continue  # already paying for it
            strikes = self._strikes.setdefault(node_id, set())
            strikes.add(experiment.id)
            if len(strikes) >= _NODE_STRIKES:
                aside.add(node_id)
                self._aside_until[node_id] = now_s + _SET_ASIDE_S
                strikes.clear()
        return frozenset(aside)

    def _is_aside(self, node_id: str, now_s: float) -> bool:
        return self._aside_until.get(node_id, now_s) > now_s

    def may_retry(self, experiment: Experiment, outcome: Outcome, nodes: Iterable[Node]) -> bool:
        """Whether another attempt is worth its GPU time. ``nodes`` are those alive now."""
        if not isinstance(outcome, Failed) or self.is_suspect(experiment):
            return False
        if self._tries.get(experiment.id, 0) >= self._max_attempts:
            return False
        if len(self._never_began_on.get(experiment.id, ())) > _MOST_FALSE_STARTS:
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
        """Whether the experiment was lost on two different hosts."""
        return len(self._lost_on.get(experiment.id, ())) >= 2

    def nodes_for(
        self, experiment: Experiment, nodes: Sequence[Node], now_s: float
    ) -> tuple[Node, ...]:
        """The nodes that may take the experiment now.

        Neither one set aside nor one on which it has failed, where another could ever hold it.
        One that lacks what it needs is worse than one set aside.
        """
        id_ = experiment.id
        avoided = self._failed_on.get(id_, set()).union(self._never_began_on.get(id_, ()))
        lacking = self._lacking.get(id_, set())
        kept = [n for n in nodes if not self._is_aside(n.id, now_s)]
        for among, without in (
            (kept, avoided),
            (kept, lacking),
            (nodes, avoided),
            (nodes, lacking),
        ):
            choice = tuple(n for n in among if n.id not in without)
            if fits_some_node(experiment.footprint, choice):
                return choice
        return tuple(nodes)

    def in_order(self, waiting: Sequence[Experiment]) -> list[Experiment]:
        """The waiting experiments as they should start.

        The plan's order; but as long as all have failed, those first that differ most from
        what has been tried: sooner or later one of them runs, or it is plain that none will.
        """
        if self._any_completed or not self._in_a_row:
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
        self, alike: Sequence[_Failure], nodes: Sequence[Node], busy: Collection[str]
    ) -> bool:
        """Whether the failures may be of the nodes that they were on, and not of the study."""
        footprints = {f.experiment.footprint for f in alike}
        able = {n.id for n in nodes if any(fits_some_node(need, [n]) for need in footprints)}
        failed_on = {f.node.id for f in alike}
        if len(failed_on) == 1 and able - failed_on:
            return True
        return len(failed_on) <= len(set(busy) - failed_on)

    def _may_be_values(self, alike: Sequence[_Failure]) -> bool:
        """Whether the failures may be of the values of the parameters that have failed."""
        if alike[-1].failed.kind in _OF_NO_CONFIGURATION:
            return False
        return self._any_completed or not self._space.is_covered_by(f.experiment for f in alike)

    def _is_narrowest(self, alike: Sequence[_Failure]) -> bool:
        least = min((e.footprint.gpus for e in self._experiments), default=0)
        return any(failure.experiment.footprint.gpus <= least for failure in alike)

    def _alike(self) -> list[_Failure]:
        """The failures at the end of the row that are like the last one."""
        alike: list[_Failure] = []
        for failure in reversed(self._in_a_row):
            if failure.likeness != self._in_a_row[-1].likeness:
                break
            alike.append(failure)
        return alike[::-1]


def _count(alike: Sequence[_Failure]) -> int:
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

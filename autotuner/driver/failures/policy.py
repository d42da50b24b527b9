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

from autotuner.driver.failures.alike import OF_NO_CONFIGURATION, Failure, FailuresInARow
from autotuner.driver.placing.waiting import Choice
from autotuner.execution.base import Node
from autotuner.execution.fitting import fits_idle
from autotuner.spec.experiment import (
    Completed,
    Experiment,
    Failed,
    FailureKind,
    Outcome,
    Pruned,
    Retry,
)

__all__ = ["FailurePolicy"]

_SET_ASIDE_S = 1800.0
_NODE_STRIKES = 3
_MOST_FALSE_STARTS = 5

_OF_THE_NODE = OF_NO_CONFIGURATION | {FailureKind.MODEL_NOT_FOUND}
"""For these the node is blamed at once; for others when the experiment runs elsewhere.

A bug of ours is among them: most often it is something on the node that nobody foresaw, such as
a temporary folder that cannot be written, and no second attempt would ever tell.
"""


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
        self.study = FailuresInARow(experiments, give_up_after, any_completed=any_completed)
        """What the failures say of the study."""
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
        if isinstance(outcome, Completed | Pruned):  # what was measured of it went well
            self.study.completed()
            self._strikes.pop(node.id, None)
            self._aside_until.pop(node.id, None)
            # What ran here was not to blame for its failures elsewhere.
            blamed = self._doubted.pop(experiment.id, set()) - {node.id}
            return self._strike(blamed, experiment, now_s)
        if isinstance(outcome, Failed):
            return self._record_failure(Failure(experiment, node, outcome, now_s), began)
        return frozenset()

    def _record_failure(self, failure: Failure, began: bool) -> frozenset[str]:
        id_, node, kind = failure.experiment.id, failure.node, failure.failed.kind
        if kind is FailureKind.DIRTY_GPU:
            # It never started, and the slot is out of use: this says nothing of anything else.
            self._never_began_on.setdefault(id_, []).append(node.id)
            return frozenset()
        self.study.add(failure)
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
                    node.id not in failed_on and fits_idle(experiment.footprint, [node])
                    for node in nodes
                )
        return True

    def is_suspect(self, experiment: Experiment) -> bool:
        """Whether the experiment was lost on two different hosts."""
        return len(self._lost_on.get(experiment.id, ())) >= 2

    def choice(self, experiment: Experiment, wanted_host: str | None = None) -> Choice:
        """Where the experiment may go, by what has become of it so far."""
        id_ = experiment.id
        failed_on = self._failed_on.get(id_, ())
        return Choice(
            experiment.footprint,
            frozenset(failed_on).union(self._never_began_on.get(id_, ())),
            frozenset(self._lacking.get(id_, ())),
            wanted_host,
        )

    def nodes_for(self, choice: Choice, nodes: Sequence[Node], now_s: float) -> tuple[Node, ...]:
        """The nodes that may take such an experiment now.

        Neither one set aside nor one on which it has failed, where another could ever hold it.
        One that lacks what it needs is worse than one set aside. Of these the wanted host alone,
        if it could hold it.
        """
        allowed = self._allowed(choice, nodes, now_s)
        wanted = tuple(node for node in allowed if node.host == choice.wanted_host)
        return wanted if fits_idle(choice.footprint, wanted) else allowed

    def _allowed(self, choice: Choice, nodes: Sequence[Node], now_s: float) -> tuple[Node, ...]:
        kept = [n for n in nodes if not self._is_aside(n.id, now_s)]
        for among, without in (
            (kept, choice.avoided),
            (kept, choice.lacking),
            (nodes, choice.avoided),
            (nodes, choice.lacking),
        ):
            left = tuple(n for n in among if n.id not in without)
            if fits_idle(choice.footprint, left):
                return left
        return tuple(nodes)

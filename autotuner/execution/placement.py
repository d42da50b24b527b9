"""Which experiment goes where. Pure: no Ray, no clock.

Ray's own queue starves wide requests and fragments nodes, so nothing is submitted that does
not fit now, and every attempt is pinned to the node chosen here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from autotuner.execution.base import Node, Slot
from autotuner.spec.experiment import Experiment
from autotuner.spec.server import Footprint

__all__ = [
    "NodeUse",
    "does_not_fit",
    "fits_some_node",
    "largest_quota",
    "place",
    "quota_fix",
    "without",
]


@dataclass(frozen=True, slots=True)
class NodeUse:
    """What is taken of a node."""

    gpus: int = 0
    cpus: int = 0
    attempts: int = 0
    exclusive: bool = False
    quotas: Mapping[str, int] = field(default_factory=dict)

    def plus(self, slot: Slot) -> NodeUse:
        quotas = dict(self.quotas)
        if slot.quota is not None:
            quotas[slot.quota] = quotas.get(slot.quota, 0) + slot.quota_share
        return NodeUse(
            self.gpus + slot.gpus,
            self.cpus + slot.cpus,
            self.attempts + 1,
            self.exclusive or slot.exclusive,
            quotas,
        )

    def quota_left(self, footprint: Footprint, node: Node) -> int:
        """Of the quota that the footprint takes from; 0 where it takes from none."""
        if footprint.quota is None:
            return 0
        return node.quotas.get(footprint.quota, 0) - self.quotas.get(footprint.quota, 0)


def fits_some_node(footprint: Footprint, nodes: Iterable[Node]) -> bool:
    """Whether an idle node of the cluster could hold the footprint."""
    return any(_fits(footprint, node, NodeUse()) for node in nodes)


def does_not_fit(experiment: Experiment, nodes: Sequence[Node]) -> str:
    """What the experiment needs, what the largest node has, and what to change."""
    need = experiment.footprint
    needs = f"experiment {experiment.id} ({experiment.label}) needs"
    if need.quota is not None and need.quota_share > largest_quota(need.quota, nodes):
        return f"{needs} {_quota_missing(need, need.quota, nodes)}"
    largest = max(nodes, key=lambda node: (node.gpus, node.cpus), default=None)
    has = "the cluster has no node"
    if largest is not None:
        has = f"the largest node ({largest.host}) has {largest.gpus} GPUs and {largest.cpus} CPUs"
    return (
        f"{needs} {need.reserved_gpus} GPUs and "
        f"{need.cpus.reserve} CPUs on one node, but {has}. Set resources.gpus or resources.cpus, "
        "remove the wide parallel sizes, or use a larger cluster (--address)"
    )


def largest_quota(quota: str, nodes: Iterable[Node]) -> int:
    """What the node that has most of the custom resource has of it."""
    return max((node.quotas.get(quota, 0) for node in nodes), default=0)


def quota_fix(quota: str, least: int) -> str:
    """How a node comes by a custom resource."""
    return (
        f"start a node with `ray start --resources '{{\"{quota}\": {least}}}'`, with the number "
        "of GPUs that servers may take of the Kubernetes cluster at once"
    )


def _quota_missing(need: Footprint, quota: str, nodes: Sequence[Node]) -> str:
    most = largest_quota(quota, nodes)
    has = f"no node has more than {most}" if most else "the cluster has none"
    return (
        f"{need.quota_share} of the Ray resource {quota} on one node, but {has}: "
        f"{quota_fix(quota, need.quota_share)}. Or let autotuner start a Ray here (no --address)"
    )


def without(nodes: Sequence[Node], lost: Iterable[Slot]) -> tuple[Node, ...]:
    """The nodes as large as they are without slots that nobody can use."""
    use: dict[str, NodeUse] = {}
    for slot in lost:
        use[slot.node.id] = use.get(slot.node.id, NodeUse()).plus(slot)
    return tuple(_smaller(node, use[node.id]) if node.id in use else node for node in nodes)


def _smaller(node: Node, lost: NodeUse) -> Node:
    quotas = {name: most - lost.quotas.get(name, 0) for name, most in node.quotas.items()}
    return replace(node, gpus=node.gpus - lost.gpus, cpus=node.cpus - lost.cpus, quotas=quotas)


def place(
    waiting: Sequence[Experiment],
    nodes: Sequence[Node],
    taken: Iterable[Slot],
    *,
    allowed: Callable[[Experiment], Sequence[Node]] | None = None,
) -> list[tuple[Experiment, Slot]]:
    """Choose slots for as many waiting experiments as fit beside what is taken.

    Widest first, so that a wide one never waits behind narrow ones that could run beside it;
    equals in the order given. Each goes to the node that it fills best, which keeps other
    nodes whole for wide ones.

    Args:
        allowed: The nodes among which an experiment's is chosen; default: all of them.
    """
    use: dict[str, NodeUse] = {node.id: NodeUse() for node in nodes}
    for slot in taken:
        use[slot.node.id] = use.get(slot.node.id, NodeUse()).plus(slot)
    chosen: list[tuple[Experiment, Slot]] = []
    for experiment in sorted(waiting, key=lambda e: -e.footprint.gpus):
        choice = nodes if allowed is None else allowed(experiment)
        node = _best_node(experiment.footprint, choice, use)
        if node is not None:
            slot = _slot(experiment.footprint, node)
            use[node.id] = use[node.id].plus(slot)
            chosen.append((experiment, slot))
    return chosen


def _slot(footprint: Footprint, node: Node) -> Slot:
    cpus = footprint.cpus
    return Slot(
        node,
        footprint.reserved_gpus,
        cpus.reserve,
        exclusive=cpus.pinned,
        quota=footprint.quota,
        quota_share=footprint.quota_share,
    )


def _best_node(
    footprint: Footprint, nodes: Sequence[Node], use: Mapping[str, NodeUse]
) -> Node | None:
    fitting = [node for node in nodes if _fits(footprint, node, use[node.id])]
    return min(
        fitting,
        key=lambda node: (
            use[node.id].quota_left(footprint, node),
            node.gpus - use[node.id].gpus,
            node.cpus - use[node.id].cpus,
        ),
        default=None,
    )


def _fits(footprint: Footprint, node: Node, use: NodeUse) -> bool:
    if footprint.nodes > 1 or use.exclusive or (footprint.cpus.pinned and use.attempts):
        return False
    return (
        footprint.reserved_gpus <= node.gpus - use.gpus
        and footprint.quota_share <= use.quota_left(footprint, node)
        and footprint.cpus.reserve <= node.cpus - use.cpus
    )

"""The books of a cluster: what is taken of each node, and what still fits. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from autotuner.execution.base import Node, Slot
from autotuner.spec.server import Footprint

__all__ = ["Held", "NodeUse", "fits", "slot_of", "use_of", "without"]


@dataclass(frozen=True, slots=True)
class NodeUse:
    """What is taken of a node."""

    gpus: int = 0
    cpus: int = 0
    attempts: int = 0
    exclusive: bool = False
    quotas: Mapping[str, int] = field(default_factory=dict)

    def plus(self, slot: Slot) -> NodeUse:
        """With what the slot takes of one of its nodes."""
        quotas = self.quotas
        if slot.quota is not None:
            quotas = {**quotas, slot.quota: quotas.get(slot.quota, 0) + slot.quota_share}
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


@dataclass(frozen=True, slots=True)
class Held:
    """A slot that is taken, and for how long it is expected to be."""

    slot: Slot
    left_s: float


def use_of(nodes: Iterable[Node], slots: Iterable[Slot]) -> dict[str, NodeUse]:
    """Node id -> what the slots take of it; also of nodes that are gone."""
    on_node: dict[str, list[Slot]] = {node.id: [] for node in nodes}
    for slot in slots:
        for node in slot.nodes:
            on_node.setdefault(node.id, []).append(slot)
    return {node_id: _taken_by(own) for node_id, own in on_node.items()}


def _taken_by(slots: Sequence[Slot]) -> NodeUse:
    """What slots on the same node take of it."""
    quotas: dict[str, int] = {}
    for slot in slots:
        if slot.quota is not None:
            quotas[slot.quota] = quotas.get(slot.quota, 0) + slot.quota_share
    return NodeUse(
        sum(slot.gpus for slot in slots),
        sum(slot.cpus for slot in slots),
        len(slots),
        any(slot.exclusive for slot in slots),
        quotas,
    )


def fits(footprint: Footprint, node: Node, use: NodeUse) -> bool:
    """Whether the node has room for the footprint's share of one node."""
    # The likeliest reason first: this is asked a thousand times a round.
    if footprint.reserved_gpus > node.gpus - use.gpus or use.exclusive:
        return False
    if footprint.cpus.reserve > node.cpus - use.cpus:
        return False
    if use.attempts and footprint.exclusive:
        return False
    if footprint.quota is not None and footprint.quota_share > use.quota_left(footprint, node):
        return False
    return footprint.gpu_type is None or footprint.allows(node.gpu_model)


def slot_of(footprint: Footprint, node: Node, *others: Node) -> Slot:
    """The place of an attempt on these nodes, the first of which has rank 0.

    Of whole nodes all GPUs are taken, also those that it does not use: other studies on the
    cluster do not know this one's books.
    """
    gpus = footprint.reserved_gpus
    if footprint.whole_nodes and footprint.quota is None:
        gpus = min(one.gpus for one in (node, *others))
    return Slot(
        node,
        gpus,
        footprint.cpus.reserve,
        exclusive=footprint.exclusive,
        quota=footprint.quota,
        quota_share=footprint.quota_share,
        others=others,
    )


def without(nodes: Iterable[Node], lost: Iterable[Slot]) -> tuple[Node, ...]:
    """The nodes as large as they are without slots that nobody can use."""
    use = use_of((), lost)
    return tuple(_smaller(node, use[node.id]) if node.id in use else node for node in nodes)


def _smaller(node: Node, lost: NodeUse) -> Node:
    quotas = {name: most - lost.quotas.get(name, 0) for name, most in node.quotas.items()}
    return replace(node, gpus=node.gpus - lost.gpus, cpus=node.cpus - lost.cpus, quotas=quotas)

"""Which experiment goes where. Pure: no Ray, no clock.

Ray's own queue starves wide requests and fragments nodes, so nothing is submitted that does
not fit now, and every attempt is pinned to the nodes chosen here.

* Widest first, so that a wide one never waits behind narrow ones that could run beside it; of
  equally wide ones those first that have the fewest nodes to choose from.
* Best fit: each goes to the node that it fills best, which keeps other nodes whole for wide ones,
  or empty, so that a cluster can give them back.
* Draining: where narrow attempts never end all at once, a wide one would wait for ever. So nodes
  are drained for it: as many as its kind needs to be done when the rest is, those that will be free
  soonest. Narrower ones may still use such a node for as long as it takes to drain.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from autotuner.execution.base import Node, Slot
from autotuner.execution.books import Held, NodeUse, fits, slot_of, use_of
from autotuner.execution.fitting import able_nodes
from autotuner.execution.gpu_budget import GpuBudget
from autotuner.spec.experiment import Experiment
from autotuner.spec.server import Footprint

__all__ = ["Group", "Placement", "place", "places"]

_BACKFILL_S = 1800.0
"""Estimates may be wrong: what has waited for so long gets its nodes drained without exception."""


@dataclass(frozen=True, slots=True)
class Group:
    """Waiting experiments that need the same and may go to the same nodes."""

    footprint: Footprint
    experiments: Sequence[Experiment]
    """In order of their start."""
    nodes: Sequence[Node]
    work_s: float
    """Expected seconds of all of them, one after the other."""
    waited_s: float = 0.0
    """How long the one has waited that has waited longest."""

    @property
    def mean_s(self) -> float:
        """Expected seconds of one."""
        return self.work_s / max(1, len(self.experiments))


@dataclass(frozen=True, slots=True)
class Placement:
    """What starts now."""

    chosen: tuple[tuple[Experiment, Slot], ...]
    """Of each group the first ones."""
    drained: frozenset[str]
    """Ids of the nodes that are kept for wide ones; the next round is to be told."""


def place(
    groups: Iterable[Group],
    nodes: Sequence[Node],
    held: Sequence[Held] = (),
    *,
    others: Sequence[Slot] = (),
    most_gpus: int | None = None,
    drained: Collection[str] = (),
) -> Placement:
    """Choose slots for as many waiting experiments as fit beside what is held.

    Args:
        others: What is held by somebody else, nobody knows for how long.
        most_gpus: So many GPUs may be held at once; None: all there are.
        drained: Of the round before, so that a node that was drained for long is not given up for
            another one.
    """
    waiting = sorted((group for group in groups if group.experiments), key=_precedence)
    turn = _Round(waiting, nodes, held, others, most_gpus, frozenset(drained))
    for group in waiting:
        placed = turn.fill(group)
        if placed < len(group.experiments):
            turn.drain_for(group, len(group.experiments) - placed)
    return Placement(tuple(turn.chosen), frozenset(turn.drained))


def places(experiments: Sequence[Experiment], nodes: Sequence[Node]) -> int:
    """How many of the experiments an idle cluster could hold at once."""
    by_footprint: dict[Footprint, list[Experiment]] = {}
    for experiment in experiments:
        by_footprint.setdefault(experiment.footprint, []).append(experiment)
    groups = [Group(need, same, nodes, 0.0) for need, same in by_footprint.items()]
    return len(place(groups, nodes).chosen)


def _precedence(group: Group) -> tuple[int, int, bool, int]:
    need = group.footprint
    return (-need.gpus, -need.nodes, not need.exclusive, len(able_nodes(need, group.nodes)))


@dataclass(frozen=True, slots=True)
class _Reserve:
    """What is kept free of a node, and for how long others may use it all the same."""

    use: NodeUse
    lent_s: float


class _Round:
    """One round of placement; what is chosen is taken at once."""

    def __init__(
        self,
        groups: Sequence[Group],
        nodes: Sequence[Node],
        held: Sequence[Held],
        others: Sequence[Slot],
        most_gpus: int | None,
        drained_before: frozenset[str],
    ) -> None:
        self.chosen: list[tuple[Experiment, Slot]] = []
        self.drained: set[str] = set()
        self._held = held
        self._others = others
        self._kinds = _kinds([one.slot for one in held])
        self._use = use_of(nodes, (*(one.slot for one in held), *others))
        self._reserves: dict[str, _Reserve] = {}
        self._drained_before = drained_before
        self._ends: dict[str, list[Held]] = defaultdict(list)
        self._ends_noted = 0
        """Of what is chosen, so many are among the ends."""
        gpus = sum(node.gpus for node in nodes)
        self._capacity = gpus if most_gpus is None else min(gpus, most_gpus)
        self._budget = GpuBudget(most_gpus, held)
        work = sum(one.left_s * _weight(one.slot.held_gpus) for one in held)
        work += sum(group.work_s * _weight(group.footprint.gpus) for group in groups)
        self._rest_s = work / max(self._capacity, len(held), 1)
        """Expected seconds until everything is done, with no device idle."""

    def fill(self, group: Group) -> int:
        """Place the first ones of the group; returns how many."""
        need = group.footprint
        free = [(self._rank(need, n), n.id, n) for n in group.nodes if self._has_room(group, n)]
        heapq.heapify(free)
        for count, experiment in enumerate(group.experiments):
            if len(free) < need.nodes:
                return count
            best = [heapq.heappop(free)[2] for _ in range(need.nodes)]
            slot = slot_of(need, *best)
            if not self._budget.has_room(slot, group.mean_s):
                return count
            self.chosen.append((experiment, slot))
            self._kinds[_Kind.of(slot)] += 1
            self._budget.take(slot)
            for node in best:
                self._use[node.id] = self._use[node.id].plus(slot)
                if self._has_room(group, node):
                    heapq.heappush(free, (self._rank(need, node), node.id, node))
        return len(group.experiments)

    def drain_for(self, group: Group, left: int) -> None:
        """Keep nodes free for those of the group that have found no place.

        Where as wide ones run already, their places go over to the group; else it would wait for
        narrow ones to end by chance at the same time.
        """
        need = group.footprint
        wanted = min(left, math.ceil(left * group.mean_s / max(self._rest_s, group.mean_s, 1e-9)))
        wanted -= sum(count for kind, count in self._kinds.items() if kind.goes_over_to(need))
        if wanted <= 0:
            return
        ends = self._known_ends()
        able = [
            (_free_in_s(need, node, ends[node.id]), node) for node in able_nodes(need, group.nodes)
        ]
        able.sort(key=lambda one: (one[1].id not in self._drained_before, one[0], one[1].id))
        able = able[: wanted * need.nodes]
        able = able[: len(able) - len(able) % need.nodes]
        patient = group.waited_s < _BACKFILL_S
        for start in range(0, len(able), need.nodes):
            together = able[start : start + need.nodes]
            lent_s = max(free_in_s for free_in_s, _ in together) if patient else 0.0
            slot = slot_of(need, *(node for _, node in together))
            self._reserve(slot, lent_s)
            self._budget.reserve(slot, patient=patient)

    def _reserve(self, slot: Slot, lent_s: float) -> None:
        for node in slot.nodes:
            before = self._reserves.get(node.id, _Reserve(NodeUse(), math.inf))
            self._reserves[node.id] = _Reserve(before.use.plus(slot), min(before.lent_s, lent_s))
            self.drained.add(node.id)

    def _known_ends(self) -> Mapping[str, Sequence[Held]]:
        """Node id -> what is held of it, what ends first first."""
        if not self._ends:
            of_others = [Held(slot, math.inf) for slot in self._others]
            for one in (*sorted(self._held, key=lambda one: one.left_s), *of_others):
                self._note_end(one)
        for _, slot in self.chosen[self._ends_noted :]:
            self._note_end(Held(slot, math.inf))
        self._ends_noted = len(self.chosen)
        return self._ends

    def _note_end(self, one: Held) -> None:
        for node in one.slot.nodes:
            self._ends[node.id].append(one)

    def _has_room(self, group: Group, node: Node) -> bool:
        use = self._use.get(node.id, NodeUse())
        if not fits(group.footprint, node, use):
            return False
        reserve = self._reserves.get(node.id)
        if reserve is None or group.mean_s <= reserve.lent_s:
            return True
        return fits(group.footprint, node, _sum(use, reserve.use))

    def _rank(self, need: Footprint, node: Node) -> tuple[int, int, int]:
        """The lower, the better the node is filled."""
        use = self._use[node.id]
        return (use.quota_left(need, node), node.gpus - use.gpus, node.cpus - use.cpus)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What decides who could have a slot's place after it."""

    gpus: int
    cpus: int
    nodes: int
    exclusive: bool
    quota: str | None
    quota_share: int
    gpu_models: frozenset[str | None]

    @staticmethod
    def of(slot: Slot) -> _Kind:
        return _Kind(
            slot.gpus,
            slot.cpus,
            len(slot.nodes),
            slot.exclusive,
            slot.quota,
            slot.quota_share,
            frozenset(node.gpu_model for node in slot.nodes),
        )

    def goes_over_to(self, need: Footprint) -> bool:
        """Whether there is room for the footprint once the slot is free."""
        return (
            self.gpus >= need.reserved_gpus
            and self.cpus >= need.cpus.reserve
            and self.nodes >= need.nodes
            and (self.exclusive or not need.exclusive)
            and self.quota == need.quota
            and self.quota_share >= need.quota_share
            and all(map(need.allows, self.gpu_models))
        )


def _kinds(slots: Iterable[Slot]) -> Counter[_Kind]:
    """How many there are of each kind; of those that are alike one is looked at."""
    alike: Counter[tuple[object, ...]] = Counter()
    one_of: dict[tuple[object, ...], Slot] = {}
    for slot in slots:
        reserved = (slot.gpus, slot.cpus, slot.exclusive, slot.quota, slot.quota_share)
        like: tuple[object, ...] = (*reserved, slot.node.gpu_model, slot.others)
        alike[like] += 1
        one_of[like] = slot
    kinds: Counter[_Kind] = Counter()
    for like, count in alike.items():
        kinds[_Kind.of(one_of[like])] += count
    return kinds


def _free_in_s(need: Footprint, node: Node, ends: Sequence[Held]) -> float:
    """Expected seconds until the node has room, if nobody else gets it.

    Args:
        ends: What is held of it, what ends first first.
    """
    still, free_in_s = NodeUse(), math.inf
    for last in reversed(ends):
        if not fits(need, node, still):
            return free_in_s
        still, free_in_s = still.plus(last.slot), last.left_s
    return 0.0 if fits(need, node, still) else free_in_s


def _sum(use: NodeUse, more: NodeUse) -> NodeUse:
    quotas = {
        name: use.quotas.get(name, 0) + more.quotas.get(name, 0)
        for name in {*use.quotas, *more.quotas}
    }
    return NodeUse(
        use.gpus + more.gpus,
        use.cpus + more.cpus,
        use.attempts + more.attempts,
        use.exclusive or more.exclusive,
        quotas,
    )


def _weight(gpus: int) -> int:
    """By which an attempt's seconds count; without GPUs a slot counts as one."""
    return max(1, gpus)

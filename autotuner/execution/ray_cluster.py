"""What Ray says of its nodes: how large they are, and what others hold of them."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ray
from ray.exceptions import RayError

from autotuner.execution.base import Node, Slot
from autotuner.execution.books import NodeUse, use_of

__all__ = ["ClusterView", "raylet_nodes"]

_ACCELERATOR_PREFIX = "accelerator_type:"
_OWN_RESOURCES = frozenset({"CPU", "GPU", "memory", "object_store_memory"})
_OWN_PREFIXES = (_ACCELERATOR_PREFIX, "node:")
"""What Ray counts by itself; all else was given to ``ray start --resources``."""
_STEADY_S = 5.0
"""Ray's own books follow ours with a delay: what others hold is what they held all that time."""
_TINY = 1e-6


class ClusterView:
    """The cluster as this process sees it.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, deque[tuple[float, int, int]]] = defaultdict(deque)
        """Node id -> when, GPUs, CPUs: reserved, and not by us."""
        self._nodes: tuple[Node, ...] = ()

    def nodes(self) -> tuple[Node, ...]:
        """Those that are alive and take work; one that Ray is about to give back does not."""
        leaving = _draining()
        self._nodes = tuple(
            Node(
                id=node["NodeID"],
                host=node["NodeManagerHostname"],
                gpus=int(node["Resources"].get("GPU", 0)),
                cpus=int(node["Resources"].get("CPU", 0)),
                gpu_model=_gpu_model(node["Resources"]),
                quotas=_quotas(node["Resources"]),
            )
            for node in raylet_nodes()
            if node["Alive"] and node["NodeID"] not in leaving
        )
        return self._nodes

    def held_by_others(self, own: Iterable[Slot]) -> tuple[Slot, ...]:
        """What other jobs have reserved, a slot per node that was alive when last looked at.

        Args:
            own: Everything that we have reserved.
        """
        now, free = self._clock(), _available()
        mine = use_of((), own)
        held = []
        for node in self._nodes:
            gpus, cpus = _taken(node, free.get(node.id), mine.get(node.id, NodeUse()))
            seen = self._seen[node.id]
            seen.append((now, gpus, cpus))
            while seen[0][0] < now - _STEADY_S:
                seen.popleft()
            gpus, cpus = min(one[1] for one in seen), min(one[2] for one in seen)
            if gpus or cpus:
                held.append(Slot(node, gpus, cpus))
        return tuple(held)


def _taken(node: Node, free: Mapping[str, float] | None, mine: NodeUse) -> tuple[int, int]:
    """GPUs and CPUs of the node that are reserved, and not by us."""
    if free is None:
        return 0, 0
    gpus = math.ceil(node.gpus - free.get("GPU", 0.0) - _TINY) - mine.gpus
    cpus = math.ceil(node.cpus - free.get("CPU", 0.0) - _TINY) - mine.cpus
    return max(0, gpus), max(0, cpus)


def raylet_nodes() -> list[dict[str, Any]]:
    """All nodes that Ray knows, dead ones too, as it describes them."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return nodes


def _available() -> Mapping[str, Mapping[str, float]]:
    """Node id -> what is free of it. Of no public interface: nothing where it is not there."""
    try:
        private: Any = ray._private.state
        free: Mapping[str, Mapping[str, float]] = private.available_resources_per_node()
    except (AttributeError, RayError):
        return {}
    return free


def _draining() -> frozenset[str]:
    """Ids of the nodes that Ray gives no more work. Of no public interface, as above."""
    try:
        private: Any = ray._private.state
        return frozenset(private.state.get_draining_nodes())
    except (AttributeError, RayError):
        return frozenset()


def _gpu_model(resources: Mapping[str, float]) -> str | None:
    models = [name for name in resources if name.startswith(_ACCELERATOR_PREFIX)]
    return models[0].removeprefix(_ACCELERATOR_PREFIX) if models else None


def _quotas(resources: Mapping[str, float]) -> dict[str, int]:
    return {
        name: int(most)
        for name, most in resources.items()
        if name not in _OWN_RESOURCES and not name.startswith(_OWN_PREFIXES)
    }

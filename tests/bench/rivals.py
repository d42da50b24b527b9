"""How others would dispatch the load of the scale benchmark, as far as scheduling goes.

Each keeps its queue in the order in which the experiments were handed in, knows nothing of how
long they take, and has nothing written down: after a kill of its driver it begins anew.
"""

from __future__ import annotations

import heapq
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = [
    "RIVALS",
    "Record",
    "Rival",
    "Task",
    "run_rival",
]


@dataclass(frozen=True, slots=True)
class Task:
    """An experiment: how wide, and how long each of its attempts takes."""

    gpus: int
    seconds: tuple[float, ...]


class Rival(ABC):
    """A queue and the books of a cluster.

    Args:
        gpus: Of each node.
    """

    def __init__(self, gpus: Sequence[int]) -> None:
        self.size = tuple(gpus)
        self.free = list(gpus)
        self.running = 0
        self.queue: dict[int, deque[tuple[int, int]]] = {}
        """Width -> (place in the queue, task), in order."""
        self._places = 0

    def put(self, task: int, gpus: int) -> None:
        self.queue.setdefault(gpus, deque()).append((self._places, task))
        self._places += 1

    def heads(self) -> list[tuple[int, int]]:
        """The first of each width that waits: (place in the queue, width), in order."""
        return sorted((waiting[0][0], gpus) for gpus, waiting in self.queue.items() if waiting)

    def start(self, gpus: int, node: int) -> tuple[int, int]:
        self.free[node] -= gpus
        self.running += 1
        return self.queue[gpus].popleft()[1], node

    def end(self, gpus: int, node: int) -> None:
        self.free[node] += gpus
        self.running -= 1

    @abstractmethod
    def next(self) -> tuple[int, int] | None:
        """Task and node of the next start; None where nothing may start now."""


class Sequential(Rival):
    """A loop over the experiments, one at a time."""

    def next(self) -> tuple[int, int] | None:
        for _, gpus in self.heads()[: 0 if self.running else 1]:
            return self.start(gpus, 0)
        return None


class LoopPerNode(Rival):
    """The same loop on every node: whichever is idle takes the next experiment, one at a time."""

    def next(self) -> tuple[int, int] | None:
        for _, gpus in self.heads()[:1]:
            for node, free in enumerate(self.free):
                if free == self.size[node]:
                    return self.start(gpus, node)
        return None


class FifoBlocking(Rival):
    """Strictly in order: what does not fit holds up all behind it. First node with room."""

    def next(self) -> tuple[int, int] | None:
        for _, gpus in self.heads()[:1]:
            for node, free in enumerate(self.free):
                if free >= gpus:
                    return self.start(gpus, node)
        return None


class FifoFirstFit(Rival):
    """In order, but what does not fit is passed by. First node with room."""

    def next(self) -> tuple[int, int] | None:
        for _, gpus in self.heads():
            for node, free in enumerate(self.free):
                if free >= gpus:
                    return self.start(gpus, node)
        return None


class RayPlacementGroups(Rival):
    """A STRICT_PACK group for each, all handed to Ray at once.

    As Ray does: what does not fit is passed by, and a group goes to the node that is least used.
    """

    def next(self) -> tuple[int, int] | None:
        node = max(range(len(self.free)), key=self.free.__getitem__)
        for _, gpus in self.heads():
            if self.free[node] >= gpus:
                return self.start(gpus, node)
        return None


RIVALS: dict[str, type[Rival]] = {
    "sequential": Sequential,
    "loop_per_node": LoopPerNode,
    "fifo_blocking": FifoBlocking,
    "fifo_first_fit": FifoFirstFit,
    "ray_placement_groups": RayPlacementGroups,
}


@dataclass
class Record:
    """What came of a rival's run."""

    ends_s: list[float] = field(default_factory=list)
    """Of attempts, in order."""
    started_s: dict[int, list[float]] = field(default_factory=dict)
    """Width -> when its attempts began."""
    rounds_s: list[float] = field(default_factory=list)
    """CPU seconds of each round that started something."""
    completed: Counter[int] = field(default_factory=Counter)
    """Task -> how often."""


def run_rival(
    rival: Rival, tasks: Sequence[Task], record: Record, *, killed_at_s: float | None = None
) -> None:
    """Let the rival run the tasks from the start, and write down what happens.

    Args:
        killed_at_s: Then everything that runs is lost.
    """
    for index, task in enumerate(tasks):
        rival.put(index, task.gpus)
    running: list[tuple[float, int, int]] = []
    attempts: Counter[int] = Counter()
    now = 0.0
    while True:
        began, started = time.thread_time(), 0
        while (start := rival.next()) is not None:
            index, node = start
            task = tasks[index]
            record.started_s.setdefault(task.gpus, []).append(now)
            heapq.heappush(running, (now + task.seconds[attempts[index]], index, node))
            started += 1
        if started:
            record.rounds_s.append(time.thread_time() - began)
        if not running:
            return
        now, index, node = heapq.heappop(running)
        if killed_at_s is not None and now > killed_at_s:
            return
        task = tasks[index]
        rival.end(task.gpus, node)
        attempts[index] += 1
        if attempts[index] < len(task.seconds):
            rival.put(index, task.gpus)
        else:
            record.completed[index] += 1
        record.ends_s.append(now)

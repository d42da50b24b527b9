"""The attempts between submission and end: their neighbours, and their deadlines."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection

from autotuner.driver.progress import AttemptWaiting, StudyEvent
from autotuner.driver.running import Running
from autotuner.execution.base import Executor, Slot
from autotuner.node.events import AttemptOrder

__all__ = ["InFlight"]

_LOOK_S = 0.5


class InFlight:
    """Holds them by the attempt's id."""

    def __init__(self, executor: Executor, emit: Callable[[StudyEvent], None]) -> None:
        self._executor = executor
        self._emit = emit
        self._running: dict[str, Running] = {}
        self._on_node: dict[str, set[str]] = defaultdict(set)
        """Node id -> ids of the attempts that run there."""
        self._looked_at = float("-inf")

    def __len__(self) -> int:
        return len(self._running)

    @property
    def all(self) -> Collection[Running]:
        return self._running.values()

    def get(self, attempt_id: str) -> Running | None:
        """None for one that is of an earlier study on the same executor, or has ended."""
        return self._running.get(attempt_id)

    def submit(self, order: AttemptOrder, slot: Slot) -> None:
        attempt = order.attempt
        self._running[attempt.id] = Running(order, slot, len(self._neighbours(slot)))
        for node in slot.nodes:
            self._on_node[node.id].add(attempt.id)
        self._see_neighbours(slot)
        self._executor.submit(order, slot)

    def remove(self, running: Running) -> None:
        """It has ended."""
        del self._running[running.attempt.id]
        for node in running.slot.nodes:
            self._on_node[node.id].discard(running.attempt.id)
        self._see_neighbours(running.slot)

    def stop(self, running: Running, reason: str) -> None:
        """Ask it to end, once."""
        if running.stopping_since is None:
            running.stopping_since = time.monotonic()
            self._executor.stop(running.attempt.id, reason)

    def check_deadlines(self) -> None:
        """The node keeps its own deadlines; these are for a node that does not."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_S:
            return  # events may come by the thousand
        self._looked_at = now
        for running in list(self._running.values()):
            if running.is_waiting(now):
                # No failure: on a shared cluster others may hold what the slot promised.
                running.reported_waiting = True
                host, waited_s = running.slot.node.host, now - running.submitted_at
                self._emit(AttemptWaiting(running.attempt, host, waited_s))
            if running.is_overdue(now):
                self.stop(running, "overdue")
            if running.is_to_be_killed(now):
                self._executor.kill(running.attempt.id)

    def _neighbours(self, slot: Slot) -> set[str]:
        """Ids of the attempts on the slot's nodes."""
        return set().union(*(self._on_node[node.id] for node in slot.nodes))

    def _see_neighbours(self, slot: Slot) -> None:
        now = time.monotonic()
        for attempt_id in self._neighbours(slot):
            running = self._running[attempt_id]
            running.see_neighbours(len(self._neighbours(running.slot)) - 1, now)

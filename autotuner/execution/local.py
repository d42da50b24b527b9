"""Attempts in threads of this process, on this machine: for tests and for debugging."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from autotuner.engines.base import Rank
from autotuner.execution.base import (
    AttemptLost,
    Executor,
    ExecutorEvent,
    Node,
    NodeAnswer,
    Slot,
)
from autotuner.node.events import AttemptEnded, AttemptOrder, SlotCleared
from autotuner.node.experiment import run_attempt
from autotuner.node.rank import RankEnded, RankHost, RankReady, RankState
from autotuner.node.spanning import Peer, PeerLostError, Span
from autotuner.spec.experiment import FailureKind

__all__ = ["LocalExecutor"]

Value = TypeVar("Value")

_LOOK_S = 0.1
_LOOPBACK = "127.0.0.1"


class LocalExecutor(Executor):
    """Runs attempts here.

    ``gpus`` pretends that many devices on each of so many ``nodes``, ``quotas`` custom resources;
    nothing reserves them. All nodes are this machine: what spans several has its parts here.
    """

    def __init__(
        self,
        *,
        gpus: int = 0,
        cpus: int | None = None,
        quotas: Mapping[str, int] | None = None,
        nodes: int = 1,
    ) -> None:
        host = socket.gethostname()
        cpus = cpus or os.cpu_count() or 1
        self._nodes = tuple(
            Node(f"local-{n}" if n else "local", host, gpus, cpus, quotas=dict(quotas or {}))
            for n in range(nodes)
        )
        self._events: queue.Queue[tuple[str, ExecutorEvent]] = queue.Queue()
        self._live: dict[str, _AttemptThread] = {}
        self._started: list[_AttemptThread] = []

    def nodes(self) -> tuple[Node, ...]:
        return self._nodes

    def ask_nodes(
        self,
        calls: Mapping[Node, Callable[[], Value]],
        *,
        timeout_s: float,
        given_up: Callable[[], bool] = lambda: False,
    ) -> tuple[NodeAnswer[Value], ...]:
        deadline = time.monotonic() + timeout_s
        asked = [_Asked(node, call) for node, call in calls.items()]
        for one in asked:
            while one.is_alive() and time.monotonic() < deadline and not given_up():
                one.join(_LOOK_S)
        return tuple(one.answer(timeout_s) for one in asked)

    def submit(self, order: AttemptOrder, slot: Slot) -> None:
        thread = _AttemptThread(order, slot, self._events)
        self._live[order.attempt.id] = thread
        self._started = [earlier for earlier in self._started if earlier.is_alive()] + [thread]
        thread.start()

    def poll(self, timeout_s: float) -> Sequence[tuple[str, ExecutorEvent]]:
        events: list[tuple[str, ExecutorEvent]] = []
        with contextlib.suppress(queue.Empty):
            events.append(self._events.get(timeout=timeout_s))
            while True:
                events.append(self._events.get_nowait())
        return events

    def stop(self, attempt_id: str, reason: str) -> None:
        if live := self._live.get(attempt_id):
            live.stop(reason)

    def kill(self, attempt_id: str) -> None:
        if live := self._live.pop(attempt_id, None):
            live.kill()

    def close(self) -> None:
        for thread in self._started:
            thread.stop("the study has ended")
        for thread in self._started:
            thread.join()


class _Asked(threading.Thread, Generic[Value]):
    """One call. A thread cannot be ended: that of a call which was given up is left alone."""

    def __init__(self, node: Node, call: Callable[[], Value]) -> None:
        super().__init__(name=f"asks {node.host}", daemon=True)
        self._node, self._call = node, call
        self._sent_s = time.time()
        self._answer: NodeAnswer[Value] | None = None
        self.start()

    def run(self) -> None:
        value: Value | None = None
        problem: str | None = None
        try:
            value = self._call()
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        self._answer = NodeAnswer(self._node, value, problem, self._sent_s, time.time())

    def answer(self, timeout_s: float) -> NodeAnswer[Value]:
        """What has come back by now."""
        if self._answer is not None:
            return self._answer
        problem = f"no answer within {timeout_s:g} s"
        return NodeAnswer(self._node, None, problem, self._sent_s, time.time())


class _AttemptThread(threading.Thread):
    """One submission. A thread cannot be killed: it is told to stop and no longer heard."""

    def __init__(
        self, order: AttemptOrder, slot: Slot, events: queue.Queue[tuple[str, ExecutorEvent]]
    ) -> None:
        super().__init__(name=order.attempt.id)
        self._order, self._slot, self._events = order, slot, events
        self._stop_reason: str | None = None
        self._lock = threading.Lock()
        self._ended = False
        self._holds_slot = False

    def stop(self, reason: str) -> None:
        self._stop_reason = self._stop_reason or reason

    def tell(self, event: ExecutorEvent) -> None:
        """Pass the event on, unless the attempt's last one has passed."""
        with self._lock:
            if not self._ended:
                held = isinstance(event, AttemptEnded) and event.slot_fault is not None
                last = isinstance(event, AttemptEnded | AttemptLost | SlotCleared)
                self._ended = last and not held
                self._holds_slot = held
                self._events.put((self._order.attempt.id, event))

    def kill(self) -> None:
        """Say that it is lost, or nothing where its end was told already; its slot is free."""
        self.stop("killed by the driver")
        with self._lock:
            if not self._ended and not self._holds_slot:
                lost = AttemptLost(FailureKind.ACTOR_LOST, "killed by the driver")
                self._events.put((self._order.attempt.id, lost))
            self._ended = True

    def run(self) -> None:
        own, *others = (self._devices_of(rank) for rank in range(len(self._slot.nodes)))
        peers = tuple(
            _LocalPeer(node.host, devices)
            for node, devices in zip(self._slot.others, others, strict=True)
        )
        span = Span(_LOOPBACK, peers) if peers else None
        try:
            for event in run_attempt(
                self._order, gpu_ids=own, should_stop=lambda: self._stop_reason, span=span
            ):
                self.tell(event)
        except Exception as error:
            lost = AttemptLost(FailureKind.INTERNAL_ERROR, f"{type(error).__name__}: {error}")
            self.tell(lost)

    def _devices_of(self, rank: int) -> list[str]:
        """All ranks are on one machine, where none may have another's."""
        first, used = rank * self._slot.gpus, self._order.attempt.experiment.footprint.reserved_gpus
        return [str(device) for device in range(first, first + used)]


class _LocalPeer(Peer):
    """A further rank in this process; its calls do not know a time limit."""

    def __init__(self, host: str, devices: Sequence[str]) -> None:
        self.host = host
        self._rank = RankHost(_LOOPBACK, devices)

    def prepare(self, order: AttemptOrder, *, timeout_s: float) -> RankReady:
        return self._rank.prepare(order)

    def start(self, rank: Rank, *, timeout_s: float) -> str | None:
        return self._rank.start(rank)

    def version(self, *, timeout_s: float) -> str | None:
        return self._rank.version()

    def state(self, *, timeout_s: float) -> RankState:
        return self._rank.state()

    def log_tail(self, *, timeout_s: float) -> str:
        return self._rank.log_tail()

    def stop(self, *, hurry: bool, timeout_s: float) -> None:
        self._rank.stop(hurry=hurry)

    def finish(self, *, hurry: bool, completed: bool, timeout_s: float) -> RankEnded:
        return self._rank.finish(hurry=hurry, completed=completed)

    def is_free(self, *, timeout_s: float) -> bool:
        return self._rank.is_free()

    def silent(self) -> PeerLostError:
        return PeerLostError(FailureKind.INTERNAL_ERROR, "it does not answer")

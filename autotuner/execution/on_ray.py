"""Attempts as Ray actors, on a cluster or on a Ray that is started here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from autotuner.execution.authentication import token_file
from autotuner.execution.base import (
    AttemptLost,
    Executor,
    ExecutorEvent,
    Node,
    NodeAnswer,
    Slot,
)
from autotuner.execution.metrics import Sample
from autotuner.execution.ray_actor import actor_class
from autotuner.execution.ray_cluster import ClusterView
from autotuner.execution.ray_connection import (
    address_of_environment,
    connect,
    own_signal_handlers,
)
from autotuner.execution.ray_growth import Growth
from autotuner.execution.ray_metrics import RayMetrics
from autotuner.execution.ray_nodes import ask_nodes, node_lives, told
from autotuner.execution.ray_ranks import RankGroup
from autotuner.node.events import AttemptEnded, AttemptOrder, SlotCleared
from autotuner.spec.experiment import Completed, FailureKind, Pruned
from autotuner.spec.server import Footprint
from autotuner.supervision.sweep import sweep_attempt

__all__ = ["RayExecutor"]

Value = TypeVar("Value")

_SWEEP_S = 5.0
_RENEWAL_POLL_S = 1.0
_RENEWAL_SHARE = 0.25
"""Of the lease: three renewals may be lost."""


@dataclass(slots=True)
class _Live:
    mark: str
    """Of the attempt."""
    actor: Any
    stream: Any
    slot: Slot
    lease_s: float
    group: RankGroup | None = None
    """Of a slot with several nodes: its further ones, and what holds them all."""
    renewed_at: float = field(default_factory=time.monotonic)
    holds_slot: bool = False
    """It has ended with a fault of its devices, and keeps others off them."""
    has_begun: bool = False

    @property
    def actors(self) -> list[Any]:
        return [self.actor, *([] if self.group is None else (a for _, a in self.group.ranks))]


class RayExecutor(Executor):
    """One owned, pinned actor per attempt and node.

    Args:
        address: A cluster's address or ``auto``; None: what RAY_ADDRESS says, as everywhere in
            Ray (a Ray job's says its cluster), else a Ray is started here that ends with us.
        quotas: Custom resources of a Ray that is started here.

    Raises:
        ClusterError: no Ray answers at the address.
    """

    def __init__(
        self, address: str | None = None, *, quotas: Mapping[str, int] | None = None
    ) -> None:
        self._live: dict[str, _Live] = {}
        self._cluster = ClusterView()
        self._growth = Growth()
        self._lost: list[tuple[str, ExecutorEvent]] = []
        with own_signal_handlers():
            self._context = connect(address or address_of_environment(), quotas)
        self._actor_class = actor_class()
        remote: Any = ray.remote
        self._sweep = remote(max_retries=0)(sweep_attempt)
        self._sweeps: list[Any] = []
        self._metrics: RayMetrics | None = None
        self._closing = threading.Event()
        self._renewing = threading.Thread(target=self._renew_leases, daemon=True)
        self._renewing.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is KeyboardInterrupt:  # at once, then: the next attempt on a node sweeps it
            self._sweeps.clear()
        self.close()

    @property
    def dashboard(self) -> str | None:
        if not (url := self._context.dashboard_url):
            return None
        # Ray turns token authentication on by itself and keeps the token in this file.
        token = token_file()
        login = f"; log in with the token in {token}" if token.exists() else ""
        return f"http://{url}{login}"

    def nodes(self) -> tuple[Node, ...]:
        return self._cluster.nodes()

    @property
    def can_grow(self) -> bool:
        return self._growth.possible

    def want(self, demand: Mapping[Footprint, int]) -> None:
        self._growth.request(demand)

    def held_by_others(self) -> tuple[Slot, ...]:
        return self._cluster.held_by_others([live.slot for live in self._live.values()])

    def ask_nodes(
        self,
        calls: Mapping[Node, Callable[[], Value]],
        *,
        timeout_s: float,
        given_up: Callable[[], bool] = lambda: False,
    ) -> tuple[NodeAnswer[Value], ...]:
        return ask_nodes(calls, timeout_s=timeout_s, given_up=given_up)

    def submit(self, order: AttemptOrder, slot: Slot) -> None:
        attempt = order.attempt
        label = f"{attempt.experiment.label} [{attempt.id}]"
        # Of names that are equal in one namespace, Ray lets only the first actor be.
        name = f"{attempt.study_id}/{attempt.experiment.label} [{attempt.mark}]"
        group = RankGroup(order, slot, name) if slot.others else None
        pinned = {"label_selector": {"ray.io/node-id": slot.node.id}}
        actor = self._actor_class.options(
            name=name,
            num_gpus=slot.gpus,
            num_cpus=slot.cpus,
            resources={} if slot.quota is None else {slot.quota: slot.quota_share},
            **(pinned if group is None else group.place(0)),
        ).remote(label)
        ranks = () if group is None else tuple(group.ranks)
        stream = actor.run.options(name=f"run {label}").remote(order, ranks)
        lease_s = order.timeouts.lease_s
        self._live[attempt.id] = _Live(attempt.mark, actor, stream, slot, lease_s, group)

    def poll(self, timeout_s: float) -> Sequence[tuple[str, ExecutorEvent]]:
        self._lose_what_waits_for_dead_nodes()
        if self._lost:
            lost, self._lost = self._lost, []
            return lost
        by_stream = {live.stream: attempt_id for attempt_id, live in self._live.items()}
        if not by_stream:
            time.sleep(timeout_s)
            return []
        ready, _ = ray.wait(list(by_stream), timeout=timeout_s, fetch_local=False)
        return [(by_stream[stream], self._next(by_stream[stream])) for stream in ready]

    def stop(self, attempt_id: str, reason: str) -> None:
        if live := self._live.get(attempt_id):
            with suppress(RayError):
                live.actor.stop.remote(reason)

    def kill(self, attempt_id: str) -> None:
        if live := self._live.pop(attempt_id, None):
            self._end(live)
            if not live.holds_slot:
                lost = AttemptLost(FailureKind.ACTOR_LOST, "killed by the driver")
                self._lost.append((attempt_id, lost))

    def publish(self, samples: Iterable[Sample]) -> None:
        self._metrics = self._metrics or RayMetrics()
        self._metrics.publish(samples)

    def close(self) -> None:
        if self._metrics is not None:
            self._metrics.close()
        self._closing.set()
        self._renewing.join()
        for live in self._live.values():
            self._end(live)
        self._live.clear()
        if self._sweeps:
            ray.wait(self._sweeps, num_returns=len(self._sweeps), timeout=_SWEEP_S)
        ray.shutdown()

    def _end(self, live: _Live, *, sweep: bool = True) -> None:
        """Kill the actor, and clear what a killed one may leave on a node that lives."""
        with suppress(RayError):
            ray.kill(live.actor)
        if live.group is not None:
            live.group.end()
        if sweep:
            with suppress(RayError):
                self._sweep_nodes(live)

    def _sweep_nodes(self, live: _Live) -> None:
        alive = {node.id for node in self.nodes()}
        for node in live.slot.nodes:
            if node.id in alive:
                here = {"ray.io/node-id": node.id}
                sweeping = self._sweep.options(num_cpus=0, label_selector=here)
                self._sweeps.append(sweeping.remote(live.mark, _SWEEP_S))

    def _lose_what_waits_for_dead_nodes(self) -> None:
        """Ray would keep a group that names a dead node waiting for ever."""
        waiting = {i: live for i, live in self._live.items() if live.group and not live.has_begun}
        if not waiting:
            return
        alive = {node.id for node in self.nodes()}
        for attempt_id, live in waiting.items():
            gone = [r for r, node in enumerate(live.slot.nodes) if node.id not in alive]
            if gone:
                del self._live[attempt_id]
                self._end(live)
                host = live.slot.nodes[gone[0]].host
                said = f"{host} left the cluster before the attempt began"
                lost = AttemptLost(FailureKind.NODE_LOST, said, gone[0])
                self._lost.append((attempt_id, lost))

    def _renew_leases(self) -> None:
        """In a thread of its own: a driver that waits for its disk is not a dead one."""
        while not self._closing.wait(_RENEWAL_POLL_S):
            now = time.monotonic()
            for live in list(self._live.values()):
                if now - live.renewed_at > live.lease_s * _RENEWAL_SHARE:
                    live.renewed_at = now
                    for actor in live.actors:
                        with suppress(RayError):
                            actor.renew_lease.remote()

    def _next(self, attempt_id: str) -> ExecutorEvent:
        """The event that a ready stream holds; its end and its errors included."""
        live = self._live[attempt_id]
        event = self._read(live)
        live.has_begun = True
        if isinstance(event, AttemptEnded) and event.slot_fault is not None:
            live.holds_slot = True
        elif isinstance(event, AttemptEnded | AttemptLost | SlotCleared):
            del self._live[attempt_id]
            well = isinstance(event, AttemptEnded) and isinstance(event.outcome, Completed | Pruned)
            # A rank that was lost may have left something on a node that lives.
            unsure = live.group is not None and not well
            self._end(live, sweep=unsure or isinstance(event, AttemptLost))
        return event

    def _read(self, live: _Live) -> ExecutorEvent:
        try:
            event: ExecutorEvent = ray.get(next(live.stream))
            return event
        except (StopIteration, RayError) as error:
            if live.holds_slot:
                return SlotCleared()  # its slot ended with it, whatever became of the devices
            if isinstance(error, StopIteration):
                return AttemptLost(FailureKind.INTERNAL_ERROR, "it ended without an outcome")
            if isinstance(error, RayTaskError):
                message = f"{type(error).__name__}: {error}"
                return AttemptLost(FailureKind.INTERNAL_ERROR, message)
            return self._lost_where(live, error)

    def _lost_where(self, live: _Live, error: RayError) -> AttemptLost:
        alive = node_lives(live.slot.node.id)
        kind = FailureKind.ACTOR_LOST if alive else FailureKind.NODE_LOST
        return AttemptLost(kind, told(error))

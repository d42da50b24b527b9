"""Attempts as Ray actors, on a cluster or on a Ray that is started here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from autotuner.execution.base import AttemptLost, Executor, ExecutorEvent, Node, Slot
from autotuner.execution.ray_actor import actor_class
from autotuner.execution.ray_connection import (
    address_of_environment,
    connect,
    own_signal_handlers,
    token_file,
)
from autotuner.node.events import AttemptEnded, AttemptOrder
from autotuner.spec.experiment import FailureKind

__all__ = ["RayExecutor"]

_ACCELERATOR_PREFIX = "accelerator_type:"


@dataclass(slots=True)
class _Live:
    actor: Any
    stream: Any
    node_id: str


class RayExecutor(Executor):
    """One owned, pinned actor per attempt.

    Args:
        address: A cluster's address or ``auto``; None: what RAY_ADDRESS says, as everywhere in
            Ray (a Ray job's says its cluster), else a Ray is started here that ends with us.

    Raises:
        ClusterError: no Ray answers at the address.
    """

    def __init__(self, address: str | None = None) -> None:
        self._live: dict[str, _Live] = {}
        self._lost: list[tuple[str, ExecutorEvent]] = []
        with own_signal_handlers():
            self._context = connect(address or address_of_environment())
        self._actor_class = actor_class()

    @property
    def dashboard(self) -> str | None:
        if not (url := self._context.dashboard_url):
            return None
        # Ray turns token authentication on by itself and keeps the token in this file.
        token = token_file()
        login = f"; log in with the token in {token}" if token.exists() else ""
        return f"http://{url}{login}"

    def nodes(self) -> tuple[Node, ...]:
        return tuple(
            Node(
                id=node["NodeID"],
                host=node["NodeManagerHostname"],
                gpus=int(node["Resources"].get("GPU", 0)),
                cpus=int(node["Resources"].get("CPU", 0)),
                gpu_model=_gpu_model(node["Resources"]),
            )
            for node in _cluster_nodes()
            if node["Alive"]
        )

    def submit(self, order: AttemptOrder, slot: Slot) -> None:
        attempt = order.attempt
        label = f"{attempt.experiment.label} [{attempt.id}]"
        actor = self._actor_class.options(
            name=f"{attempt.study_id}/{label}",
            num_gpus=slot.gpus,
            num_cpus=slot.cpus,
            label_selector={"ray.io/node-id": slot.node.id},
        ).remote(label)
        stream = actor.run.options(name=f"run {label}").remote(order)
        self._live[attempt.id] = _Live(actor, stream, slot.node.id)

    def poll(self, timeout_s: float) -> Sequence[tuple[str, ExecutorEvent]]:
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
            ray.kill(live.actor)
            lost = AttemptLost(FailureKind.ACTOR_LOST, "killed by the driver")
            self._lost.append((attempt_id, lost))

    def close(self) -> None:
        for live in self._live.values():
            with suppress(RayError):
                ray.kill(live.actor)
        self._live.clear()
        ray.shutdown()

    def _next(self, attempt_id: str) -> ExecutorEvent:
        """The event that a ready stream holds; its end and its errors included."""
        live = self._live[attempt_id]
        event: ExecutorEvent
        try:
            event = ray.get(next(live.stream))
        except StopIteration:
            event = AttemptLost(FailureKind.INTERNAL_ERROR, "the actor ended without an outcome")
        except RayTaskError as error:
            event = AttemptLost(FailureKind.INTERNAL_ERROR, f"{type(error).__name__}: {error}")
        except RayError as error:
            event = self._lost_where(live, error)
        if isinstance(event, AttemptEnded | AttemptLost):
            self._live.pop(attempt_id, None)
            ray.kill(live.actor)
        return event

    def _lost_where(self, live: _Live, error: RayError) -> AttemptLost:
        alive = any(node.id == live.node_id for node in self.nodes())
        kind = FailureKind.ACTOR_LOST if alive else FailureKind.NODE_LOST
        return AttemptLost(kind, f"{type(error).__name__}: {str(error).strip()}")


def _cluster_nodes() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return nodes


def _gpu_model(resources: dict[str, float]) -> str | None:
    models = [name for name in resources if name.startswith(_ACCELERATOR_PREFIX)]
    return models[0].removeprefix(_ACCELERATOR_PREFIX) if models else None

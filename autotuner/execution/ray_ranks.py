"""Actors on the further nodes of an attempt whose server spans several, and the group of them all.

The nodes are reserved as a placement group: all of them or none. Actors that are reserved one by
one would hold their GPUs while they wait for the others', and two drivers that each hold what the
other waits for would wait for ever. Each bundle names its node, so that bundle and rank have one
order. The group belongs to the driver: Ray removes it with the driver's job.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, GetTimeoutError, RayError, RayTaskError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from autotuner.engines.base import Rank
from autotuner.execution.base import Node, Slot
from autotuner.execution.ray_lease import DriverLease
from autotuner.execution.ray_logs import session_log_folder
from autotuner.execution.ray_nodes import node_lives, told
from autotuner.node.events import AttemptOrder
from autotuner.node.rank import RankEnded, RankHost, RankReady, RankState
from autotuner.node.spanning import Peer, PeerLostError
from autotuner.spec.experiment import FailureKind

__all__ = ["RankActor", "RankGroup", "own_address", "own_devices", "peers_of"]

_UNAVAILABLE_S = 1.0
"""Between two questions to an actor whose node does not answer."""


def own_devices(order: AttemptOrder) -> list[str]:
    """GPUs of this actor that the attempt uses: of a whole node it may hold more."""
    # Ray hands devices out in any order; sorted, equal sets mean equal topology.
    devices = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
    in_order = sorted(devices, key=lambda device: (len(device), device))
    return in_order[: order.attempt.experiment.footprint.reserved_gpus]


def own_address() -> str:
    """This node, as the cluster's other nodes reach it."""
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return address


class RankActor:
    """Owns the devices of one further node and the rank's process; dies with the driver.

    Three threads: one prepares, starts and finishes, which takes long; one stops; one answers
    at once.
    """

    def __init__(self, label: str, lease_s: float) -> None:
        self._label = label
        self._host: RankHost | None = None
        self._stopping = False
        self._lease = DriverLease(lambda reason: self._stop(hurry=True))
        self._lease.watch(lease_s)

    def __repr__(self) -> str:
        return f"Rank({self._label})"

    def prepare(self, order: AttemptOrder) -> RankReady:
        self._host = RankHost(own_address(), own_devices(order), session_log_folder())
        if self._stopping:
            self._host.stop(hurry=True)
        return self._host.prepare(order)

    def start(self, rank: Rank) -> str | None:
        return self._rank.start(rank)

    def version(self) -> str | None:
        return self._rank.version()

    def finish(self, hurry: bool, completed: bool) -> RankEnded:
        if self._host is None:
            return RankEnded()
        return self._host.finish(hurry=hurry, completed=completed)

    @ray.method(concurrency_group="control")
    def stop(self, hurry: bool) -> None:
        self._stop(hurry=hurry)

    @ray.method(concurrency_group="watch")
    def state(self) -> RankState:
        return self._rank.state()

    @ray.method(concurrency_group="watch")
    def log_tail(self) -> str:
        return self._rank.log_tail()

    @ray.method(concurrency_group="watch")
    def is_free(self) -> bool:
        return self._rank.is_free()

    @ray.method(concurrency_group="watch")
    def renew_lease(self) -> None:
        """The driver lives, and can be heard."""
        self._lease.renew()

    def _stop(self, *, hurry: bool) -> None:
        self._stopping = True
        if self._host is not None:
            self._host.stop(hurry=hurry)

    @property
    def _rank(self) -> RankHost:
        if self._host is None:
            raise RuntimeError("the rank has not been prepared")
        return self._host


class RankGroup:
    """The reservation of an attempt whose slot has several nodes, and its actors but the first.

    Args:
        name: For people, on the dashboard.
    """

    def __init__(self, order: AttemptOrder, slot: Slot, name: str) -> None:
        bundle = {"CPU": float(slot.cpus), "GPU": float(slot.gpus)}
        self._group = placement_group(
            [{what: much for what, much in bundle.items() if much}] * len(slot.nodes),
            strategy="STRICT_SPREAD",
            name=name,
            bundle_label_selector=[{"ray.io/node-id": node.id} for node in slot.nodes],
        )
        remote: Any = ray.remote
        group = {"control": 1, "watch": 1}
        actor_class = remote(max_restarts=0, max_task_retries=0, concurrency_groups=group)(
            RankActor
        )
        self.ranks: list[tuple[Node, Any]] = []
        """Each further node and its actor."""
        for number, node in enumerate(slot.others, start=1):
            label = f"{name} rank {number}"
            options = {"name": label, "num_cpus": slot.cpus, "num_gpus": slot.gpus}
            actor = actor_class.options(**options, **self.place(number))
            self.ranks.append((node, actor.remote(label, order.timeouts.lease_s)))

    def place(self, rank: int) -> dict[str, Any]:
        """Options that put an actor on the node of this rank."""
        strategy = PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=rank)
        return {"scheduling_strategy": strategy}

    def end(self) -> None:
        """Kill the actors and give the reservation back, whatever has become of either."""
        for _, actor in self.ranks:
            with suppress(RayError):
                ray.kill(actor)
        # Of a driver that could not say so, Ray removes it with the job.
        with suppress(RayError):
            remove_placement_group(self._group)


def peers_of(ranks: Sequence[tuple[Node, Any]]) -> tuple[Peer, ...]:
    """The ranks as rank 0 reaches them: each its node and its actor."""
    return tuple(RayPeer(node, actor) for node, actor in ranks)


class RayPeer(Peer):
    """A `RankActor` as rank 0 reaches it."""

    def __init__(self, node: Node, actor: Any) -> None:
        self.host = node.host
        self._node_id = node.id
        self._actor = actor

    def prepare(self, order: AttemptOrder, *, timeout_s: float) -> RankReady:
        ready: RankReady = self._answer(self._actor.prepare.remote(order), timeout_s)
        return ready

    def start(self, rank: Rank, *, timeout_s: float) -> str | None:
        problem: str | None = self._answer(self._actor.start.remote(rank), timeout_s)
        return problem

    def version(self, *, timeout_s: float) -> str | None:
        version: str | None = self._answer(self._actor.version.remote(), timeout_s)
        return version

    def state(self, *, timeout_s: float) -> RankState:
        state: RankState = self._answer(self._actor.state.remote(), timeout_s)
        return state

    def log_tail(self, *, timeout_s: float) -> str:
        return str(self._answer(self._actor.log_tail.remote(), timeout_s))

    def stop(self, *, hurry: bool, timeout_s: float) -> None:
        self._answer(self._actor.stop.remote(hurry), timeout_s)

    def finish(self, *, hurry: bool, completed: bool, timeout_s: float) -> RankEnded:
        ended: RankEnded = self._answer(self._actor.finish.remote(hurry, completed), timeout_s)
        return ended

    def is_free(self, *, timeout_s: float) -> bool:
        return bool(self._answer(self._actor.is_free.remote(), timeout_s))

    def silent(self) -> PeerLostError:
        return self._lost("it cannot be reached")

    def _answer(self, answer: Any, timeout_s: float) -> Any:
        try:
            return ray.get(answer, timeout=timeout_s)
        except GetTimeoutError:
            raise
        except ActorUnavailableError as error:  # a broken connection may be made again
            time.sleep(_UNAVAILABLE_S)
            raise TimeoutError(str(error)) from error
        except RayTaskError as error:
            last = str(error).strip().splitlines()[-1]
            raise PeerLostError(FailureKind.INTERNAL_ERROR, last) from error
        except RayError as error:
            raise self._lost(told(error)) from error

    def _lost(self, message: str) -> PeerLostError:
        alive = node_lives(self._node_id)
        kind = FailureKind.ACTOR_LOST if alive else FailureKind.NODE_LOST
        return PeerLostError(kind, message)

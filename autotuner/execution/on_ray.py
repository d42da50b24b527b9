"""Attempts as Ray actors, on a cluster or on a Ray that is started here."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from autotuner.errors import ClusterError
from autotuner.execution.base import AttemptLost, Executor, ExecutorEvent, Node, Slot
from autotuner.execution.ray_actor import actor_class
from autotuner.node.events import AttemptEnded, AttemptOrder
from autotuner.spec.experiment import FailureKind

__all__ = ["RayExecutor"]

_ACCELERATOR_PREFIX = "accelerator_type:"
_CONNECT_S = 10.0


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
        with _own_signal_handlers():
            self._context = _connect(address or _address_of_environment())
        self._actor_class = actor_class()

    @property
    def dashboard(self) -> str | None:
        if not (url := self._context.dashboard_url):
            return None
        # Ray turns token authentication on by itself and keeps the token in this file.
        token = _token_file()
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


def _address_of_environment() -> str | None:
    address = os.environ.get("RAY_ADDRESS", "")
    # An http address is the Jobs API's, set for `ray job submit`: nothing to join.
    return None if not address or address.startswith("http") else address


def _connect(address: str | None) -> Any:
    package = str(Path(__file__).parents[1])
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "warning"}
    if address is None:
        # Ray gives its workers nice 15, which servers and load generators would inherit.
        os.environ.setdefault("RAY_worker_niceness", "0")
        # Ray reports usage to its makers unless told not to; this Ray nobody was asked about.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options |= {"address": "local", "include_dashboard": True}
    else:
        _check_address(address)
        _send_token_where_there_is_one()
        # Nodes run the driver's own version of us, whether or not they have one installed.
        options |= {"address": address, "runtime_env": {"py_modules": [package]}}
    # It warns of a token that `dashboard` explains.
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
    try:
        return ray.init(**options)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise ClusterError(_no_ray(address, error)) from error


def _check_address(address: str) -> None:
    """Refuse at once what `ray.init` would try for minutes."""
    if address.startswith("ray://"):
        raise ClusterError(
            f"{address} is an address of the Ray Client, which Ray no longer supports: run "
            "autotuner on a node of the cluster with --address auto, or send it there with "
            "`ray job submit`"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(_no_ray(address, error)) from error


def _no_ray(address: str | None, error: Exception) -> str:
    where = f"at {address!r}" if address else "on this machine"
    return (
        f"no Ray {where}: {error}. Start one with `ray start --head`, or leave --address out "
        "to have one started here. A cluster with token authentication needs its token in "
        f"{_token_file()}, and RAY_AUTH_MODE=token"
    )


def _token_file() -> Path:
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token")).expanduser()


def _send_token_where_there_is_one() -> None:
    """Make `ray.init` authenticate as `ray start` does.

    From 2.60 on, `ray start` asks for a token as soon as a token file exists, but `ray.init`
    with an address sends it only when told to, and otherwise fails after 20 s of retries. A
    cluster without authentication ignores the token. Ray reads the variable when it is
    imported, so it must be made to read it again.
    """
    if "RAY_AUTH_MODE" in os.environ:
        return
    if "RAY_AUTH_TOKEN" in os.environ or _token_file().exists():
        os.environ["RAY_AUTH_MODE"] = "token"
        raylet: Any = ray._raylet
        raylet.Config.initialize("")


def _cluster_nodes() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return nodes


def _gpu_model(resources: dict[str, float]) -> str | None:
    models = [name for name in resources if name.startswith(_ACCELERATOR_PREFIX)]
    return models[0].removeprefix(_ACCELERATOR_PREFIX) if models else None


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Keep the caller's handlers: `ray.init` puts its own in place of SIGTERM's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # not set from Python, so that Python cannot set it again
                signal.signal(number, handler)

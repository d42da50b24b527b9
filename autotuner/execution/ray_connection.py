"""Joining a Ray cluster, or starting a Ray here: addresses, tokens, signal handlers."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from autotuner.errors import ClusterError
from autotuner.execution.authentication import mode_for, token_file

__all__ = ["address_of_environment", "connect", "own_signal_handlers"]

_CONNECT_S = 10.0


def address_of_environment() -> str | None:
    address = os.environ.get("RAY_ADDRESS", "")
    # An http address is the Jobs API's, set for `ray job submit`: nothing to join.
    return None if not address or address.startswith("http") else address


def connect(address: str | None, quotas: Mapping[str, int] | None = None) -> Any:
    """Join the Ray at the address, or start one here that has the custom resources ``quotas``.

    Raises:
        ClusterError: no Ray answers.
    """
    package = str(Path(__file__).parents[1])
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "warning"}
    if address is None:
        # Ray gives its workers nice 15, and has the kernel end them first where memory is short;
        # servers and load generators would inherit both.
        os.environ.setdefault("RAY_worker_niceness", "0")
        os.environ.setdefault("RAY_worker_oom_score_adjustment", "0")
        # Ray reports usage to its makers unless told not to; this Ray nobody was asked about.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options |= {"address": "local", "include_dashboard": True, "resources": dict(quotas or {})}
    else:
        _check_address(address)
        _authenticate_as(_mode(address))
        # Nodes run the driver's own version of us, whether or not they have one installed.
        modules = [*_modules_of_the_job(), package]
        options |= {"address": address, "runtime_env": {"py_modules": modules}}
    # It warns of a token that `dashboard` explains.
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
    try:
        return ray.init(**options)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise ClusterError(_no_ray(address, error)) from error


def _modules_of_the_job() -> list[str]:
    """What the Ray job that we run in was submitted with, as ``py_modules``.

    Ray would rather fail than choose between these and ours: with its variable, it takes ours.
    """
    config = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR") or "{}")
    modules: list[str] = (config.get("runtime_env") or {}).get("py_modules") or []
    if modules:
        os.environ["RAY_OVERRIDE_JOB_RUNTIME_ENV"] = "1"
    return modules


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
        "to have one started here"
    )


def _mode(address: str) -> str | None:
    """The value of RAY_AUTH_MODE with which to join.

    Raises:
        ClusterError: the cluster would not have us with what we have.
    """
    if (head := _head_at(address)) and (mode := mode_for(head)):
        return mode
    # From 2.60 on, `ray start` asks for a token as soon as a token file exists, but `ray.init`
    # with an address sends it only when told to.
    has_token = "RAY_AUTH_TOKEN" in os.environ or token_file().exists()
    return "token" if has_token and "RAY_AUTH_MODE" not in os.environ else None


def _head_at(address: str) -> str | None:
    """``host:port`` of what ``auto`` means here; None where only `ray.init` can tell."""
    if address != "auto":
        return address
    try:
        from ray._private.services import canonicalize_bootstrap_address

        return canonicalize_bootstrap_address(address)
    except (ImportError, OSError, ValueError, RuntimeError):
        return None


def _authenticate_as(mode: str | None) -> None:
    """Ray reads the variable when it is imported, so it must be made to read it again."""
    if mode is not None and os.environ.get("RAY_AUTH_MODE") != mode:
        os.environ["RAY_AUTH_MODE"] = mode
        raylet: Any = ray._raylet
        raylet.Config.initialize("")


@contextmanager
def own_signal_handlers() -> Iterator[None]:
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

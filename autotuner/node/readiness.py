"""Waiting until the server is ready, and certain that it is ours."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import psutil

from autotuner.bench.base import Target
from autotuner.bench.chat_client import served_models
from autotuner.engines.base import Engine
from autotuner.launchers.base import Server
from autotuner.node.failures import (
    AttemptFailedError,
    failed_by_fault,
    log_end,
    server_ended,
)
from autotuner.spec.experiment import Failed, FailureKind, Phase

__all__ = ["wait_until_ready"]

_POLL_S = 0.2
_ANSWER_S = 5.0
_STRANGER_S = 3.0
"""How long a foreign name may be served before it counts; servers register names late."""


def wait_until_ready(
    server: Server,
    target_at: Callable[[str], Target],
    engine: Engine,
    *,
    timeout_s: float,
    check_cancelled: Callable[[], None],
) -> Target:
    """Return how to address the server, once it lives and lists our served name.

    Args:
        target_at: The server as clients address it, at the URL that it answers on.

    Raises:
        AttemptFailedError: it ended or cannot start, another server answers, or the time is up.
    """
    deadline = time.monotonic() + timeout_s
    stranger_since: float | None = None
    while True:
        check_cancelled()
        if server.exit is not None:
            raise AttemptFailedError(server_ended(server, engine, Phase.SERVER_START, ready=False))
        if (fault := server.fault) is not None:
            failed = failed_by_fault(fault, server, engine, Phase.SERVER_START, ready=False)
            raise AttemptFailedError(failed)
        target = None if (url := server.url) is None else target_at(url)
        names = () if target is None else _names(target)
        if target is not None and target.served_name in names:
            return target
        now = time.monotonic()
        stranger_since = (stranger_since or now) if names else None
        if stranger_since is not None and now - stranger_since > _STRANGER_S:
            raise AttemptFailedError(_stranger(server, names))
        if now > deadline:
            raise AttemptFailedError(_too_late(server, engine, timeout_s))
        time.sleep(_POLL_S)


def _names(target: Target) -> tuple[str, ...]:
    try:
        return served_models(target.url, timeout_s=_ANSWER_S, api_key=target.api_key)
    except OSError:
        return ()


def _too_late(server: Server, engine: Engine, timeout_s: float) -> Failed:
    log = server.log_tail()
    found = engine.diagnose(log, ready=False)
    if found is not None:
        return Failed(found.kind, Phase.SERVER_START, found.message, found.evidence)
    return Failed(
        FailureKind.LAUNCH_TIMEOUT,
        Phase.SERVER_START,
        f"not ready after {timeout_s:g} s (timeouts.start_s); the server still runs",
        log_end(log),
    )


def _stranger(server: Server, names: tuple[str, ...]) -> Failed:
    listed = ", ".join(names)
    if _listener_is_ours(server):
        return Failed(
            FailureKind.CONFIG_REJECTED,
            Phase.SERVER_START,
            f"the server does not serve the name it was given, but: {listed}",
            log_end(server.log_tail()),
        )
    return Failed(
        FailureKind.PORT_TAKEN,
        Phase.SERVER_START,
        f"another server answers on {server.url}, which serves: {listed}",
        log_end(server.log_tail()),
    )


def _listener_is_ours(server: Server) -> bool:
    """Whether the process that listens on the port is in the server's session."""
    port = urlsplit(server.url or "").port
    try:
        for connection in psutil.net_connections("tcp"):
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address and address.port == port:
                return connection.pid is not None and os.getsid(connection.pid) == server.pid
    except (psutil.Error, OSError):
        return False
    return False

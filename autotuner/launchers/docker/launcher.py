"""Servers as containers of the node's Docker daemon."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from docker.errors import APIError, NotFound

from autotuner.launchers.base import Launcher, LaunchRequest, Readiness, Server
from autotuner.launchers.docker.container import container_order
from autotuner.launchers.docker.daemon import (
    DAEMON_VARIABLES,
    LOST,
    DockerFaultError,
    connected,
)
from autotuner.launchers.docker.readiness import look
from autotuner.launchers.kept import KeptServer, keeper_environment
from autotuner.spec.server import Footprint, ServerConfig
from autotuner.supervision.environment import LEASE_VARIABLE
from autotuner.supervision.wills import Will

__all__ = ["DockerLauncher"]

_KEEPER = "autotuner.launchers.docker.keeper"
_REMOVAL = "autotuner.launchers.docker.removal"
_ANSWER_S = 60.0
_POLL_S = 0.2
_PASSED_ON = (*DAEMON_VARIABLES, "PATH", "HOME", "TMPDIR", "PYTHONPATH", "XDG_RUNTIME_DIR")


class DockerServer(KeptServer):
    """A container behind its keeper."""

    def __init__(self, order: Mapping[str, Any], folder: Path, will: Will, stop_s: float) -> None:
        super().__init__(_KEEPER, order, folder, will, stop_s=stop_s)
        self._daemon: str | None = order["daemon"]
        self._name: str = order["name"]

    def ask(self, command: Sequence[str]) -> str | None:
        try:
            with connected(self._daemon, timeout_s=_ANSWER_S) as client:
                container = self._running(client)
                return None if container is None else _answer(client, container, command)
        except (DockerFaultError, APIError, *LOST):
            return None

    def _running(self, client: Any) -> str | None:
        """The container once it runs, which may be after a pull; None where it never will."""
        while self.exit is None and self.fault is None:
            try:
                found = client.api.inspect_container(self._name)
                if found["State"]["Running"]:
                    return str(found["Id"])
            except NotFound:
                pass
            time.sleep(_POLL_S)
        return None


class DockerLauncher(Launcher):
    """Starts the engine's command in a container."""

    name = "docker"

    def start(self, request: LaunchRequest) -> Server:
        order = container_order(request)
        will = removal_will(request.lease.token, order["daemon"])
        return DockerServer(order, request.folder, will, request.stop_s)

    def check(
        self, server: ServerConfig, footprint: Footprint, *, fetch: bool = False
    ) -> Sequence[Readiness]:
        return look(server, footprint, os.environ, fetch=fetch)


def removal_will(token: str, daemon: str | None) -> Will:
    """What removes the container of an attempt, whoever carries it out."""
    chosen = ("--daemon", daemon) if daemon is not None else ()
    environment = {n: v for n, v in keeper_environment(token).items() if n in _PASSED_ON}
    # It takes down what bears the mark, and must not bear it.
    environment.pop(LEASE_VARIABLE, None)
    return Will((sys.executable, "-m", _REMOVAL, token, *chosen), token, environment)


def _answer(client: Any, container: str, command: Sequence[str]) -> str | None:
    """As `_first_line`, but for no longer than a minute: the client waits for a stream for ever."""
    answers: list[str | None] = []

    def run() -> None:
        with contextlib.suppress(APIError, *LOST):
            answers.append(_first_line(client, container, command))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_ANSWER_S)
    return answers[0] if answers else None


def _first_line(client: Any, container: str, command: Sequence[str]) -> str | None:
    made = client.api.exec_create(container, list(command), stdout=True, stderr=False)
    output = bytes(client.api.exec_start(made["Id"]))
    if client.api.exec_inspect(made["Id"])["ExitCode"] != 0:
        return None
    return output.decode(errors="replace").split("\n")[0].strip() or None

"""Servers as containers of the node's Docker daemon."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autotuner.launchers.base import Launcher, LaunchRequest, Readiness, Server
from autotuner.launchers.docker.container import container_order
from autotuner.launchers.docker.daemon import DAEMON_VARIABLES
from autotuner.launchers.docker.printed import image_program, printed_in_container
from autotuner.launchers.docker.readiness import look
from autotuner.launchers.kept import KeptServer, keeper_environment
from autotuner.launchers.process import first_line
from autotuner.spec.server import Footprint, ServerConfig
from autotuner.supervision.wills import Will

__all__ = ["DockerLauncher"]

_KEEPER = "autotuner.launchers.docker.keeper"
_REMOVAL = "autotuner.launchers.docker.removal"
_QUESTION = "autotuner.launchers.docker.question"
_POLL_S = 0.2
_PASSED_ON = (*DAEMON_VARIABLES, "PATH", "HOME", "TMPDIR", "PYTHONPATH", "XDG_RUNTIME_DIR")


class DockerServer(KeptServer):
    """A container behind its keeper."""

    def __init__(self, order: Mapping[str, Any], folder: Path, will: Will, stop_s: float) -> None:
        super().__init__(_KEEPER, order, folder, will, stop_s=stop_s)
        chosen = () if order["daemon"] is None else ("--daemon", order["daemon"])
        self._question = (sys.executable, "-m", _QUESTION, order["name"], *chosen, "--")
        self._environment = keeper_environment(will.token)

    def ask(self, command: Sequence[str]) -> str | None:
        # The container may have to wait for its image; its URL is known once it runs.
        while self.url is None:
            if self.exit is not None or self.fault is not None:
                return None
            time.sleep(_POLL_S)
        return first_line([*self._question, *command], self._environment)


class DockerLauncher(Launcher):
    """Starts the engine's command in a container."""

    name = "docker"
    runs_programs = True

    def start(self, request: LaunchRequest) -> Server:
        order = container_order(request)
        will = removal_will(request.lease.token, order["daemon"])
        return DockerServer(order, request.folder, will, request.stop_s)

    def check(
        self, server: ServerConfig, footprint: Footprint, *, fetch: bool = False
    ) -> Sequence[Readiness]:
        return look(server, footprint, os.environ, fetch=fetch)

    def identity(
        self, server: ServerConfig, program: str, environment: Mapping[str, str]
    ) -> str | None:
        return image_program(server, program)

    def printed_by(
        self,
        server: ServerConfig,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        timeout_s: float,
    ) -> str | None:
        return printed_in_container(server, command, environment, timeout_s=timeout_s)


def removal_will(token: str, daemon: str | None) -> Will:
    """What removes the container of an attempt, whoever carries it out."""
    chosen = ("--daemon", daemon) if daemon is not None else ()
    # Without the mark of the attempt: it takes down what bears it.
    environment = {n: v for n, v in keeper_environment(token).items() if n in _PASSED_ON}
    return Will((sys.executable, "-m", _REMOVAL, token, *chosen), token, environment)

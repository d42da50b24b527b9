"""Servers as plain processes under the supervisor, bound to loopback."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping, Sequence

from autotuner.launchers.base import Launcher, LaunchRequest, Server
from autotuner.supervision.process import ProcessExit, SupervisedProcess

__all__ = ["ProcessLauncher", "first_line", "free_port"]

_HOST = "127.0.0.1"
_ANSWER_S = 60.0


class ProcessServer(Server):
    """A server process and its tree."""

    def __init__(
        self, process: SupervisedProcess, url: str, environment: Mapping[str, str]
    ) -> None:
        self._process = process
        self._url = url
        self._environment = environment

    @property
    def url(self) -> str:
        return self._url

    @property
    def exit(self) -> ProcessExit | None:
        return self._process.exit

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def ask(self, command: Sequence[str]) -> str | None:
        return first_line(command, self._environment)

    def log_tail(self, max_bytes: int = 64_000) -> str:
        return self._process.log_tail(max_bytes)

    def stop(self, *, hurry: bool = False) -> ProcessExit:
        return self._process.stop(hurry=hurry)


class ProcessLauncher(Launcher):
    """Starts the engine's command as it stands."""

    name = "process"

    def start(self, request: LaunchRequest) -> Server:
        port = free_port()
        process = SupervisedProcess(
            request.command(request.server, _HOST, port),
            environment=request.environment,
            log_path=request.folder / "server.log",
            cpus=request.cpus,
            grace_s=request.stop_s,
            cwd=request.folder,
        )
        return ProcessServer(process, f"http://{_HOST}:{port}", request.environment)


def free_port(host: str = _HOST) -> int:
    """A port of the address that was free a moment ago.

    Nothing can hold it across exec, so another process may still take it: then the server
    fails to bind, or a stranger answers on it, and readiness finds out by the served name.
    """
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def first_line(command: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """The first line that a command prints; None where it fails, or takes longer than a minute."""
    try:
        answer = subprocess.run(
            command,
            env=dict(environment),
            cwd=os.sep,
            capture_output=True,
            text=True,
            timeout=_ANSWER_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = answer.stdout.split("\n")
    return lines[0].strip() or None

"""Servers as plain processes under the supervisor, bound to loopback."""

from __future__ import annotations

import socket

from autotuner.launchers.base import Launcher, LaunchRequest, Server
from autotuner.supervision.process import ProcessExit, SupervisedProcess

__all__ = ["ProcessLauncher"]

_HOST = "127.0.0.1"


class ProcessServer(Server):
    """A server process and its tree."""

    def __init__(self, process: SupervisedProcess, url: str) -> None:
        self._process = process
        self.url = url

    @property
    def exit(self) -> ProcessExit | None:
        return self._process.exit

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def log_tail(self, max_bytes: int = 64_000) -> str:
        return self._process.log_tail(max_bytes)

    def stop(self, *, hurry: bool = False) -> ProcessExit:
        return self._process.stop(hurry=hurry)


class ProcessLauncher(Launcher):
    """Starts the engine's command as it stands."""

    name = "process"

    def start(self, request: LaunchRequest) -> Server:
        port = _free_port()
        process = SupervisedProcess(
            request.command(_HOST, port),
            environment=request.environment,
            log_path=request.folder / "server.log",
            cpus=request.cpus,
            grace_s=request.stop_s,
            cwd=request.folder,
        )
        return ProcessServer(process, f"http://{_HOST}:{port}")


def _free_port() -> int:
    """A port that was free a moment ago.

    Nothing can hold it across exec, so another process may still take it: then the server
    fails to bind, or a stranger answers on it, and readiness finds out by the served name.
    """
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port

"""Servers as plain processes under the supervisor, bound to loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from autotuner.launchers.base import Launcher, LaunchRequest, Server
from autotuner.spec.server import ServerConfig
from autotuner.supervision.environment import clean_environment
from autotuner.supervision.process import ProcessExit, SupervisedProcess

__all__ = ["ProcessLauncher", "first_line", "free_port", "printed"]

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
    runs_programs = True

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

    def identity(
        self, server: ServerConfig, program: str, environment: Mapping[str, str]
    ) -> str | None:
        found = shutil.which(program, path=_as_server(environment).get("PATH", os.defpath))
        if found is None:
            return None
        # Not resolved: an environment's interpreter is a link to one that others have, too.
        changed_ns = Path(found).stat().st_mtime_ns
        return f"{Path(found).absolute()} {changed_ns}"

    def printed_by(
        self,
        server: ServerConfig,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        timeout_s: float,
    ) -> str | None:
        return printed(command, _as_server(environment), timeout_s=timeout_s)


def _as_server(environment: Mapping[str, str]) -> dict[str, str]:
    # Whoever only prints something gets no device.
    return clean_environment(add={**environment, "CUDA_VISIBLE_DEVICES": ""})


def printed(
    command: Sequence[str], environment: Mapping[str, str], *, timeout_s: float
) -> str | None:
    """The standard output of a command; None where it cannot be run or is not done in time."""
    try:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=os.sep,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None
    with process:
        try:
            said = process.communicate(timeout=timeout_s)[0]
            # What a signal ended may have had more to say.
            return said.decode(errors="replace") if process.returncode >= 0 else None
        except subprocess.TimeoutExpired:
            return None
        finally:
            # While nobody has asked for its exit status, its number is nobody else's.
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)


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

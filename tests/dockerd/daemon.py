"""A Docker daemon for tests: the one of DOCKER_HOST, or a real one of our own.

Ours keeps everything in one folder, makes no bridge and touches no firewall. It finds a stand-in
for NVIDIA's hook on its PATH, which does nothing: what Docker itself does with the ids of GPUs then
shows in the container's variables, on machines without any.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

__all__ = ["Daemon", "PrivateDaemon", "client_of", "private_daemon", "why_no_private_daemon"]

HOOK = "nvidia-container-runtime-hook"
_APART = ("--iptables=false", "--ip6tables=false", "--ip-masq=false", "--ip-forward=false")
_PATIENCE_S = 60.0


@dataclass
class Daemon:
    """A daemon that answers."""

    address: str
    gpu_hook: bool = False
    """Whether it takes requests for GPUs that are not there."""


@dataclass
class PrivateDaemon(Daemon):
    """A daemon of our own, which can be ended and started again."""

    folder: Path = Path()
    arguments: Sequence[str] = ()
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        (self.folder / "docker.pid").unlink(missing_ok=True)
        programs = self.folder / "bin"
        path = f"{programs}:/usr/local/sbin:/usr/sbin:/sbin:{os.environ['PATH']}"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("dockerd", "--host", self.address, "--storage-driver=overlay2"),
                    *("--data-root", f"{self.folder}/data", "--exec-root", f"{self.folder}/exec"),
                    *("--pidfile", f"{self.folder}/docker.pid", "--bridge=none"),
                    *(*_APART, *self.arguments),
                ],
                env={**os.environ, "PATH": path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._await()

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the daemon itself, by its own process id."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(_PATIENCE_S)

    def _await(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._listens():
                with client_of(self.address) as client:
                    client.ping()
                return
            time.sleep(0.05)
        end = (self.folder / "log").read_text()[-2000:]
        raise RuntimeError(f"dockerd does not answer: {end}")

    def _listens(self) -> bool:
        """Asked without a client, which would leave its socket open."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(self.address.removeprefix("unix://"))
            except OSError:
                return False
        return True


@contextlib.contextmanager
def client_of(address: str) -> Iterator[Any]:
    client = docker.DockerClient(base_url=address, version="auto")
    try:
        yield client
    finally:
        client.close()


def why_no_private_daemon() -> str | None:
    """Why no daemon can be started here; None where one can."""
    if os.getuid() != 0:
        return "only root may start a dockerd"
    if shutil.which("dockerd", path=f"/usr/sbin:/usr/local/sbin:{os.environ['PATH']}") is None:
        return "no dockerd on the PATH (Debian: docker.io)"
    return None


@contextlib.contextmanager
def private_daemon(*arguments: str, gpu_hook: bool) -> Iterator[PrivateDaemon]:
    """A daemon of our own, and nothing left of it."""
    folder = Path(tempfile.mkdtemp(prefix="dockerd-", dir="/tmp"))  # a socket's path is short
    programs = folder / "bin"
    programs.mkdir()
    if gpu_hook:
        (programs / HOOK).write_text("#!/bin/sh\ncat >/dev/null\n")
        (programs / HOOK).chmod(0o755)
    daemon = PrivateDaemon(f"unix://{folder}/docker.sock", gpu_hook, folder, arguments)
    try:
        daemon.start()
        yield daemon
    finally:
        _clear(daemon)
        shutil.rmtree(folder, ignore_errors=True)


def _clear(daemon: PrivateDaemon) -> None:
    with contextlib.suppress(Exception), client_of(daemon.address) as client:
        for container in client.containers.list(all=True):
            container.remove(force=True)
    daemon.end()
    for mount in Path("/proc/self/mounts").read_text().splitlines():
        if (place := mount.split()[1]).startswith(f"{daemon.folder}/"):
            subprocess.run(["/bin/umount", "--lazy", place], check=False)

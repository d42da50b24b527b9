"""A Ray of one node, started by command as on a cluster, with a token and a dashboard."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from faults.processes import eventually

__all__ = ["Head", "ray_head"]

START_S = 120.0


@dataclass(frozen=True)
class Head:
    port: int
    dashboard_port: int
    environment: dict[str, str]
    folder: Path
    """Ray's temporary folder."""

    @property
    def session(self) -> Path:
        return self.folder / "session_latest"

    def job(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        """`ray job VERB`, as a user types it."""
        address = ["--address", f"http://127.0.0.1:{self.dashboard_port}"]
        return subprocess.run(
            [str(Path(sys.executable).with_name("ray")), "job", verb, *address, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@contextmanager
def ray_head(
    mode: str = "token",
    words: Sequence[str] = (),
    more: Mapping[str, str] | None = None,
    python: Path = Path(sys.executable),
) -> Iterator[Head]:
    """`mode`: its RAY_AUTH_MODE, and that of `Head.environment`.

    `words` are of `ray start`, and `more` is of its environment; `python` is that of the node.
    """
    # Short: the path of a Unix socket has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    (folder / "token").write_text(uuid.uuid4().hex)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    environment |= {"RAY_AUTH_MODE": mode, "RAY_AUTH_TOKEN_PATH": str(folder / "token")}
    environment |= more or {}
    port, dashboard_port, agent_port = _free_ports(3)
    start = ["start", "--head", "--block", "--port", str(port), "--num-cpus", "2", *words]
    start += ["--dashboard-port", str(dashboard_port), "--temp-dir", str(folder)]
    # Jobs are started by the agent, and only by one that has its port for itself.
    start += ["--dashboard-agent-listen-port", str(agent_port)]
    log = folder / "start.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(python), "-m", "ray.scripts.scripts", *start, "--disable-usage-stats"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        started = eventually(lambda: "Ray runtime started" in log.read_text(), START_S)
        assert started, log.read_text()
        yield Head(port, dashboard_port, environment, folder)
    finally:
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    for rest in psutil.wait_procs([psutil.Process(process.pid), *below], timeout=20)[1]:
        rest.kill()
    process.wait()


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; Ray's own workers take those from 10002 to 19999."""
    free = []
    for port in range(20_200, 20_400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                free.append(port)
        if len(free) == count:
            return free
    raise AssertionError("no free port")

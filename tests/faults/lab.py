"""A cluster of several hosts on this machine: each node has namespaces and a network of its own.

A node has its own net, mount, pid, uts and ipc namespaces, temporary folder and /dev/shm, and a
process 1 that collects orphans, as an init does. The bridge lives in a namespace too, so that
nothing of the machine's own network is touched, and equal addresses of two labs do not meet.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil
from faults.processes import eventually

__all__ = ["Lab", "why_no_lab"]

NETWORK = "10.77.0."
PORT = 6379
START_S = 120.0
RECONNECT_S = 15
"""How long Ray's processes look for a GCS that is gone, instead of a minute."""
HEALTH_CHECKS = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": str(RECONNECT_S),
}
ISOLATED = ("unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--mount-proc")
ENTERED = ("--mount", "--pid", "--net", "--uts", "--ipc")
NODE = """
mkdir -p "$TMPDIR" && mount -t tmpfs -o size=1g tmpfs "$TMPDIR"
mount -t tmpfs -o size=512m tmpfs /dev/shm
hostname "$1"; shift
"$@"
while true; do sleep 1; done
"""


def why_no_lab() -> str | None:
    """Why this machine cannot hold a lab; None where it can."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    if missing := [
        tool for tool in ("ip", "unshare", "nsenter", "setpriv") if not shutil.which(tool)
    ]:
        return f"{' and '.join(missing)} missing (Debian: iproute2, util-linux)"
    name = f"at{uuid.uuid4().hex[:6]}"
    try:
        _ip("netns", "add", name)
        _ip("netns", "exec", name, *ISOLATED, "mount", "-t", "tmpfs", "tmpfs", "/dev/shm")
    except (OSError, subprocess.SubprocessError) as error:
        return f"namespaces are not permitted here: {error}"
    finally:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            _ip("netns", "delete", name)
    return None


@dataclass
class _Node:
    number: int
    namespace: str
    holder: subprocess.Popen[bytes] | None = None
    """Its death ends every process of the node."""

    @property
    def host(self) -> str:
        return f"node{self.number}"

    @property
    def address(self) -> str:
        return f"{NETWORK}{10 + self.number}"

    @property
    def init(self) -> psutil.Process:
        assert self.holder is not None
        return psutil.Process(self.holder.pid).children()[0]


class Lab:
    """Node 0 is the head and runs no attempts; nodes 1 and up have CPUs and pretended GPUs.

    A context manager.

    Args:
        spare: So many of the workers, the last ones, are not started with the rest.
    """

    def __init__(self, workers: int = 2, *, gpus: int = 1, spare: int = 0) -> None:
        self._gpus = gpus
        self._spare = set(range(workers + 1 - spare, workers + 1))
        self._tag = f"at{uuid.uuid4().hex[:6]}"
        # Short: the path of a Unix socket has at most 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix=self._tag, dir="/tmp"))
        (self.folder / "token").write_text(uuid.uuid4().hex)
        self._nodes = [_Node(i, f"{self._tag}n{i}") for i in range(workers + 1)]
        self.address = f"{self._nodes[0].address}:{PORT}"

    def __enter__(self) -> Lab:
        try:
            self._wire()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def workers(self) -> range:
        return range(1, len(self._nodes))

    def start(self) -> None:
        """Bring up every node that does not run; returns when all are in the cluster."""
        wanted = [node for node in self._nodes if node.number not in self._spare]
        for node in wanted:
            if node.holder is None:
                self._boot(node)
        assert eventually(lambda: all(map(self._started, wanted)), START_S), self._logs()

    def join(self, number: int) -> None:
        """Bring up a spare worker; does not wait until it is in the cluster."""
        self._spare.discard(number)
        self._boot(self._nodes[number])

    def close(self) -> None:
        for node in self._nodes:
            self.power_off(node.number)
            _ip("netns", "delete", node.namespace, check=False)
        _ip("netns", "delete", f"{self._tag}s", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def power_off(self, number: int) -> None:
        """End every process of the node at once."""
        node = self._nodes[number]
        if node.holder is not None:
            node.holder.kill()
            node.holder.wait()
            node.holder = None
            (self.folder / f"{node.host}.log").unlink()

    def cut(self, number: int) -> None:
        """Take the node off the network; its processes go on."""
        _ip("-n", f"{self._tag}s", "link", "set", f"{self._tag}v{number}", "down")

    def restore(self, number: int) -> None:
        _ip("-n", f"{self._tag}s", "link", "set", f"{self._tag}v{number}", "up")

    def kill_raylet(self, number: int) -> None:
        self._kill(number, "raylet")

    def kill_gcs(self) -> None:
        self._kill(0, "gcs_server")

    def processes(self, number: int) -> list[psutil.Process]:
        """All processes of the node, as seen from outside."""
        return [p for p in self._nodes[number].init.children(recursive=True) if p.is_running()]

    def node_of(self, pid: int) -> int:
        """The node that a process seen from outside runs on."""
        network = Path(f"/proc/{pid}/ns/net").readlink()
        for node in self._nodes:
            if node.holder and Path(f"/proc/{node.init.pid}/ns/net").readlink() == network:
                return node.number
        raise LookupError(f"process {pid} is on no node")

    def run(self, number: int, words: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Start a program on the node, its output appended to a file below `folder`."""
        node = self._nodes[number]
        enter = ["nsenter", "--target", str(node.init.pid), *ENTERED]
        return self._popen([*enter, *words], log)

    def _wire(self) -> None:
        switch = f"{self._tag}s"
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", switch, "link", "set", "br0", "up")
        for node in self._nodes:
            port = f"{self._tag}v{node.number}"
            _ip("netns", "add", node.namespace)
            _ip("link", "add", port, "netns", switch, "type", "veth")
            _ip("-n", switch, "link", "set", "veth0", "netns", node.namespace, "name", "eth0")
            _ip("-n", switch, "link", "set", port, "master", "br0", "up")
            _ip("-n", node.namespace, "addr", "add", f"{node.address}/24", "dev", "eth0")
            _ip("-n", node.namespace, "link", "set", "eth0", "up")
            _ip("-n", node.namespace, "link", "set", "lo", "up")

    def _boot(self, node: _Node) -> None:
        ray = str(Path(sys.executable).with_name("ray"))
        words = [ray, "start", "--block", "--node-ip-address", node.address]
        words += ["--object-store-memory", "100000000", "--disable-usage-stats"]
        if node.number == 0:
            words += ["--head", "--port", str(PORT), "--num-cpus", "0", "--num-gpus", "0"]
            words += ["--include-dashboard=false"]
        else:
            words += ["--address", self.address, "--num-cpus", "2"]
            words += ["--num-gpus", str(self._gpus)]
        inside = [*ISOLATED, "--kill-child", "bash", "-c", NODE, "bash", node.host, *words]
        # Whoever kills the tests themselves shall not have to look for their labs.
        outside = ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", node.namespace]
        node.holder = self._popen([*outside, *inside], self.folder / f"{node.host}.log")
        if node.number == 0:
            assert eventually(lambda: self._started(node), START_S), self._logs()

    def _started(self, node: _Node) -> bool:
        """Whether the node is in the cluster, by what `ray start` has printed since its boot."""
        log = self.folder / f"{node.host}.log"
        return "Ray runtime started" in log.read_text(errors="replace")

    def _logs(self) -> str:
        return "\n".join(p.read_text(errors="replace")[-2000:] for p in self.folder.glob("*.log"))

    def _kill(self, number: int, name: str) -> None:
        (process,) = [p for p in self.processes(number) if p.name() == name]
        os.kill(process.pid, signal.SIGKILL)

    def _popen(self, words: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.folder / "token")}
        # One path with a file system of its own on each node: workers look where the head looks.
        homes = {"HOME": str(self.folder), "TMPDIR": str(self.folder / "tmp")}
        with log.open("ab") as output:
            return subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**kept, **HEALTH_CHECKS, **token, **homes},
                cwd=self.folder,
                start_new_session=True,
            )


def _ip(*words: str, check: bool = True) -> None:
    program = shutil.which("ip") or "ip"
    subprocess.run([program, *words], check=check, capture_output=True, timeout=20)

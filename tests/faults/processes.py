"""Every process of a study, found by a mark in its environment, and when it was last seen.

A variable that begins with HF_ reaches the server and the load generator, their supervisors and
all that they start, in whatever session or namespace.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

__all__ = ["MARK", "ProcessWatch", "Seen", "eventually"]

MARK = "HF_FAULT_MARK"
_PERIOD_S = 0.1
_LOOKS = 30
"""A process without the mark after so many looks never gets it: it was not about to exec."""
_ATTEMPT = re.compile(r"autotuner-[0-9a-f]+-([0-9a-f]+-a\d+)")


@dataclass
class Seen:
    """A process that carries the mark."""

    pid: int
    started: str
    label: str
    """What follows the mark: which experiment it belongs to."""
    attempt: str
    command: str
    last_s: float

    @property
    def is_supervisor(self) -> bool:
        return "supervisor.py" in self.command

    @property
    def is_server(self) -> bool:
        """Whether it is the root of a server: what a user would call the server's process."""
        wanted = "sim_server" in self.command or "vllm" in self.command
        return wanted and "--served-model-name" in self.command and not self.is_supervisor


class ProcessWatch:
    """Looks ten times a second; a context manager."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex[:12]
        self._wanted = f"{MARK}={self.mark}-".encode()
        self._seen: dict[int, Seen] = {}
        self._gone: list[Seen] = []
        self._looks: dict[int, int] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="process watch")

    def __enter__(self) -> ProcessWatch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()

    def label(self, name: str) -> str:
        """The value of the mark's variable for the experiment of this name."""
        return f"{self.mark}-{name}"

    def alive(self, attempt: str | None = None) -> list[Seen]:
        """Those that live now, of one attempt or of all."""
        self.look()
        with self._lock:
            return [s for s in self._seen.values() if attempt in (None, s.attempt)]

    def last_seen(self, attempt: str) -> float | None:
        """When the last process of an attempt was seen, in seconds since the epoch."""
        with self._lock:
            both = [*self._gone, *self._seen.values()]
        return max((seen.last_s for seen in both if seen.attempt == attempt), default=None)

    def attempts(self) -> set[str]:
        with self._lock:
            return {seen.attempt for seen in (*self._gone, *self._seen.values())} - {""}

    def cleared(self, patience_s: float, attempt: str | None = None) -> bool:
        """Whether no process of the attempt (default: of all) is left in time."""
        return eventually(lambda: not self.alive(attempt), patience_s)

    def kill_rest(self) -> None:
        """What a failed test has left must not disturb the next."""
        for seen in self.alive():
            with contextlib.suppress(OSError):
                os.kill(seen.pid, signal.SIGKILL)

    def look(self) -> None:
        now = time.time()
        with self._lock:
            pids = {int(f.name) for f in Path("/proc").iterdir() if f.name.isdigit()}
            for pid in self._looks.keys() - pids:
                del self._looks[pid]
            for pid, seen in list(self._seen.items()):
                if _start(pid) == seen.started:
                    seen.last_s = now
                    self._read_again(seen)
                else:
                    self._gone.append(self._seen.pop(pid))
            for pid in sorted(pids - self._seen.keys()):
                if self._looks.get(pid, 0) < _LOOKS:
                    self._looks[pid] = self._looks.get(pid, 0) + 1
                    self._meet(pid, now)

    def _run(self) -> None:
        while not self._end.wait(_PERIOD_S):
            self.look()

    def _meet(self, pid: int, now: float) -> None:
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return
        if self._wanted not in environment or (started := _start(pid)) is None:
            return
        command = _command(pid)
        label = environment.split(self._wanted, 1)[1].split(b"\0", 1)[0].decode()
        self._seen[pid] = Seen(pid, started, label, self._attempt(pid, command), command, now)

    @staticmethod
    def _read_again(seen: Seen) -> None:
        """Before exec it bears its parent's command line, and later it may rename itself."""
        seen.command = _command(seen.pid) or seen.command

    def _attempt(self, pid: int, command: str) -> str:
        """By its command line, else by its nearest ancestor that is known."""
        if match := _ATTEMPT.search(command):
            return match[1]
        while (pid := _parent(pid)) > 1:
            if pid in self._seen:
                return self._seen[pid].attempt
        return ""


def eventually(condition: Callable[[], object], patience_s: float) -> bool:
    """Whether the condition comes true in time; waits no longer than it takes."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b" ".join(words).decode(errors="replace").strip()
    return ""


def _fields(pid: int) -> list[str]:
    """Of /proc/PID/stat, from the state on; none for a process that has gone."""
    with contextlib.suppress(OSError, ValueError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def _start(pid: int) -> str | None:
    """The process's start time; None if it is gone, or dead and only not yet collected."""
    fields = _fields(pid)
    return fields[19] if fields and fields[0] not in "ZX" else None


def _parent(pid: int) -> int:
    fields = _fields(pid)
    return int(fields[1]) if fields else 0

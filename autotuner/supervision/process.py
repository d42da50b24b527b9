"""A child process whose whole tree ends with it, or with us."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from autotuner.errors import LaunchError

__all__ = ["ProcessExit", "SupervisedProcess"]

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_POLL_S = 0.02
_CLEARING_S = 15.0
"""Beyond the grace period: what the supervisor itself may take to clear a stubborn tree."""


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """How a process ended."""

    returncode: int | None
    """Exit status (127: it could not be executed), or minus the signal's number; None where
    the supervisor itself was killed."""
    ended_by: str
    """``exited`` by itself, ``stopped`` by us, ``owner_gone``, ``supervisor_killed``, or
    ``lost`` with another node."""
    leftover: tuple[int, ...] = ()
    """Processes that outlived SIGKILL (stuck in the kernel)."""
    cpu_s: float | None = None
    """CPU seconds of the tree."""
    ended_at: float | None = None
    """Seconds since the epoch, by the clock of its node, at which the process itself ended; its
    tree was cleared after that. None where nobody saw it."""

    def __str__(self) -> str:
        if self.ended_by == "lost":
            return "a node of it was lost"
        if self.returncode is None:
            return "its supervisor was killed, so its exit status is unknown"
        if self.returncode < 0:
            return f"killed by signal {-self.returncode}"
        return f"exit status {self.returncode}"


class SupervisedProcess:
    """Start COMMAND under the two-level supervisor; a context manager that stops it.

    Output of the command, both streams, goes to ``log_path``.

    Args:
        orphan_grace_s: How long the tree may take to end once we are dead; None: a second, as
            nobody waits for a clean end then, and others do for the devices.

    Raises:
        LaunchError: the program does not exist or is not executable.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log_path: Path,
        cpus: Sequence[int] = (),
        grace_s: float = 10.0,
        orphan_grace_s: float | None = None,
        cwd: Path | None = None,
    ) -> None:
        program = shutil.which(command[0], path=environment.get("PATH", os.defpath))
        if program is None:
            raise LaunchError(f"program not found or not executable: {command[0]}")
        if missing := set(cpus) - os.sched_getaffinity(0):
            raise LaunchError(f"cannot pin to CPUs {sorted(missing)}: not available on this node")
        self.command = [program, *command[1:]]
        self.log_path = log_path.absolute()
        self._grace_s = grace_s
        self._status_path = self.log_path.with_suffix(".status.json")
        self._status_path.unlink(missing_ok=True)
        pinning = ",".join(str(cpu) for cpu in cpus) or "-"
        with log_path.open("ab") as log:
            # sys.executable, isolated (-I): neither PYTHONPATH nor the cwd may shadow the stdlib.
            self._supervisor = subprocess.Popen(
                [
                    *(sys.executable, "-I", str(_SUPERVISOR), str(self._status_path)),
                    *(_graces(grace_s, orphan_grace_s), pinning, *self.command),
                ],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=cwd,
                start_new_session=True,
            )

    def __enter__(self) -> SupervisedProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        """Whether the command still runs, or its tree is being cleared."""
        direct_child = self._supervisor.poll() is None
        return direct_child or self._watched()

    @property
    def pid(self) -> int | None:
        """Process id of the command itself, which is also its session's id."""
        pid = self._status().get("pid")
        return pid if isinstance(pid, int) else None

    @property
    def exit(self) -> ProcessExit | None:
        """How it ended, or None while it runs."""
        if self.alive:
            return None
        status = self._status()
        if "ended_by" not in status:
            return ProcessExit(returncode=None, ended_by="supervisor_killed")
        return ProcessExit(
            returncode=status["returncode"],
            ended_by=status["ended_by"],
            leftover=tuple(status["leftover"]),
            cpu_s=status["cpu_s"],
            ended_at=status.get("ended_at"),
        )

    def wait(self, timeout_s: float) -> ProcessExit | None:
        """Wait for the end; None if it still runs after ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        while self.alive and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return self.exit

    def stop(self, *, hurry: bool = False) -> ProcessExit:
        """End the tree: SIGTERM, the grace period, SIGKILL. Safe to call again.

        Args:
            hurry: Somebody waits for the end: two seconds of grace at most.
        """
        stdin = self._supervisor.stdin
        if stdin is not None and not stdin.closed:
            with contextlib.suppress(OSError):
                stdin.write(b"!" if hurry else b".")
            self.wait(self._grace_s + _CLEARING_S)
            stdin.close()
        if self._supervisor.poll() is None:
            self._supervisor.kill()
            self._supervisor.wait()
        return self.exit or ProcessExit(returncode=None, ended_by="supervisor_killed")

    def log_tail(self, max_bytes: int = 64_000) -> str:
        """The end of the log as text."""
        with contextlib.suppress(OSError), self.log_path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - max_bytes))
            return log.read().decode(errors="replace")
        return ""

    def _watched(self) -> bool:
        """Whether the inner supervisor lives, whatever became of the outer one."""
        stdin = self._supervisor.stdin
        if stdin is None or stdin.closed:
            return False
        pipe = select.poll()
        pipe.register(stdin, 0)  # reports one thing only: nobody holds the other end
        return not pipe.poll(0)

    def _status(self) -> dict[str, Any]:
        try:
            status = json.loads(self._status_path.read_text())
        except (OSError, ValueError):
            return {}
        return status if isinstance(status, dict) else {}


def _graces(grace_s: float, orphan_grace_s: float | None) -> str:
    return str(grace_s) if orphan_grace_s is None else f"{grace_s},{orphan_grace_s}"

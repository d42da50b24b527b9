"""Run COMMAND and see to it that its whole process tree is gone when this program ends.

The tree ends when COMMAND exits, when a byte arrives on standard input (a polite stop; ``!``
is a hurried one), or when standard input reaches its end: whoever held the other end is dead,
for whatever reason.

Two processes on purpose. Ray sends SIGKILL to the direct children of a dying worker, so the
process that watches must be a grandchild. Either may be killed alone: the watchdog goes on
without its parent, and the parent clears what a killed watchdog leaves behind.

The standard library alone is imported: the file also runs by itself, on any Python, outside
our environment.

Usage: python supervisor.py STATUS_FILE GRACE_S[,ORPHAN_GRACE_S] CPUS COMMAND...
ORPHAN_GRACE_S is the patience with a tree whose owner is dead. CPUS is a comma-separated list, or
``-`` for no pinning.

STATUS_FILE receives one JSON object at the start (``pid``, ``start_ticks``) and again, with
``returncode``, ``ended_by``, ``ended_at``, ``leftover`` and ``cpu_s`` added, at the end. A caller
trusts it more than an exit status: below some of Ray's flags every exit status reads 0.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_S = 0.1
_KILL_S = 10.0
_NOT_EXECUTED = 127  # as in a shell
_HURRIED_GRACE_S = 2.0
_ORPHAN_GRACE_S = 1.0
"""Patience with a tree whose owner is gone: nobody waits for a clean end, others for the GPU."""


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _descendants(root: int) -> list[int]:
    """Process ids below ``root`` now, parents before children."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            stat = (entry / "stat").read_text()
            # The command's name may hold spaces and brackets; the fields start after the last.
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: with its pid, which process it is."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):  # gone, or no longer ours to signal
            os.kill(pid, number)


def _end_descendants(number: signal.Signals, patience_s: float, reap: Callable[[], None]) -> None:
    """Signal each process below us once and wait until none is left, or patience is."""
    deadline = time.monotonic() + patience_s
    signalled: set[int] = set()
    while (pids := _descendants(os.getpid())) and time.monotonic() < deadline:
        _signal([pid for pid in pids if pid not in signalled], number)
        signalled.update(pids)
        time.sleep(0.02)
        reap()


def _reap_all() -> None:
    """Collect whoever has ended, without waiting."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _take_back_priorities() -> None:
    """Ray gives its workers nice 15 and oom_score_adj 1000; only root may take them back.

    For the command and for ourselves: the first to die for want of memory must not be the
    one that watches.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("0")


class Watchdog:
    """Starts the command, waits for its end or for the owner's, and clears the tree."""

    def __init__(
        self, status_file: str, grace_s: float, orphan_grace_s: float = _ORPHAN_GRACE_S
    ) -> None:
        self._status_file = Path(status_file)
        self._grace_s = grace_s
        self._orphan_grace_s = orphan_grace_s
        self._status: dict[str, object] = {}
        self._pid = 0
        self._returncode: int | None = None
        self._ended_at = 0.0

    def run(self, command: list[str], cpus: list[int]) -> int:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans of the tree come to us, setsid or not
        signal.pthread_sigmask(signal.SIG_SETMASK, [])  # Ray's workers block SIGINT
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=lambda: self._prepare_command(cpus),
            )
        except (OSError, subprocess.SubprocessError) as error:
            print(f"cannot execute {command[0]}: {error}", file=sys.stderr, flush=True)
            self._write_status(returncode=_NOT_EXECUTED, ended_by="exited", leftover=[], cpu_s=0.0)
            return _NOT_EXECUTED
        self._pid = process.pid
        self._status.update(pid=process.pid, start_ticks=_start_ticks(process.pid))
        ended_by, grace_s = self._wait()
        self._clear(grace_s)
        process.returncode = self._returncode  # reaped here; Popen must not look again
        times = os.times()
        self._write_status(
            returncode=self._returncode,
            ended_by=ended_by,
            ended_at=self._ended_at,
            leftover=_descendants(os.getpid()),
            cpu_s=times.children_user + times.children_system,
        )
        return self._returncode or 0

    def _prepare_command(self, cpus: list[int]) -> None:
        """Runs in the child, between fork and exec."""
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        if cpus:
            os.sched_setaffinity(0, cpus)
        # Before anything of the command runs: its session must be known should we all die now.
        self._write_status(pid=os.getpid(), start_ticks=_start_ticks(os.getpid()))

    def _wait(self) -> tuple[str, float]:
        """Why the watch ended, and how patient to be with the tree."""
        while True:
            self._reap()
            if self._returncode is not None:
                return "exited", 1.0
            if select.select([0], [], [], _POLL_S)[0]:
                match os.read(0, 1):
                    case b"":
                        return "owner_gone", min(self._grace_s, self._orphan_grace_s)
                    case b"!":
                        return "stopped", min(self._grace_s, _HURRIED_GRACE_S)
                return "stopped", self._grace_s

    def _clear(self, grace_s: float) -> None:
        """Ask the root, then everyone, then insist; daemons that left the session included."""
        if self._returncode is None:
            _signal([self._pid], signal.SIGTERM)
            deadline = time.monotonic() + grace_s
            while self._returncode is None and time.monotonic() < deadline:
                time.sleep(0.02)
                self._reap()
        _end_descendants(signal.SIGTERM, min(1.0, grace_s / 2), self._reap)
        _end_descendants(signal.SIGKILL, _KILL_S, self._reap)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._pid:
                    self._returncode = os.waitstatus_to_exitcode(status)
                    self._ended_at = time.time()

    def _write_status(self, **facts: object) -> None:
        self._status.update(facts)
        temporary = self._status_file.with_name(self._status_file.name + ".tmp")
        temporary.write_text(json.dumps(self._status))
        temporary.replace(self._status_file)


def _wait_for_watchdog(pid: int) -> int:
    """The outer process: does nothing unless the watchdog itself is killed."""
    os.close(0)
    for number in _SIGNALS:  # the watchdog decides when to end
        signal.signal(number, signal.SIG_IGN)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    _end_descendants(signal.SIGKILL, _KILL_S, _reap_all)
    return status


def main(arguments: list[str]) -> int:
    status_file, graces, cpus, *command = arguments
    _take_back_priorities()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # an ignored one would hide exit statuses
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    if pid := os.fork():
        return _wait_for_watchdog(pid) & 0xFF
    cpu_list = [] if cpus == "-" else [int(cpu) for cpu in cpus.split(",")]
    grace_list = [float(grace_s) for grace_s in graces.split(",")]
    return Watchdog(status_file, *grace_list).run(command, cpu_list) & 0xFF


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

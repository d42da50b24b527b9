"""Ending what dead attempts have left: processes, what their wills name, then scratch folders.

A process is an attempt's when it carries the attempt's token in its environment, or when it
is in a session that the attempt's supervisor started: the session's leader has the process id
and the start time that the supervisor wrote down. Never by name, never by a process id alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotuner.supervision.environment import LEASE_VARIABLE
from autotuner.supervision.lease import (
    LEASE_FILE,
    boot_id,
    lease_root,
    pid_namespace,
    root_lock,
)
from autotuner.supervision.process_table import process_state
from autotuner.supervision.wills import wills_in

__all__ = ["Swept", "dead_leases", "sweep", "sweep_attempt"]

_KILL_S = 10.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Swept:
    """What was found of a dead attempt."""

    attempt_id: str
    study_id: str
    ended: tuple[int, ...]
    """Processes that still ran and were ended."""
    left: tuple[int, ...]
    """Processes that SIGKILL did not end (stuck in the kernel); their folder is kept."""
    undone: tuple[str, ...] = ()
    """Why wills could not be carried out; the folder is kept, for the next sweep."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """A dead attempt's folder, locked by us: another sweep passes it by."""

    folder: Path
    handle: int
    content: Mapping[str, Any]

    @property
    def attempt_id(self) -> str:
        return str(self.content.get("attempt_id", self.folder.name))

    @property
    def of_this_boot(self) -> bool:
        return self.content.get("boot_id") == boot_id()


def sweep() -> tuple[Swept, ...]:
    """End the processes of all dead attempts of this user on this node; remove their folders.

    Raises:
        LaunchError: the folder of leases belongs to somebody else.
    """
    with _claimed() as claims:
        return tuple(_sweep_one(claim) for claim in claims)


def sweep_attempt(mark: str, timeout_s: float) -> bool:
    """Sweep until nothing is left of an attempt whose owner has just been killed.

    Args:
        mark: The attempt's, as `held_lease` got it.

    Returns:
        Whether nothing was left in time.

    Raises:
        LaunchError: the folder of leases belongs to somebody else.
    """
    deadline = time.monotonic() + timeout_s
    while any(lease_root().glob(f"{mark}-*")):
        sweep()
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def dead_leases() -> tuple[str, ...]:
    """Ids of the attempts whose owner is dead and that no sweep has taken yet.

    Raises:
        LaunchError: the folder of leases belongs to somebody else.
    """
    with _claimed() as claims:
        return tuple(claim.attempt_id for claim in claims)


@contextlib.contextmanager
def _claimed() -> Iterator[list[_Claim]]:
    root = lease_root()
    with root_lock(root):
        folders = sorted(folder for folder in root.iterdir() if folder.is_dir())
        claims = [claim for folder in folders if (claim := _claim(folder)) is not None]
    try:
        yield claims
    finally:
        for claim in claims:
            os.close(claim.handle)


def _claim(folder: Path) -> _Claim | None:
    """The folder locked, or None where its owner lives or another sweep has it."""
    try:
        handle = os.open(folder / LEASE_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:  # another sweep has just removed it
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    claim = _Claim(folder, handle, _json(folder / LEASE_FILE))
    if claim.of_this_boot and claim.content.get("pid_namespace") != pid_namespace():
        os.close(handle)  # another container's: its processes cannot be seen from here
        return None
    return claim


def _sweep_one(claim: _Claim) -> Swept:
    ended: set[int] = set()
    left: list[int] = []
    if claim.of_this_boot:  # after a reboot the numbers are other processes'
        token, sessions = str(claim.content.get("token")), _sessions(claim.folder)
        deadline = time.monotonic() + _KILL_S
        while (left := list(_members(token, sessions))) and time.monotonic() < deadline:
            for pid in left:
                _kill(pid, token, sessions)
            ended |= set(left)
            time.sleep(_POLL_S)
    # After its processes: one of them might put up again what is taken down here.
    told = [] if left else [will.carry_out() for will in wills_in(claim.folder)]
    undone = tuple(problem for problem in told if problem is not None)
    if not left and not undone:
        shutil.rmtree(claim.folder, ignore_errors=True)
    study_id = str(claim.content.get("study_id", ""))
    cleared = tuple(sorted(ended - set(left)))
    return Swept(claim.attempt_id, study_id, cleared, tuple(left), undone)


def _sessions(folder: Path) -> dict[int, int]:
    """Leader's process id -> its start, of the sessions that supervisors wrote down."""
    found = {}
    for path in folder.glob("*.status.json"):
        status = _json(path)
        if isinstance(status.get("pid"), int) and isinstance(status.get("start_ticks"), int):
            found[status["pid"]] = status["start_ticks"]
    return found


def _members(token: str, sessions: Mapping[int, int]) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _is_member(int(entry.name), token, sessions):
            yield int(entry.name)


def _is_member(pid: int, token: str, sessions: Mapping[int, int]) -> bool:
    process = process_state(pid)
    if process is None or process.ended or pid == os.getpid():
        return False
    if process.session in sessions:
        leader = process_state(process.session)
        if leader is not None and leader.start_ticks == sessions[process.session]:
            return True
    return _carries(pid, token)


def _carries(pid: int, token: str) -> bool:
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # gone, or another user's
        return False
    return f"{LEASE_VARIABLE}={token}".encode() in variables


def _kill(pid: int, token: str, sessions: Mapping[int, int]) -> None:
    """SIGKILL by a handle, asked again once it is held: numbers are given to new processes."""
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(pid)
        try:
            if _is_member(pid, token, sessions):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}

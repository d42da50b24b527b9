"""CPU time by the kernel's books: of a whole machine, and of trees of processes.

A tree's time is that of its living processes and of those that they have waited for, to which the
kernel adds the time of a process as soon as its parent has waited for it. So the sum over a tree
whose root adopts orphans, as our supervisors and the first process of a container do, loses
nothing of a process that has ended; but for the children of a process that ignores SIGCHLD, which
the kernel forgets.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PROC", "MachineTime", "ProcessTime", "machine_time", "process_times", "tree_of"]

PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_IDLE = (3, 4)
"""Of the fields of ``cpu``: idle and iowait."""
_COUNTED = 8
"""The fields from user to steal; those behind are parts of the first two."""
_LOOKS = 3


@dataclass(frozen=True, slots=True)
class MachineTime:
    """What all CPUs of a machine have done since its start."""

    cpus: int
    """CPUs that are online."""
    busy_s: float
    """CPU seconds neither idle nor waiting for a disk; stolen ones of a virtual machine too."""


@dataclass(frozen=True, slots=True)
class ProcessTime:
    """What one process has used."""

    parent: int
    start_ticks: int
    own_s: float
    """CPU seconds of all of its threads."""
    waited_s: float
    """CPU seconds of the processes that it has waited for, and of those that these have."""


def machine_time(proc: Path = PROC) -> MachineTime:
    """The time of the whole machine, also where this runs in a container with fewer CPUs.

    A limit of the container's cgroup (quota or CPU set) changes neither number: ``/proc/stat`` is
    the machine's, unless something like lxcfs stands in for it.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    lines = [line.split() for line in (proc / "stat").read_text().splitlines()]
    (total,) = (words[1:] for words in lines if words and words[0] == "cpu")
    ticks = [int(word) for word in total[:_COUNTED]]
    busy = sum(ticks) - sum(ticks[place] for place in _IDLE)
    cpus = sum(words[0][:3] == "cpu" and words[0][3:].isdigit() for words in lines if words)
    return MachineTime(cpus, busy / _TICKS_PER_S)


def process_times(roots: Iterable[int], proc: Path = PROC) -> Mapping[int, ProcessTime]:
    """All processes that can be seen, those below the roots all at one moment.

    A process that ends while the table is read would be counted twice, by itself and with its
    parent, or not at all; so the table is read again where one did.

    Args:
        roots: Process ids of the trees that matter.

    Raises:
        OSError: the processes cannot be listed.
    """
    wanted = tuple(roots)
    for _ in range(_LOOKS):
        listed = [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()]
        read = {pid: _process_time(proc, pid) for pid in listed}
        found = {pid: process for pid, process in read.items() if process is not None}
        tree = tree_of(wanted, found)
        if len(found) == len(listed) and all((proc / str(pid)).exists() for pid in tree):
            break
    return found


def tree_of(roots: Iterable[int], processes: Mapping[int, ProcessTime]) -> frozenset[int]:
    """Process ids of the roots, as far as they live, and of all below them."""
    children: dict[int, list[int]] = {}
    for pid, process in processes.items():
        children.setdefault(process.parent, []).append(pid)
    found: set[int] = set()
    todo = [root for root in roots if root in processes]
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, [])
    return frozenset(found)


def _process_time(proc: Path, pid: int) -> ProcessTime | None:
    try:
        stat = (proc / str(pid) / "stat").read_text()
    except OSError:  # gone
        return None
    # The command's name may hold spaces and brackets; the fields start after the last.
    fields = stat.rpartition(")")[2].split()
    own, waited = (sum(map(int, fields[at : at + 2])) for at in (11, 13))
    return ProcessTime(int(fields[1]), int(fields[19]), own / _TICKS_PER_S, waited / _TICKS_PER_S)

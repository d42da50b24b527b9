"""How much CPU an attempt used on its node while a level was under load, and how much others did.

Foreign is what the machine's CPUs did less what the attempt's processes did: other users' programs,
other attempts of the same study, the cluster's own daemons, and Docker's, which pass on what a
container says. Nothing is sampled meanwhile, since that would disturb the level: counters are read
at its start and at its end.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from autotuner.results.node_cpus import NodeCpus
from autotuner.supervision.cpu_time import (
    PROC,
    ProcessTime,
    machine_time,
    process_times,
    tree_of,
)

__all__ = ["CpuMeter"]

_SHORTEST_S = 0.5
"""Of a shorter level, the kernel's ticks of 10 ms say too little."""
_OWN_TOO_MUCH = 2.0
"""So many times the machine's time, our own cannot be: then the machine's is not counted."""
_TICKS_OFF_S = 0.5
"""Our time is counted to the nanosecond, the machine's by its ticks, which may miss as much."""


class _UnknownError(Exception):
    """Why the time cannot be told; never leaves this module."""


@dataclass(frozen=True, slots=True)
class _Reading:
    at_s: float
    cpus: int
    busy_s: float
    own_s: float


@dataclass(frozen=True, slots=True)
class CpuMeter:
    """The counters of one attempt on its node.

    The attempt's processes are the trees of its supervisors, the server's where that is no process
    of ours (a container's first process adopts the orphans in it), and this process itself without
    its children. Where several attempts run in one process, as with `LocalExecutor`, what it does
    for the others counts as each one's own. Of a server on several nodes, only this one is seen.

    Args:
        folder: The attempt's, which its supervisors write to.
        server_pid: Asked at each reading; None: no process of the server is to be seen here.
    """

    folder: Path
    server_pid: Callable[[], int | None]
    proc: Path = PROC

    def watch(self) -> Callable[[], NodeCpus]:
        """Begin; what is returned tells what has been used since. Neither raises."""
        begun = self._read()
        return lambda: _between(begun, self._read())

    def _read(self) -> _Reading | str:
        try:
            at_s = time.monotonic()
            machine = machine_time(self.proc)
            return _Reading(at_s, machine.cpus, machine.busy_s, self._own_s())
        except _UnknownError as error:
            return str(error)
        except (OSError, ValueError, LookupError) as error:
            return f"the node's CPU time cannot be read ({error})"

    def _own_s(self) -> float:
        server = self.server_pid()
        if server is None:
            raise _UnknownError("no process of the server can be seen on the node of the load")
        statuses = [_status(path) for path in sorted(self.folder.glob("*.status.json"))]
        # A finished tree has left its sum; of a status file that is not written yet, there is
        # hardly anything to count.
        own_s = sum(float(str(status["cpu_s"])) for status in statuses if "cpu_s" in status)
        leaders = [status for status in statuses if "cpu_s" not in status and "pid" in status]
        pids = [int(str(status["pid"])) for status in leaders]
        processes = process_times((server, *pids, os.getpid()), self.proc)
        roots = {server, *_supervisors(leaders, processes)}
        if server not in processes:
            raise _UnknownError("the server had ended")
        tree = tree_of(roots, processes) - {os.getpid()}
        own_s += sum(processes[pid].own_s + processes[pid].waited_s for pid in tree)
        return own_s + processes[os.getpid()].own_s


def _supervisors(
    leaders: list[Mapping[str, object]], processes: Mapping[int, ProcessTime]
) -> Iterator[int]:
    """The parents of the processes that supervisors wrote down: orphans come to these."""
    for leader in leaders:
        process = processes.get(int(str(leader["pid"])))
        if process is None or process.start_ticks != leader["start_ticks"]:
            raise _UnknownError("a process of the attempt was just ending")
        yield process.parent


def _between(begun: _Reading | str, ended: _Reading | str) -> NodeCpus:
    if isinstance(begun, str):
        return NodeCpus(unknown=begun)
    if isinstance(ended, str):
        return NodeCpus(unknown=ended)
    wall_s = ended.at_s - begun.at_s
    busy_s, own_s = ended.busy_s - begun.busy_s, ended.own_s - begun.own_s
    if wall_s < _SHORTEST_S:
        return NodeCpus(unknown=f"the level was shorter than {_SHORTEST_S:g} s")
    if own_s < -_TICKS_OFF_S:
        return NodeCpus(unknown="a supervisor was killed, and with it its count")
    if own_s - busy_s > _TICKS_OFF_S and own_s > _OWN_TOO_MUCH * busy_s:
        return NodeCpus(unknown="/proc/stat does not count what the machine's CPUs do")
    own_s = max(0.0, own_s)
    return NodeCpus(ended.cpus, own_s / wall_s, max(0.0, busy_s - own_s) / wall_s)


def _status(path: Path) -> Mapping[str, object]:
    try:
        status = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return status if isinstance(status, dict) else {}

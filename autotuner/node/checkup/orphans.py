"""Whether processes that lose their parent are reaped when they end.

A raylet that dies and stays a zombie keeps its workers running, and with them their servers:
they ask the kernel whether it is still there.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from autotuner.node.checkup.finding import CheckupOrder, Finding, good, warning
from autotuner.supervision.process_table import process_name, process_state

__all__ = ["judge_orphan", "make_orphan", "orphans", "state_after"]

_ZOMBIE = "Z"
_PATIENCE_S = 3.0
"""An init that reaps does so within milliseconds."""
_POLL_S = 0.05
_MAKE_S = 30.0

# The orphan holds standard output until it ends, so that whoever reads it to the end knows.
_DOUBLE_FORK = """\
import os, time
parent = os.getpid()
orphan = os.fork()
if orphan:
    print(orphan, flush=True)
    os._exit(0)
deadline = time.monotonic() + 10
while os.getppid() == parent and time.monotonic() < deadline:
    time.sleep(0.001)
print(os.getppid(), flush=True)
os._exit(0)
"""


def orphans(order: CheckupOrder) -> Iterator[Finding]:
    """Make an orphan that ends at once, and look what becomes of it."""
    del order
    orphan, parent = make_orphan()
    yield judge_orphan(
        state_after(orphan, _PATIENCE_S), f"process {parent} ({process_name(parent)})"
    )


def judge_orphan(state: str | None, parent: str) -> Finding:
    check, wanted = "orphans", "reaped when they end"
    if state != _ZOMBIE:
        return good(check, f"reaped by {parent}", wanted)
    fix = "Start the container with docker run --init; in Kubernetes shareProcessNamespace: true."
    return warning(check, f"left as zombies by {parent}", wanted, fix)


def make_orphan() -> tuple[int, int]:
    """A process that has lost its parent and has ended: its id, and that of its new parent."""
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _DOUBLE_FORK],
        stdout=subprocess.PIPE,
        text=True,
        timeout=_MAKE_S,
        check=False,
    )
    orphan, parent = map(int, answer.stdout.split())
    return orphan, parent


def state_after(pid: int, patience_s: float) -> str | None:
    """The letter of a process's state when patience is over; None as soon as it is gone."""
    deadline = time.monotonic() + patience_s
    # Its files are closed before it is a zombie, so that for a moment it still looks alive.
    while (process := process_state(pid)) is not None and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return None if process is None else process.state

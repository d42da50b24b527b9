"""Real processes, found again by a word on their command line that nobody else has."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from autotuner.supervision.process import SupervisedProcess

PATIENCE_S = 60.0
"""Only a broken rule waits this long."""

PRELUDE = """\
import os, signal, subprocess, sys, time
def spawn(code, **options):
    return subprocess.Popen([sys.executable, "-c", code, *sys.argv[1:]], **options)
"""


class Marked:
    """Processes that carry this test's mark on their command line."""

    def __init__(self) -> None:
        self.mark = f"mark-{uuid.uuid4().hex}"

    def python(self, code: str) -> list[str]:
        """Command that runs ``code``; what it starts through ``spawn`` is marked too."""
        return [sys.executable, "-c", PRELUDE + code, self.mark, PRELUDE]

    def processes(self) -> dict[int, str]:
        """Process id -> command line of the living; a zombie has no command line."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    line = (entry / "cmdline").read_bytes().decode(errors="replace")
                except OSError:
                    continue
                if self.mark in line:
                    found[int(entry.name)] = line
        return found

    def all_gone(self) -> bool:
        return eventually(lambda: not self.processes())


def eventually(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not (held := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(held)


@pytest.fixture
def marked() -> Iterator[Marked]:
    processes = Marked()
    yield processes
    for pid in processes.processes():
        os.kill(pid, 9)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., SupervisedProcess]]:
    """Start a command under supervision; stopped at the end of the test."""
    started: list[SupervisedProcess] = []

    def start(command: list[str], **options: object) -> SupervisedProcess:
        settings: dict[str, object] = {
            "environment": dict(os.environ),
            "log_path": tmp_path / f"command-{len(started)}.log",
            "grace_s": 5.0,
        }
        started.append(SupervisedProcess(command, **{**settings, **options}))
        return started[-1]

    yield start
    for process in started:
        process.stop()


@pytest.fixture
def said() -> Callable[[SupervisedProcess, str], bool]:
    """Wait until a word stands in the command's log."""
    return lambda process, word: eventually(lambda: word in process.log_tail())


@pytest.fixture
def until() -> Callable[[Callable[[], object]], bool]:
    """Wait until a condition holds."""
    return eventually


@pytest.fixture
def our_children() -> Callable[[], set[tuple[int, float]]]:
    """Children of this process, zombies included, as pid and start time."""

    def children() -> set[tuple[int, float]]:
        return {(child.pid, child.create_time()) for child in psutil.Process().children()}

    return children

"""Failures on demand: each way in which a real server fails, as a switch of the simulated one.

The requests that count are completions for the right model; ``after N`` lets N of them through.
Of a server that spans nodes, one rank has the faults.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import NoReturn

from autotuner.engines.sim_devices import hold

__all__ = ["Faults", "Verdict", "add_fault_arguments", "faults_of_rank"]

_DAEMON = """\
import subprocess
quiet = subprocess.DEVNULL
sleep = ["sleep", "600"]
child = subprocess.Popen(sleep, start_new_session=True, stdin=quiet, stdout=quiet, stderr=quiet)
print("daemon", child.pid, flush=True)
"""

_OUT_OF_MEMORY = """\
Traceback (most recent call last):
  File "sim_server.py", line 1, in load_weights
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total \
capacity of 0 bytes of which 0 bytes is free. (simulated)"""

_CRASH = """\
Traceback (most recent call last):
  File "sim_server.py", line 1, in start
RuntimeError: Engine core initialization failed. See root cause above. (simulated)"""


_FILLING = b"\0" * (1 << 20)


class Verdict(Enum):
    """What becomes of a request."""

    SERVE = "serve"
    CRASH = "crash"
    HANG = "hang"
    STALL = "stall"
    ERROR = "error"
    FILL_DISK = "fill_disk"


@dataclass(frozen=True, slots=True)
class Faults:
    """The switches, named after their flags; the defaults are a server in good health."""

    crash_at_start: bool = False
    oom_at_start: bool = False
    hang_at_start: bool = False
    slow_start_s: float = 0.0
    crash_after_requests: int | None = None
    hang_after_requests: int | None = None
    stall_tokens_after_requests: int | None = None
    fill_disk: bool = False
    fill_disk_after_requests: int | None = None
    error_after_requests: int | None = None
    error_every: int | None = None
    refuse_above: int | None = None
    error_status: int = 500
    exit_code: int | None = None
    ignore_sigterm: bool = False
    wrong_model_name: bool = False
    spawn_daemon: bool = False
    keep_device_memory: bool = False
    early_eos: bool = False

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace) -> Faults:
        return cls(**{f.name: getattr(arguments, f"fault_{f.name}") for f in fields(cls)})

    def at_start(self) -> None:
        """Do what is to be done before the port is bound; returns if the server is to start."""
        signal.signal(signal.SIGINT, _end)
        signal.signal(signal.SIGTERM, signal.SIG_IGN if self.ignore_sigterm else _end)
        if self.spawn_daemon:
            subprocess.run([sys.executable, "-c", _DAEMON], check=True)
        if self.keep_device_memory:
            hold(2**34, stuck=True)
        time.sleep(self.slow_start_s)
        if self.oom_at_start:
            self.exit(1, _OUT_OF_MEMORY)
        if self.crash_at_start:
            self.exit(1, _CRASH)
        if self.exit_code is not None and self.crash_after_requests is None:
            self.exit(self.exit_code, "")
        while self.hang_at_start:
            time.sleep(3600)

    def verdict(self, number: int) -> Verdict:
        """What becomes of the ``number``-th request, counted from 1."""
        limits = {
            Verdict.CRASH: self.crash_after_requests,
            Verdict.FILL_DISK: 0 if self.fill_disk else self.fill_disk_after_requests,
            Verdict.HANG: self.hang_after_requests,
            Verdict.STALL: self.stall_tokens_after_requests,
            Verdict.ERROR: self.error_after_requests,
        }
        for verdict, limit in limits.items():
            if limit is not None and number > limit:
                return verdict
        if self.error_every is not None and number % self.error_every == 0:
            return Verdict.ERROR
        return Verdict.SERVE

    def crash(self) -> NoReturn:
        """End as a segmentation fault would be reported by a shell, unless told otherwise."""
        self.exit(139, "")

    def fill_the_disk(self) -> NoReturn:
        """Write into the current folder until the system refuses, and end as Python would."""
        try:
            with Path("fault-fill-disk").open("ab", buffering=0) as file:
                while True:
                    file.write(_FILLING)
        except OSError as error:
            self.exit(1, f"OSError: {error}")

    def exit(self, status: int, last_words: str) -> NoReturn:
        if last_words:
            with contextlib.suppress(OSError):  # its log may lie on the disk that it filled
                print(last_words, file=sys.stderr, flush=True)
        os._exit(status if self.exit_code is None else self.exit_code)


def faults_of_rank(arguments: argparse.Namespace) -> Faults:
    """The switches that were given, where they are for this rank."""
    has_them = arguments.fault_rank == arguments.node_rank
    return Faults.from_arguments(arguments) if has_them else Faults()


def add_fault_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one ``--fault-...`` flag for each field of `Faults`."""
    group = parser.add_argument_group("faults")
    switches = {
        "crash-at-start": "print a traceback and exit with 1",
        "oom-at-start": "print the error of a device without memory and exit with 1",
        "hang-at-start": "never bind the port",
        "ignore-sigterm": "live on after SIGTERM",
        "wrong-model-name": "serve another name than the one asked for",
        "spawn-daemon": "leave a process behind, in a session of its own",
        "keep-device-memory": "leave memory on its simulated devices for which no process answers",
        "early-eos": "end every answer after half the tokens asked for, whatever ignore_eos says",
        "fill-disk": "fill the current folder's disk at the first request",
    }
    for name, text in switches.items():
        group.add_argument(f"--fault-{name}", action="store_true", help=text)
    numbers = {
        "crash-after-requests": "serve N requests; die in the middle of the next with 139",
        "hang-after-requests": "serve N requests; never answer those after them",
        "stall-tokens-after-requests": "serve N requests; of those after them only a first token",
        "fill-disk-after-requests": "serve N requests; at the next fill the current folder's disk",
        "error-after-requests": "serve N requests; refuse those after them",
        "error-every": "refuse every N-th request",
        "refuse-above": "refuse what comes while N requests are in flight",
        "exit-code": "status of the crash asked for; on its own, exit with it at start",
    }
    for name, text in numbers.items():
        group.add_argument(f"--fault-{name}", type=int, metavar="N", help=text)
    group.add_argument("--fault-rank", type=int, default=0, metavar="R", help="has the faults")
    group.add_argument("--fault-slow-start-s", type=float, default=0.0, metavar="S")
    group.add_argument("--fault-error-status", type=int, default=500, metavar="STATUS")


def _end(_signal: int, _frame: FrameType | None) -> None:
    os._exit(0)

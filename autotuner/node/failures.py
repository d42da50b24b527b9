"""How an attempt ends before its time: one exception inside the node, one Failed outside."""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Iterable
from dataclasses import replace

from autotuner.bench.base import LevelLoad
from autotuner.engines.base import Engine
from autotuner.engines.symptoms import DISK_FULL
from autotuner.launchers.base import LaunchFault, Server
from autotuner.spec.experiment import Cancelled, Failed, FailureKind, Outcome, Phase
from autotuner.supervision.environment import mask_secrets

__all__ = [
    "AttemptCancelledError",
    "AttemptFailedError",
    "failed_by_fault",
    "kind_of_level_failure",
    "log_end",
    "masked",
    "server_ended",
    "soon_ended",
    "unexpected",
]

_EVIDENCE_LINES = 30
_POLL_S = 0.05
_DYING_S = 3.0
"""From the first request that a dying server fails to the end of its process, at most."""


class AttemptFailedError(Exception):
    """Carries the outcome from where it is known to where the attempt ends; never leaves node."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed)
        self.failed = failed


class AttemptCancelledError(Exception):
    """The driver asked for the end; never leaves node."""

    def __init__(self, cancelled: Cancelled) -> None:
        super().__init__(cancelled)
        self.cancelled = cancelled


def server_ended(server: Server, engine: Engine, phase: Phase, *, ready: bool) -> Failed:
    """Why a server that has ended did so: by its launcher, its log, or else its exit."""
    if (fault := server.fault) is not None:
        return failed_by_fault(fault, server, engine, phase, ready=ready)
    log = server.log_tail()
    how = f"the server ended by itself ({server.exit})"
    if (found := engine.diagnose(log, ready=ready)) is not None:
        message = f"{found.message.removesuffix('.')}; {how}"
        return Failed(found.kind, phase, message, found.evidence)
    return Failed(FailureKind.SERVER_CRASHED, phase, how, log_end(log))


def failed_by_fault(
    fault: LaunchFault, server: Server, engine: Engine, phase: Phase, *, ready: bool
) -> Failed:
    """What a launcher says of its server; where it saw no more than an end, the log may tell."""
    log = server.log_tail()
    if fault.kind is FailureKind.SERVER_CRASHED:
        if (found := engine.diagnose(log, ready=ready)) is not None:
            message = f"{found.message.removesuffix('.')}; {fault.message}"
            return Failed(found.kind, phase, message, found.evidence)
        return Failed(fault.kind, phase, fault.message, fault.evidence or log_end(log))
    kind = fault.kind
    if ready and kind is FailureKind.OUT_OF_MEMORY_AT_LOAD:
        kind = FailureKind.OUT_OF_MEMORY_UNDER_LOAD
    return Failed(kind, phase, fault.message, fault.evidence or log_end(log))


def soon_ended(server: Server) -> bool:
    """Whether the server ends within moments of a request that it failed.

    A server whose core has died breaks its connections, or answers with errors, before its
    process ends: taken at its word, its crash would pass for the fault of the requests.
    """
    deadline = time.monotonic() + _DYING_S
    while server.exit is None and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return server.exit is not None


def kind_of_level_failure(load: LevelLoad, *, well: bool) -> FailureKind:
    """Why a level has no valid measurement, of a server that has not ended and is not hung.

    Args:
        well: Whether the server answers a request after the level.
    """
    if load.failure is None or not well:
        return FailureKind.REQUESTS_FAILED
    if load.silent_s is not None:
        # It answers again now that the level's requests are gone; those it never answered.
        return FailureKind.SERVER_HUNG
    if DISK_FULL.pattern.search(load.failure):
        return FailureKind.DISK_FULL
    return FailureKind.BENCH_FAILED


def unexpected(error: Exception, phase: Phase) -> Failed:
    """The outcome of an exception that nobody foresaw: a full disk, or else a bug of ours."""
    message = f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failed(FailureKind.DISK_FULL, phase, f"{DISK_FULL.message} {message}", trace)
    return Failed(FailureKind.INTERNAL_ERROR, phase, message, trace)


def masked(outcome: Outcome, secrets: Iterable[str]) -> Outcome:
    """The outcome without the secrets that a log line among its evidence may show."""
    if not isinstance(outcome, Failed):
        return outcome
    hidden = tuple(secrets)
    message, evidence = (mask_secrets(t, hidden) for t in (outcome.message, outcome.evidence))
    return replace(outcome, message=message, evidence=evidence)


def log_end(log: str) -> str:
    """The last lines of a log, as evidence."""
    return "\n".join(log.splitlines()[-_EVIDENCE_LINES:])

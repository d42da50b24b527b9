"""One attempt on one node, from the check of its devices before to that after.

No Ray here: an executor calls `run_attempt` and passes its events on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from autotuner.bench.registry import load_generator
from autotuner.engines.registry import load_engine
from autotuner.errors import LaunchError
from autotuner.node.device_claims import DeviceClaims
from autotuner.node.devices import Devices
from autotuner.node.events import (
    AttemptEnded,
    AttemptEvent,
    AttemptOrder,
    PhaseStarted,
    SlotCleared,
)
from autotuner.node.facts import host_name
from autotuner.node.failures import AttemptCancelledError, AttemptFailedError, masked, unexpected
from autotuner.node.gpus import gpu_probe
from autotuner.node.log_mirror import mirrored_logs
from autotuner.node.logs import collect_logs
from autotuner.node.measurement import Measurement
from autotuner.node.preparation import Preparation, prepare
from autotuner.node.ranks import Ranks
from autotuner.node.spanning import Span
from autotuner.spec.experiment import Completed, Failed, FailureKind, Outcome, Phase, Pruned
from autotuner.supervision.lease import Lease, held_lease
from autotuner.supervision.sweep import Swept, sweep

__all__ = ["run_attempt"]


def run_attempt(
    order: AttemptOrder,
    *,
    gpu_ids: Sequence[str] = (),
    should_stop: Callable[[], str | None] = lambda: None,
    log_folder: Path | None = None,
    span: Span | None = None,
) -> Iterator[AttemptEvent]:
    """Run the attempt and yield its events; the last one is `AttemptEnded`.

    After an end with a ``slot_fault`` the iterator goes on for as long as the fault lasts, and
    says `SlotCleared` then: whoever keeps it running keeps others off the devices.

    Args:
        gpu_ids: Devices that this attempt may use, as CUDA_VISIBLE_DEVICES spells them.
        should_stop: Asked several times a second: a reason to cancel, or None.
        log_folder: Where logs are copied to while the attempt runs; None: nowhere.
        span: The other nodes of an attempt whose server spans several.
    """
    devices = Devices(gpu_probe() if gpu_ids else None, gpu_ids, DeviceClaims())
    ranks = None if span is None else Ranks(span, order, should_stop)
    try:
        # Only now, with its folder gone: whoever hears of the end may end this process.
        attempt = _AttemptRun(order, devices, tuple(gpu_ids), should_stop, log_folder, ranks)
        ended = yield from attempt.events()
        if ended.slot_fault is None:
            devices.release()  # or the next one may find them claimed
        yield ended
        if ended.slot_fault is not None and _held_until_free(devices, ranks, should_stop):
            devices.release()
            yield SlotCleared()
    finally:
        devices.release()


def _held_until_free(
    devices: Devices, ranks: Ranks | None, should_stop: Callable[[], str | None]
) -> bool:
    """Whether all devices have become free; False where told to stop."""
    if not devices.hold_until_free(should_stop):
        return False
    return ranks is None or ranks.hold_until_free()


class _AttemptRun:
    def __init__(
        self,
        order: AttemptOrder,
        devices: Devices,
        gpu_ids: tuple[str, ...],
        should_stop: Callable[[], str | None],
        log_folder: Path | None,
        ranks: Ranks | None,
    ) -> None:
        self._order = order
        self._log_folder = log_folder
        self._ranks = ranks
        self._devices = devices
        self._gpu_ids = gpu_ids
        self._should_stop = should_stop
        self._slot_fault: str | None = None
        self._logs: dict[str, str] = {}
        self._phase = Phase.PREFLIGHT
        self._facts: dict[str, object] = {
            "host": host_name(),
            "gpu_ids": list(gpu_ids),
            "gpu_driver": devices.driver_version,
            "simulated": load_engine(order.attempt.experiment.server.engine).simulated,
            "bench": load_generator(order.bench.name).name,
            "started_at": datetime.now(UTC),
        }

    def events(self) -> Generator[AttemptEvent, None, AttemptEnded]:
        """Yield all events but the last, which is returned."""
        attempt = self._order.attempt
        yield PhaseStarted(Phase.PREFLIGHT)
        try:
            with held_lease(attempt.id, attempt.study_id, attempt.mark) as lease:
                outcome = yield from self._in_folder(lease)
        except Exception as error:  # of the folder itself
            outcome = _failed_by(error, self._phase)
        if self._ranks is not None:
            hurry = self._should_stop() is not None
            self._ranks.finish(hurry=hurry, completed=isinstance(outcome, Completed | Pruned))
        if self._devices.readable and self._slot_fault is None and not self._should_stop():
            yield from self._postflight()
        self._end_ranks()
        self._facts |= {"ended_at": datetime.now(UTC), "slot_fault": self._slot_fault}
        blamed = self._ranks.blamed if self._ranks is not None else 0
        return AttemptEnded(outcome, self._facts, self._logs, self._slot_fault, blamed)

    def _in_folder(self, lease: Lease) -> Generator[AttemptEvent, None, Outcome]:
        footprint = self._order.attempt.experiment.footprint
        if (footprint.nodes > 1) != (self._ranks is not None):
            raise ValueError(f"a server of {footprint.nodes} nodes got the nodes of another")
        address = None if self._ranks is None else self._ranks.address
        prepared = prepare(self._order, self._gpu_ids, lease, address=address)
        names = self._order.attempt.served_name
        with mirrored_logs(lease.folder, self._log_folder, names, prepared.secrets):
            return (yield from self._measured(prepared))

    def _measured(self, prepared: Preparation) -> Generator[AttemptEvent, None, Outcome]:
        self._facts["omp_num_threads"] = prepared.environment.get("OMP_NUM_THREADS")
        measurement = Measurement(prepared, self._should_stop, self._facts, self._ranks)
        outcome: Outcome
        try:
            self._preflight()
            measurement.check_cancelled()
            yield from measurement.steps()
            outcome = measurement.outcome()
        except AttemptFailedError as error:
            outcome = error.failed
        except AttemptCancelledError as error:
            outcome = error.cancelled
        except Exception as error:
            outcome = _failed_by(error, measurement.phase)
        self._phase = measurement.phase
        self._logs = collect_logs(prepared.lease.folder, prepared.secrets)
        return masked(outcome, prepared.secrets)

    def _preflight(self) -> None:
        """See to it that the node holds nothing of dead attempts, and the devices nothing at all.

        Raises:
            AttemptFailedError: somebody else's memory is on the devices, and stays there.
        """
        started = time.monotonic()
        try:
            if self._ranks is not None:
                self._ranks.prepare()
            self._facts["swept"] = _spoken(sweep())
            fault = self._devices.await_free(self._order.timeouts.device_s, self._should_stop)
            if fault is not None and not self._should_stop():
                self._slot_fault = fault
                raise AttemptFailedError(
                    Failed(
                        FailureKind.DIRTY_GPU,
                        Phase.PREFLIGHT,
                        f"before the start, {fault} (timeouts.device_s)",
                    )
                )
            if self._ranks is not None:
                self._ranks.await_ready()
        finally:
            self._facts["seconds_preflight"] = time.monotonic() - started

    def _end_ranks(self) -> None:
        if self._ranks is not None:
            self._ranks.await_end()
            self._slot_fault = self._slot_fault or self._ranks.slot_fault
            self._logs = {**self._logs, **self._ranks.logs}
            self._facts["hosts"] = self._ranks.hosts

    def _postflight(self) -> Iterator[AttemptEvent]:
        yield PhaseStarted(Phase.POSTFLIGHT)
        started = time.monotonic()
        fault = self._devices.await_back(self._order.timeouts.device_s, self._should_stop)
        if fault is not None and not self._should_stop():  # or nobody waits for the answer
            self._slot_fault = f"after the end, {fault}"
        self._facts["seconds_postflight"] = time.monotonic() - started


def _failed_by(error: Exception, phase: Phase) -> Failed:
    if isinstance(error, LaunchError):
        return Failed(FailureKind.LAUNCH_FAILED, phase, str(error))
    return unexpected(error, phase)


def _spoken(swept: Sequence[Swept]) -> str | None:
    """Dead attempts whose processes were still there, e.g. ``ab12-a1: 3 ended``."""
    found = [s for s in swept if s.ended or s.left or s.undone]
    return "; ".join(f"{s.attempt_id}: {_fate(s)}" for s in found) or None


def _fate(swept: Swept) -> str:
    left = [f"{len(swept.left)} cannot be ended"] if swept.left else []
    return ", ".join([f"{len(swept.ended)} ended", *left, *swept.undone])

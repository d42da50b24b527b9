"""Whether an attempt's devices are free before it starts, and free again after it.

A device that still holds somebody's memory makes the next server run out of it, or share its
compute: a measurement of the neighbour. Nothing is ended here that is not ours: the owner of
foreign memory is named, and the slot is left alone until he is gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from autotuner.node.device_claims import DeviceClaims
from autotuner.node.gpus import GpuError, GpuProbe, GpuState

__all__ = ["IDLE_BYTES", "Devices"]

_POLL_S = 0.5
_RECHECK_S = 5.0
IDLE_BYTES = 2**30
"""An idle device may hold so much: a display, a monitoring daemon, an MPS server."""
_IDLE_PROCESS_BYTES = 100 * 2**20
"""Less than any CUDA context takes."""
_SLACK_BYTES = 256 * 2**20
"""What may be held more after an attempt than before it."""


class Devices:
    """The devices of one attempt.

    Args:
        probe: None where devices cannot be read; nothing is checked then.
        claims: How other attempts of the node are kept off them; None: not at all.
    """

    def __init__(
        self,
        probe: GpuProbe | None,
        device_ids: Sequence[str],
        claims: DeviceClaims | None = None,
    ) -> None:
        self._probe = probe
        self._claims = claims
        self._ids = tuple(device_ids) if probe is not None else ()
        self._marks: dict[str, int] = {}

    @property
    def readable(self) -> bool:
        """Whether there is anything to check."""
        return bool(self._ids)

    @property
    def driver_version(self) -> str | None:
        """Of the devices; None where they cannot be read."""
        return self._probe.driver_version if self._probe is not None and self._ids else None

    def await_free(self, timeout_s: float, should_stop: Callable[[], object]) -> str | None:
        """Wait until nobody else holds memory; the fault of the slot, or None.

        What is held then is the mark that `await_back` compares with. The devices are claimed
        first and stay so until `release`: two attempts that only looked would both find them free.
        """
        fault = _wait(self._occupied, timeout_s, should_stop)
        if fault is None:
            self._marks = {s.id: s.memory_used_bytes for s in map(self._read, self._ids) if s}
        return fault

    def await_back(self, timeout_s: float, should_stop: Callable[[], object]) -> str | None:
        """Wait until the memory is back to the mark; the fault of the slot, or None."""
        return _wait(self._not_back, timeout_s, should_stop)

    def hold_until_free(self, should_stop: Callable[[], object]) -> bool:
        """Wait, for as long as it takes, for a slot with a fault; False where told to stop."""
        while not self.is_free():
            deadline = time.monotonic() + _RECHECK_S
            while time.monotonic() < deadline:
                if should_stop():
                    return False
                time.sleep(_POLL_S)
        return True

    def release(self) -> None:
        """Let other attempts of this node have the devices."""
        if self._claims is not None:
            self._claims.release()

    def is_free(self) -> bool:
        """Whether nobody else holds memory, nor is anything left of us."""
        return self._occupied() is None and self._not_back() is None

    def _occupied(self) -> str | None:
        def fault(state: GpuState) -> str | None:
            if self._claims is not None and not self._claims.take(state.uuid):
                return _taken(state)
            return _described(state) if _foreign(state) else None

        return self._first_fault(fault)

    def _not_back(self) -> str | None:
        def fault(state: GpuState) -> str | None:
            mark = self._marks.get(state.id, state.memory_used_bytes)
            more = state.memory_used_bytes > mark + _SLACK_BYTES
            return _described(state) if more else None

        return self._first_fault(fault)

    def _first_fault(self, fault: Callable[[GpuState], str | None]) -> str | None:
        for device_id in self._ids:
            try:
                state = self._state(device_id)
            except GpuError as error:
                return str(error)
            if (found := fault(state)) is not None:
                return found
        return None

    def _read(self, device_id: str) -> GpuState | None:
        try:
            return self._state(device_id)
        except GpuError:
            return None

    def _state(self, device_id: str) -> GpuState:
        if self._probe is None:
            raise GpuError(f"device {device_id} cannot be read: no driver")
        return self._probe.device(device_id)


def _wait(
    fault: Callable[[], str | None], timeout_s: float, should_stop: Callable[[], object]
) -> str | None:
    deadline = time.monotonic() + timeout_s
    while (found := fault()) is not None and time.monotonic() < deadline and not should_stop():
        time.sleep(_POLL_S)
    return found


def _foreign(state: GpuState) -> bool:
    computing = any((p.memory_bytes or 0) > _IDLE_PROCESS_BYTES for p in state.processes)
    return computing or state.memory_used_bytes > IDLE_BYTES


def _taken(state: GpuState) -> str:
    return (
        f"device {state.id} ({state.name}) is another attempt's on this node; two Rays that were "
        "started on one machine both count its devices: join one of them with --address"
    )


def _described(state: GpuState) -> str:
    processes = ", ".join(f"{p.pid} ({p.name})" for p in state.processes)
    of = f"process {processes}" if processes else "no process that can be seen from here"
    return (
        f"device {state.id} ({state.name}) holds {state.memory_used_bytes / 2**30:.1f} GiB of {of}"
    )

"""A clock for `time.monotonic`: the driver's own CPU time, and all that it would have waited.

Import it before any module of the driver, some of which keep the function they find. A slow
driver is late on this clock, as it would be on a wall; other load of the machine, and what the
simulation itself computes, do not count.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["CLOCK", "VirtualClock"]


class VirtualClock:
    def __init__(self) -> None:
        self.restart()

    def monotonic(self) -> float:
        """Virtual seconds since the restart."""
        return time.process_time() + self._skipped_s

    def restart(self) -> None:
        """Begin again at 0."""
        self._skipped_s = -time.process_time()

    def skip_to(self, then: float) -> None:
        self._skipped_s += max(0.0, then - self.monotonic())

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """What is computed meanwhile is not the driver's."""
        began = time.process_time()
        yield
        self._skipped_s -= time.process_time() - began


CLOCK = VirtualClock()
time.monotonic = CLOCK.monotonic

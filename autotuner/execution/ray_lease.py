"""The driver's word to an actor that it lives; without it, the actor ends by itself."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

__all__ = ["DriverLease"]

_POLL_S = 1.0
_LAST_ACTS_S = 10.0
"""For an orderly end that nobody waits for any more."""


class DriverLease:
    """Ends this process where the driver has been silent for too long.

    Ray ends an actor when its driver dies, but not where the node has lost the cluster: then
    neither side hears of the other, and the driver has the attempt repeated elsewhere.

    Args:
        on_silence: Begins an orderly end; told why.
    """

    def __init__(self, on_silence: Callable[[str], None]) -> None:
        self._on_silence = on_silence
        self._renewed_at = time.monotonic()
        self._ended = threading.Event()

    def renew(self) -> None:
        self._renewed_at = time.monotonic()

    def end(self) -> None:
        """Nothing is left to end."""
        self._ended.set()

    def watch(self, lease_s: float) -> None:
        """From now on, in a thread of its own."""
        threading.Thread(target=self._watch, args=(lease_s,), daemon=True).start()

    def _watch(self, lease_s: float) -> None:
        while time.monotonic() - self._renewed_at < lease_s:
            time.sleep(_POLL_S)
        self._on_silence(f"the driver has been silent for {lease_s:g} s (timeouts.lease_s)")
        self._ended.wait(_LAST_ACTS_S)
        # Whatever is left of the attempt goes with this process.
        os._exit(1)

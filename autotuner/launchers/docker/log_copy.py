"""A container's log on its way to our standard output, from its first byte to its last."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from docker.errors import APIError
from urllib3.exceptions import HTTPError

from autotuner.launchers.docker.daemon import LOST

__all__ = ["LogCopy"]

_KEPT_BYTES = 8_000
_OVERLAP_S = 1.0


class LogCopy:
    """Copies in a thread, as long as the container writes and the daemon tells."""

    def __init__(self, client: Any, container: str) -> None:
        self._client = client
        self._container = container
        self._tail = b""
        self._heard_at = 0.0
        self._thread = self._started()

    @property
    def running(self) -> bool:
        """False where the container has ended, and where the connection is lost."""
        return self._thread.is_alive()

    @property
    def end(self) -> str:
        """The last that was copied."""
        return self._tail.decode(errors="replace")

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the log, or of the connection."""
        self._thread.join(timeout_s)

    def go_on(self) -> None:
        """Copy what has been written since the connection was lost; a second of it again."""
        self._thread = self._started()

    def _started(self) -> threading.Thread:
        # A daemon thread: the program's end must not wait for a daemon that does not answer.
        thread = threading.Thread(target=self._copy, daemon=True)
        thread.start()
        return thread

    def _copy(self) -> None:
        since = self._heard_at - _OVERLAP_S if self._heard_at else None
        try:
            chunks = self._client.api.logs(
                self._container, stdout=True, stderr=True, stream=True, follow=True, since=since
            )
            for chunk in chunks:
                self._heard_at = time.time()
                self._tail = (self._tail + chunk)[-_KEPT_BYTES:]
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
        except (APIError, HTTPError, ValueError, *LOST):
            return  # whoever looks at the container decides what it means

"""A container's log, line by line, once each, over connections that break."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from autotuner.kubernetes_api.cluster import Cluster
from autotuner.kubernetes_api.faults import KubernetesError, UnreachableError
from autotuner.kubernetes_api.kinds import POD
from autotuner.kubernetes_api.wire import Stream

__all__ = ["PodLog"]

_SILENCE_S = 300.0
"""A server may have nothing to say for minutes; a connection that is silent longer is made anew."""
_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 5.0
_ENDED_S = 5.0

Moment = tuple[int, int]
"""Seconds since the epoch, and nanoseconds."""


class PodLog:
    """Hands each line to ``sink`` in a thread until the container has ended; a context manager.

    Args:
        sink: Gets lines without their ends.
    """

    def __init__(
        self, cluster: Cluster, pod: str, container: str, sink: Callable[[bytes], None]
    ) -> None:
        self._cluster = cluster
        self._path = POD.path(cluster.namespace, pod, "log")
        self._container = container
        self._sink = sink
        self._last: Moment | None = None
        self._at_last = 0
        """Lines of the last moment that were handed on."""
        self._over = threading.Event()
        self._stream: Stream | None = None
        self._finished = False
        # A daemon thread: the program's end must not wait for a server that does not answer.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> PodLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def join(self, timeout_s: float) -> bool:
        """Wait for the log's end, of a container that has ended; whether it has come."""
        self._finished = True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Copy no more."""
        self._over.set()
        if (stream := self._stream) is not None:
            stream.shut()
        self._thread.join(_ENDED_S)

    def _run(self) -> None:
        pause_s = _PAUSE_S
        while not self._over.is_set():
            heard = self._last, self._at_last
            try:
                self._copy()
                if self._finished and heard == (self._last, self._at_last):
                    return  # it has ended, and there was nothing new
            except UnreachableError:
                pass
            except KubernetesError:
                if self._finished:
                    return  # the pod is gone
            pause_s = _PAUSE_S if heard != (self._last, self._at_last) else 2 * pause_s
            self._over.wait(0.0 if self._finished else min(pause_s, _LONGEST_PAUSE_S))

    def _copy(self) -> None:
        """Copy what is new, until the container or the connection ends."""
        query = {"container": self._container, "follow": "true", "timestamps": "true"}
        if self._last is not None:
            # The server counts in seconds: lines of that second come again, and are passed over.
            since = datetime.fromtimestamp(self._last[0], UTC)
            query["sinceTime"] = since.strftime("%Y-%m-%dT%H:%M:%SZ")
        again = self._at_last
        with self._cluster.wire.open(self._path, query, silence_s=_SILENCE_S) as stream:
            self._stream = stream
            try:
                if self._over.is_set():  # closed before there was anything to shut
                    return
                for line in stream.lines():
                    if self._over.is_set():
                        return
                    again = self._take(line, again)
            finally:
                self._stream = None

    def _take(self, line: bytes, again: int) -> int:
        """Hand a line on unless it was; how many of the last moment are still to be passed over."""
        stamp, _, text = line.partition(b" ")
        moment = _moment(stamp)
        if moment is None:  # a line of a line: the runtime stamps only the first
            self._sink(line)
            return again
        if self._last is not None and moment < self._last:
            return again
        if moment == self._last:
            if again > 0:
                return again - 1
            self._at_last += 1
        else:
            self._last, self._at_last = moment, 1
            again = 0
        self._sink(text)
        return again


def _moment(stamp: bytes) -> Moment | None:
    """The moment that a time stamp names; they do not sort as text, as zeros are left out."""
    text = stamp.decode(errors="replace")
    head, point, tail = text.partition(".")
    digits = ""
    if point:
        digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
        head += tail[len(digits) :]
    try:
        at = datetime.fromisoformat(head)
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    return int(at.timestamp()), int(digits[:9].ljust(9, "0") or "0")

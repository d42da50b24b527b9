"""A small load generator of our own, for tests and for machines without genai-bench.

One thread per user sends a request, waits for its end and sends the next. It starts at once,
but its threads share one core: above some dozens of users it measures itself. Studies that
decide something use genai-bench.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from datetime import UTC, datetime

from autotuner.bench.base import Booted, LevelLoad, LoadContext, LoadGenerator, Target
from autotuner.bench.chat_client import WORD, ask, prompt_of
from autotuner.bench.silence import Silence
from autotuner.results.levels import RequestRecord, RequestStatus
from autotuner.spec.workload import Level, Workload

__all__ = ["ClosedLoop"]

_POLL_S = 0.02
_SIZING = -1
"""Stands for the number of the request that comes before the first."""
_JOIN_S = 5.0
"""For a user that is just connecting; all others end at once."""


class ClosedLoop(LoadGenerator):
    """Always as many requests in flight as the level says."""

    name = "closed-loop"

    def version(self, context: LoadContext) -> str | None:
        from autotuner.version import __version__

        return __version__

    def run(
        self,
        target: Target,
        workload: Workload,
        levels: Iterable[Level],
        context: LoadContext,
        booted: Booted | None = None,
    ) -> Generator[LevelLoad, None, None]:
        for level in levels:
            if reason := context.should_stop():
                yield LevelLoad(level, (), None, reason)
            else:
                yield _LevelRun(target, workload, level, context).run()


class _LevelRun:
    def __init__(
        self, target: Target, workload: Workload, level: Level, context: LoadContext
    ) -> None:
        self._target, self._workload, self._level = target, workload, level
        self._context = context
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._started: dict[int, float] = {}
        self._records: dict[int, RequestRecord] = {}
        self._sockets: dict[int, socket.socket] = {}
        self._arrivals: dict[int, list[float]] = {}
        tokens_in, self._tokens_out = workload.typical_tokens
        asked = workload.request.get("max_tokens", self._tokens_out)
        self._asked = asked if isinstance(asked, int) else None
        self._prompt = WORD * tokens_in
        self._silence = Silence(context.no_token_s)

    def run(self) -> LevelLoad:
        sizing = threading.Thread(target=self._size_the_prompt, daemon=True)
        sizing.start()
        failure = self._wait(sizing.is_alive)
        cpus, cpu_s = self._context.watch_cpus(), time.process_time()
        started_at, self._origin = datetime.now(UTC), time.monotonic()
        users = [
            threading.Thread(target=self._user, daemon=True)
            for _ in range(0 if failure else self._level.concurrency)
        ]
        for user in users:
            user.start()
        failure = failure or self._wait(self._goes_on)
        with self._lock:
            self._ended.set()
            records = {**self._cut(), **self._records}
            cpu_s = time.process_time() - cpu_s
            for open_socket in self._sockets.values():
                with contextlib.suppress(OSError):
                    open_socket.shutdown(socket.SHUT_RDWR)
        used = cpus()
        for thread in (sizing, *users):
            thread.join(_JOIN_S)
        ordered = tuple(records[index] for index in sorted(records))
        silent_s = self._silence.limit_s if failure == self._silence.failure else None
        begun = started_at if users else None
        load = LevelLoad(self._level, ordered, begun, failure, silent_s)
        return replace(load, client_cpu_s=(cpu_s,), cpus=used) if users else load

    def _cut(self) -> dict[int, RequestRecord]:
        ended_s = time.monotonic() - self._origin
        return {
            index: RequestRecord(
                index,
                RequestStatus.CUT,
                started,
                output_tokens_asked=self._asked,
                output_chunks=len(self._arrivals[index]),
                ended_s=ended_s,
            )
            for index, started in self._started.items()
            if index not in self._records
        }

    def _wait(self, goes_on: Callable[[], bool]) -> str | None:
        """Wait while it goes on; the reason to give the level up, if one comes up."""
        while goes_on():
            if reason := self._context.should_stop():
                return reason
            if self._silence.too_long:
                return self._silence.failure
            time.sleep(_POLL_S)
        return None

    def _size_the_prompt(self) -> None:
        # Failing that, the level will tell; its records show what the server answers.
        with contextlib.suppress(OSError):
            self._prompt = prompt_of(
                self._target,
                self._workload.typical_tokens[0],
                timeout_s=self._workload.stop.seconds,
                connected=lambda opened: self._connected(_SIZING, opened),
            )

    def _goes_on(self) -> bool:
        lasts = time.monotonic() - self._origin < self._workload.stop.seconds
        return lasts and not self._enough()

    def _enough(self) -> bool:
        wanted = self._workload.stop.requests
        return wanted is not None and len(self._records) >= wanted

    def _user(self) -> None:
        while True:
            with self._lock:
                if self._ended.is_set():
                    return
                index = len(self._started)
                self._started[index] = started = time.monotonic() - self._origin
                self._arrivals[index] = []
            record = self._request(index, started)
            self._silence.token()
            with self._lock:
                if self._ended.is_set():
                    return  # already counted as cut
                self._records[index] = record
                self._sockets.pop(index, None)

    def _request(self, index: int, started: float) -> RequestRecord:
        limit_s = self._workload.stop.seconds + self._context.level_grace_s
        try:
            answer = ask(
                self._target,
                self._prompt,
                max_tokens=self._tokens_out,
                timeout_s=limit_s,
                request=self._workload.request,
                connected=lambda opened: self._connected(index, opened),
                heard=self._silence.token,
                arrivals=self._arrivals[index],
            )
        except OSError as error:
            time.sleep(_POLL_S)  # a dead server refuses thousands of times a second
            return RequestRecord(
                index,
                RequestStatus.FAILED,
                started,
                output_tokens_asked=self._asked,
                ended_s=time.monotonic() - self._origin,
                error_message=str(error),
            )
        return RequestRecord(
            index,
            RequestStatus.COMPLETED,
            started,
            ttft_s=answer.ttft_s,
            e2e_latency_s=answer.e2e_latency_s,
            input_tokens=answer.input_tokens,
            itl_s=answer.itl_s,
            output_tokens=answer.output_tokens,
            output_tokens_asked=self._asked,
            output_chunks=len(self._arrivals[index]),
        )

    def _connected(self, index: int, opened: socket.socket) -> None:
        with self._lock:
            if self._ended.is_set():
                raise ConnectionAbortedError("the level has ended")
            self._sockets[index] = opened

"""How far a genai-bench call has come through its levels, told by its events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from autotuner.bench.base import LevelLoad
from autotuner.bench.genai_bench_events import UNREADABLE, LevelLog
from autotuner.bench.silence import Silence
from autotuner.results.node_cpus import NodeCpus
from autotuner.spec.workload import Level

__all__ = ["Progress"]


class Progress:
    """The levels of one call, from its boot to its end or its ``failure``."""

    def __init__(
        self,
        levels: Sequence[Level],
        *,
        boot_s: float,
        level_limit_s: float,
        no_token_s: float,
        last_words: Callable[[], str],
        watch_cpus: Callable[[], Callable[[], NodeCpus | None]] = lambda: lambda: None,
    ) -> None:
        self.waiting = list(levels)
        """Levels that are not dealt with."""
        self.failure: str | None = None
        """Why the call is of no more use; what is set first stays."""
        self._any_done = False
        self._boot_s, self._level_limit_s, self._no_token_s = boot_s, level_limit_s, no_token_s
        self._last_words, self._watch_cpus = last_words, watch_cpus
        self._cpus_used: Callable[[], NodeCpus | None] = lambda: None
        """Since the level began; up to its stop rule once that is met."""
        self._deadline = time.monotonic() + boot_s
        self._log: LevelLog | None = None
        self._silence: Silence | None = None
        """While the level that runs waits for tokens."""
        self._silent_s: float | None = None

    @property
    def ended(self) -> bool:
        return not self.waiting or self.failure is not None

    def fail(self, failure: str) -> None:
        self.failure = self.failure or failure

    def fail_by_itself(self, failure: str) -> None:
        """Fail for a reason that genai-bench's own last words may tell."""
        self.fail(f"{failure}; {self._last_words()}")

    def expect(self, level: Level) -> None:
        """Another level is to begin."""
        self.waiting.append(level)
        self._deadline = time.monotonic() + self._boot_s

    def take(self, event: Mapping[str, Any]) -> LevelLoad | None:
        """Take an event in; the level that it ends, if it ends one."""
        match event["event"]:
            case "level_started":
                self._begin(event)
            case "request" if self._log is not None:
                self._log.add(event)
                self._hear(tokens=True)
            case "alive":
                self._hear(tokens=event["tokens"])
            case "stop_rule_met":
                self._silence = None
                used = self._cpus_used()
                self._cpus_used = lambda: used
            case "level_finished" if self._log is not None:
                load = replace(self._log.finish(), cpus=self._cpus_used())
                self._log = self._silence = None
                self._deadline = time.monotonic() + self._boot_s
                self._deal_with_first()
                return load
            case kind if kind == UNREADABLE:
                self.fail_by_itself("an unreadable line in genai-bench's event file")
        return None

    def look_at_the_clock(self) -> None:
        """Fail where genai-bench or the server has taken too long.

        To be called when all events have been taken in: what waits to be read is no silence.
        """
        if (silence := self._silence) is not None and silence.too_long:
            if silence.of_the_server:
                self._silent_s = silence.limit_s
                self.fail(silence.failure)
            else:
                self.fail_by_itself(f"genai-bench itself gave no sign of life {silence.duration}")
        elif time.monotonic() <= self._deadline:
            return
        elif self._log is not None:
            late = "genai-bench did not come to an end in time (stop rule plus level_grace_s)"
            self.fail_by_itself(late)
        else:
            self.fail_by_itself(f"genai-bench began no level within {self._boot_s:g} s")

    def lost(self, later: Iterable[Level] = ()) -> Iterator[LevelLoad]:
        """The levels that the call has lost: the one that ran, or all where none had begun.

        Those that neither ended nor are lost want a new call.

        Args:
            later: Levels behind those that wait.
        """
        if self._log is not None:
            self._deal_with_first()
            load = self._log.finish(self.failure, silent_s=self._silent_s)
            yield replace(load, cpus=self._cpus_used())
        elif self.failure is not None and not self._any_done:
            # The next call would end in the same way.
            lost, self.waiting = self.waiting, []
            for level in chain(lost, later):
                yield LevelLoad(level, (), None, self.failure)

    def _deal_with_first(self) -> None:
        self._any_done = True
        del self.waiting[0]

    def _begin(self, event: Mapping[str, Any]) -> None:
        if not self.waiting:
            return
        level = self.waiting[0]
        self._log = LevelLog(level, event)
        if event["concurrency"] != level.concurrency:
            began = f"genai-bench began concurrency {event['concurrency']}"
            self.fail(f"{began} where {level.concurrency} was asked for")
        self._silence, self._cpus_used = Silence(self._no_token_s), self._watch_cpus()
        self._deadline = time.monotonic() + self._level_limit_s

    def _hear(self, *, tokens: bool) -> None:
        if self._silence is None:
            return
        if tokens:
            self._silence.token()
        else:
            self._silence.word()

"""The event file that the genai-bench shim writes, read back as records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from autotuner.bench.base import LevelLoad
from autotuner.results.levels import RequestRecord, RequestStatus
from autotuner.spec.workload import Level

__all__ = ["UNREADABLE", "EventFile", "LevelLog"]

UNREADABLE = "unreadable"
"""Stands for a line that is no event: what was lost with it is not known."""


class EventFile:
    """Reads the complete lines that have been appended since the last look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def read(self) -> Iterator[Mapping[str, Any]]:
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return
        complete, _, _ = new.rpartition(b"\n")
        if not complete:
            return
        self._offset += len(complete) + 1
        for line in complete.split(b"\n"):
            yield _event(line)


def _event(line: bytes) -> Mapping[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    return event if isinstance(event, dict) and "event" in event else {"event": UNREADABLE}


@dataclass
class LevelLog:
    """Collects the requests of the level that is running."""

    level: Level
    started: Mapping[str, Any] | None = None
    """The ``level_started`` event, which ties the monotonic clock to the wall clock."""
    requests: list[Mapping[str, Any]] = field(default_factory=list)

    def add(self, event: Mapping[str, Any]) -> None:
        self.requests.append(event)

    def finish(self, failure: str | None = None, silent_s: float | None = None) -> LevelLoad:
        """The level's records in order of start, with times from the first request's start."""
        events = sorted(self.requests, key=lambda event: float(event["started"]))
        origin = events[0]["started"] if events else 0.0
        records = tuple(_record(index, event, origin) for index, event in enumerate(events))
        started_at = self._started_at(origin) if events else None
        cpu_s = _cpu_s(events)
        return LevelLoad(self.level, records, started_at, failure, silent_s, cpu_s)

    def _started_at(self, origin: float) -> datetime | None:
        if self.started is None:
            return None
        wall = datetime.fromtimestamp(self.started["time"], UTC)
        return wall + timedelta(seconds=origin - self.started["clock"])


def _cpu_s(events: Sequence[Mapping[str, Any]]) -> tuple[float, ...]:
    """CPU seconds of each process that sent requests, from its first one to its last."""
    spans: dict[int, tuple[float, float]] = {}
    for event in events:
        if "process" in event:
            start, end = event["cpu"]
            first, last = spans.get(event["process"], (start, end))
            spans[event["process"]] = min(first, start), max(last, end)
    return tuple(last - first for first, last in spans.values())


def _record(index: int, event: Mapping[str, Any], origin: float) -> RequestRecord:
    started_s, ended = event["started"] - origin, event.get("ended")
    known: dict[str, Any] = {
        "ended_s": None if ended is None else ended - origin,
        "output_tokens_asked": event.get("asked"),
        "output_chunks": event.get("chunks"),
    }
    if event.get("cut"):
        return RequestRecord(index, RequestStatus.CUT, started_s, **known)
    if "code" in event:
        return RequestRecord(
            index,
            RequestStatus.FAILED,
            started_s,
            error_code=_whole_number(event["code"]),
            error_message=event.get("message"),
            **known,
        )
    return RequestRecord(
        index,
        RequestStatus.COMPLETED,
        started_s,
        ttft_s=None if event["first"] is None else event["first"] - event["started"],
        e2e_latency_s=event["ended"] - event["started"],
        itl_s=event.get("itl"),
        input_tokens=event["input_tokens"],
        output_tokens=event["output_tokens"],
        reasoning_tokens=event["reasoning_tokens"],
        **known,
    )


def _whole_number(code: object) -> int | None:
    """Servers may put words into the code of an error inside a stream."""
    return code if isinstance(code, int) else None

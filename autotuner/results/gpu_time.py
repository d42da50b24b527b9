"""Where reserved GPU time went. Pure functions; what is not known is None, never 0.

An attempt's time is reserved from its first sign of life until the driver has heard of its end,
and is divided into `GPU_TIME_SHARES`:

- ``start``: check of the devices and start of the server
- ``warmup``: requests before the first level
- ``load``: requests that are measured
- ``overhead``: the load generator beyond the load, the server's stop, the check afterwards
- ``idle``: all that none of these explains

The shares of an attempt add up to its reserved time, or are all unknown: one that was lost could
not tell its phases.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeGuard

from autotuner.results.schema import GPU_TIME_SHARES

__all__ = ["GpuTime", "gpu_time", "reserved_columns", "reserved_seconds"]

_PHASES = {
    "start": ("seconds_preflight", "seconds_server_start"),
    "warmup": ("seconds_warmup",),
    "load": ("seconds_load",),
    "overhead": ("seconds_bench_overhead", "seconds_stop", "seconds_postflight"),
}
"""Share -> the columns of the experiment rows that make it up."""
_PAUSE = timedelta(seconds=600)
"""A study that runs nothing for longer gives up: there was no driver."""

Interval = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class GpuTime:
    """Where the time of a study's attempts went, and of the devices that they used."""

    of_gpus: bool
    """Whether times are GPUs x seconds; else, where no attempt had GPUs, seconds of slots."""
    attempts: int
    """Attempts of which it is known how much they reserved."""
    reserved: float
    shares: Mapping[str, float]
    """`GPU_TIME_SHARES`, as far as attempts could tell."""
    untold: float
    """Reserved by attempts that were lost and told no shares."""
    devices: int
    """Devices that were used, told apart by node and id."""
    device_s: float
    """All of their seconds from the study's first start to its last end, without its pauses."""
    between_s: float
    """How much of that no attempt had them."""


def reserved_seconds(facts: Mapping[str, object]) -> dict[str, float | None]:
    """Seconds by share, and ``reserved``, their sum.

    Args:
        facts: ``seconds_reserved`` by the driver's clock, and ``seconds_*`` of the phases by the
            node's; absent or None where unknown or not reached.
    """
    reserved = _seconds(facts, "seconds_reserved")
    columns = [column for columns in _PHASES.values() for column in columns]
    if reserved is None or all(_seconds(facts, column) is None for column in columns):
        return {"reserved": reserved, **dict.fromkeys(GPU_TIME_SHARES)}
    # A phase without seconds was not reached by an attempt that told of any.
    shares = {
        share: math.fsum(_seconds(facts, column) or 0.0 for column in columns)
        for share, columns in _PHASES.items()
    }
    explained = math.fsum(shares.values())
    # The driver may have heard of the first sign late, busy with other attempts.
    return {
        "reserved": max(reserved, explained),
        **shares,
        "idle": max(0.0, reserved - explained),
    }


def reserved_columns(facts: Mapping[str, object], *, gpus: int) -> dict[str, float | None]:
    """The columns ``seconds_reserved``, ``seconds_idle`` and ``gpu_seconds_*`` of an attempt.

    Args:
        facts: As for `reserved_seconds`.
        gpus: What the attempt reserved, on all of its nodes together. Without any, all known GPU
            seconds are 0.
    """
    seconds = reserved_seconds(facts)
    columns = {f"seconds_{name}": seconds[name] for name in ("reserved", "idle")}
    for name, known in seconds.items():
        columns[f"gpu_seconds_{name}"] = None if known is None else gpus * known
    return columns


def gpu_time(rows: Iterable[Mapping[Any, object]]) -> GpuTime:
    """Add up what the experiment rows of a study say.

    Times between attempts are by the nodes' clocks, and of the devices that the rows name: of a
    server that spans nodes these are rank 0's. A pause in which the study itself did not run, more
    than ten minutes without any attempt, is nobody's time.
    """
    rows = list(rows)
    of_gpus = any(_count(row.get("gpus")) for row in rows)
    known = [row for row in rows if _seconds(row, "seconds_reserved") is not None]
    weights = [_count(row.get("gpus")) if of_gpus else 1 for row in known]
    totals: dict[str, float] = dict.fromkeys(("reserved", *GPU_TIME_SHARES), 0.0)
    untold = 0.0
    for weight, row in zip(weights, known, strict=True):
        seconds = reserved_seconds(row)
        for name, value in seconds.items():
            totals[name] += weight * (value or 0.0)
        if seconds["idle"] is None:
            untold += weight * (seconds["reserved"] or 0.0)
    reserved = totals.pop("reserved")
    devices = _stays(rows)
    device_s, between_s = _between(list(devices.values()))
    return GpuTime(of_gpus, len(known), reserved, totals, untold, len(devices), device_s, between_s)


def _stays(rows: Iterable[Mapping[Any, object]]) -> dict[tuple[object, object], list[Interval]]:
    """Node and device -> when an attempt had it."""
    stays = defaultdict(list)
    for row in rows:
        began, ended, ids = row.get("started_at"), row.get("ended_at"), row.get("gpu_ids")
        if _is_time(began) and _is_time(ended) and isinstance(ids, Iterable):
            for device in ids:
                stays[row.get("node_id"), device].append((began, ended))
    return dict(stays)


def _between(devices: Sequence[Sequence[Interval]]) -> tuple[float, float]:
    """Seconds of all devices while the study ran, and those without an attempt."""
    everything = [stay for stays in devices for stay in stays]
    if not everything:
        return 0.0, 0.0
    running = _merged(everything, within=_PAUSE)
    device_s = len(devices) * _length_s(running)
    busy_s = math.fsum(_length_s(_merged(stays)) for stays in devices)
    return device_s, max(0.0, device_s - busy_s)


def _merged(intervals: Iterable[Interval], *, within: timedelta = timedelta()) -> list[Interval]:
    """The intervals without overlaps; gaps of up to ``within`` are filled."""
    merged: list[Interval] = []
    for began, ended in sorted(intervals):
        if merged and began - merged[-1][1] <= within:
            merged[-1] = (merged[-1][0], max(merged[-1][1], ended))
        else:
            merged.append((began, ended))
    return merged


def _length_s(intervals: Iterable[Interval]) -> float:
    return math.fsum((ended - began).total_seconds() for began, ended in intervals)


def _is_time(value: object) -> TypeGuard[datetime]:
    return isinstance(value, datetime) and value == value  # pandas' NaT is a datetime


def _count(value: object) -> int:
    return int(value) if isinstance(value, int) else 0


def _seconds(facts: Mapping[str, object], column: str) -> float | None:
    value = facts.get(column)
    # pandas has NaN for what a row does not know
    return value if isinstance(value, int | float) and not math.isnan(value) else None

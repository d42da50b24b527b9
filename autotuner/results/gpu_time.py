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
from collections.abc import Mapping

from autotuner.results.schema import GPU_TIME_SHARES

__all__ = ["reserved_columns", "reserved_seconds"]

_PHASES = {
    "start": ("seconds_preflight", "seconds_server_start"),
    "warmup": ("seconds_warmup",),
    "load": ("seconds_load",),
    "overhead": ("seconds_bench_overhead", "seconds_stop", "seconds_postflight"),
}
"""Share -> the columns of the experiment rows that make it up."""


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


def _seconds(facts: Mapping[str, object], column: str) -> float | None:
    value = facts.get(column)
    return value if isinstance(value, float) and not math.isnan(value) else None

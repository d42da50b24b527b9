"""Whether the load generator measured the server or itself."""

from __future__ import annotations

import math
from collections.abc import Iterator

from autotuner.results.limits import number
from autotuner.results.quality.finding import Finding, Severity
from autotuner.results.quality.inspected import Inspected, Row, at_worst

__all__ = ["client_bottleneck", "closed_loop_bench"]

_BUSY_SHARE = 0.85
_AIM_SHARE = 0.6
_CLOSED_LOOP = "closed-loop"


def client_bottleneck(inspected: Inspected) -> Iterator[Finding]:
    """Levels in which the load generator had no time left."""
    rows = [row for row in inspected.usable if _cpu_share(row) >= _BUSY_SHARE]
    if not rows:
        return
    worst = max(rows, key=_cpu_share)
    workers = max(map(_workers_needed, rows))
    yield Finding(
        "client_bottleneck",
        Severity.SERIOUS if any(map(inspected.in_scope, rows)) else Severity.WARNING,
        inspected.concerned(rows),
        f"a process of the load generator was busy {100 * _cpu_share(worst):.0f} % of the time "
        f"({at_worst(worst, rows, inspected)})",
        "the numbers describe the load generator: tokens arrived before it looked, and a faster "
        "server would seem no faster",
        f"bench: {{workers: {workers}}}, with as many CPUs in resources.cpus.load; or a core of "
        "its own for the load generator",
    )


def closed_loop_bench(inspected: Inspected) -> Iterator[Finding]:
    """A real server measured with the load generator that is there for tests."""
    rows = [r for r in inspected.ended if r.get("bench") == _CLOSED_LOOP and not r.get("simulated")]
    if rows:
        yield Finding(
            "closed_loop_bench",
            Severity.WARNING,
            inspected.concerned(rows),
            f"{len(rows)} attempts were measured with the {_CLOSED_LOOP} load generator",
            "it is one small process made for tests; its prompts and its timing are simpler "
            "than those of genai-bench",
            "bench: genai-bench",
        )


def _cpu_share(row: Row) -> float:
    return number(row, "client_cpu_share") or 0.0


def _workers_needed(row: Row) -> int:
    processes = max(1.0, number(row, "client_processes") or 1.0)
    return max(2, math.ceil(_cpu_share(row) * processes / _AIM_SHARE))

"""Whether the levels hold enough requests for what is said about them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from autotuner.results.limits import number
from autotuner.results.quality.finding import Finding, Severity
from autotuner.results.quality.inspected import Inspected, Row, at_worst
from autotuner.results.summary import supports

__all__ = ["few_requests", "percentiles"]

_FULL_ROUNDS = 3
"""Below so many requests per slot, filling and draining the server decide about the level."""
_ADVISED_ROUNDS = 10


def percentiles(inspected: Inspected) -> Iterator[Finding]:
    """Percentiles that decide and rest on too few requests."""
    judging = inspected.judging
    deciding = [(judging.objective.metric, judging.objective.statistic)]
    deciding += [(c.metric, c.statistic) for c in judging.constraints]
    for metric, statistic in dict.fromkeys(deciding):
        if statistic is None:
            continue
        needed = _requests_needed(statistic)
        rows = [
            row
            for row in inspected.judged
            if (count := _count(row, metric)) is not None and not supports(statistic, int(count))
        ]
        if not rows:
            continue
        worst = min(rows, key=lambda row: _count(row, metric) or 0)
        yield Finding(
            "percentile_unsupported",
            Severity.WARNING,
            inspected.concerned(rows),
            f"{statistic} of {metric} rests on {_count(worst, metric) or 0:.0f} values, it takes "
            f"{needed} ({at_worst(worst, rows, inspected)})",
            f"the {statistic} is little more than the slowest single requests; another "
            "measurement may give another value, and another order",
            f"workloads: stop: {_stop(rows, needed)}, or more of both",
        )


def few_requests(inspected: Inspected) -> Iterator[Finding]:
    """Levels that ended before the server was in a steady state for long."""
    rows = [row for row in inspected.usable if _rounds(row) < _FULL_ROUNDS]
    if not rows:
        return
    worst = min(rows, key=_rounds)
    widest = max(int(number(row, "concurrency") or 1) for row in rows)
    yield Finding(
        "few_requests",
        Severity.WARNING if any(map(inspected.in_scope, rows)) else Severity.NOTE,
        inspected.concerned(rows),
        f"{number(worst, 'requests_completed') or 0:.0f} requests completed with "
        f"{worst['concurrency']} in flight at once ({at_worst(worst, rows, inspected)})",
        "the time in which the server fills and drains weighs as much as the steady state; "
        "throughput is understated, and by different amounts",
        f"workloads: stop: {_stop(rows, _ADVISED_ROUNDS * widest)}",
    )


def _requests_needed(statistic: str) -> int:
    """The smallest number of requests that supports the statistic."""
    enough = 1
    while not supports(statistic, enough):
        enough *= 2
    least = enough // 2
    while enough - least > 1:
        middle = (enough + least) // 2
        least, enough = (least, middle) if supports(statistic, middle) else (middle, enough)
    return enough


def _stop(rows: Sequence[Row], requests: int) -> str:
    """The stop rule under which the slowest of the levels has so many requests."""
    rates = [rate for row in rows if (rate := number(row, "requests_per_s"))]
    if not rates:
        return f"{{requests: {requests}}}, and seconds that suffice for them"
    return f"{{seconds: {math.ceil(requests / min(rates))}, requests: {requests}}}"


def _count(row: Row, metric: str) -> float | None:
    counted = number(row, f"{metric}_count")
    return number(row, "requests_completed") if counted is None else counted


def _rounds(row: Row) -> float:
    completed, concurrency = number(row, "requests_completed"), number(row, "concurrency")
    if completed is None or not concurrency:
        return math.inf
    return completed / concurrency

"""Requests that did less than they were asked for: short answers, cut ones, failed ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from autotuner.results.limits import number
from autotuner.results.quality.finding import Finding, Severity
from autotuner.results.quality.inspected import Inspected, Row, at_worst

__all__ = ["cut_requests", "early_end", "failed_requests"]

_SHARES_DIFFER = 0.05
"""Shares of short answers further apart than this make configurations do different work."""
_FEW_SHORT = 0.01
_MUCH_CUT = 0.10
_ROUNDS = 10
"""With so many requests per slot, those cut at the end are a tenth or less."""


def early_end(inspected: Inspected) -> Iterator[Finding]:
    """Answers that ended before the tokens asked for."""
    short = [row for row in inspected.usable if number(row, "requests_short")]
    if not short:
        return
    shares = _short_shares(inspected)
    low, high = min(shares.values()), max(shares.values())
    apart = high - low > _SHARES_DIFFER
    worst = max(short, key=_short_share)
    severity = Severity.NOTE if high <= _FEW_SHORT else Severity.WARNING
    consequence = "less work was measured than the study asks for; latency and throughput flatter"
    if apart:
        consequence = (
            f"configurations did different work ({100 * low:.0f} % to {100 * high:.0f} % short "
            "answers); the one that answers least may seem the fastest"
        )
    yield Finding(
        "early_end",
        Severity.SERIOUS if apart else severity,
        inspected.concerned(short),
        f"{100 * _short_share(worst):.1f} % of the answers had fewer tokens than asked for "
        f"({at_worst(worst, short, inspected)})",
        consequence,
        "workloads: request: {ignore_eos: true}; where answers are cut by the context length, a "
        "larger one or a shorter scenario",
    )


def cut_requests(inspected: Inspected) -> Iterator[Finding]:
    """Work that was in flight when a level ended."""
    unknown = [
        row
        for row in inspected.usable
        if number(row, "output_tokens_cut") is None and _cut_share(row) > _MUCH_CUT
    ]
    known = [row for row in inspected.usable if (_cut_token_share(row) or 0.0) > _MUCH_CUT]
    for rows, severity, consequence in (
        (
            unknown,
            Severity.SERIOUS,
            "how much was made for them is not known: throughput may be understated by as much, "
            "more so for slow configurations",
        ),
        (
            known,
            Severity.WARNING,
            "their tokens count for the throughput, but latencies lack the requests that took "
            "longest",
        ),
    ):
        if not rows:
            continue
        worst = max(rows, key=_cut_share)
        yield Finding(
            "cut_requests",
            severity if any(map(inspected.in_scope, rows)) else Severity.NOTE,
            inspected.concerned(rows),
            f"{number(worst, 'requests_cut') or 0:.0f} requests were cut at the end of a level, "
            f"{number(worst, 'requests_completed') or 0:.0f} completed "
            f"({at_worst(worst, rows, inspected)})",
            consequence,
            f"workloads: stop: {{seconds: {_longer_s(rows)}}}",
        )


def failed_requests(inspected: Inspected) -> Iterator[Finding]:
    """Failures that the study's error rate allows."""
    rows = [row for row in inspected.usable if number(row, "requests_failed")]
    if not rows:
        return
    worst = max(rows, key=lambda row: number(row, "error_rate") or 0.0)
    of_leader = any(row["experiment_id"] == inspected.leader for row in rows)
    yield Finding(
        "failed_requests",
        Severity.WARNING if of_leader else Severity.NOTE,
        inspected.concerned(rows),
        f"{number(worst, 'requests_failed') or 0:.0f} requests failed, "
        f"{100 * (number(worst, 'error_rate') or 0.0):.1f} %, which the study allows "
        f"({at_worst(worst, rows, inspected)})",
        "failed requests enter neither throughput nor latencies, and leave the server more time "
        "for the rest",
        "see error_message in the request rows; constraints: {error_rate: 0} refuses such levels",
    )


def _short_share(row: Row) -> float:
    return (number(row, "requests_short") or 0.0) / max(1.0, _completed(row))


def _short_shares(inspected: Inspected) -> Mapping[str, float]:
    """Of each experiment whose answers were counted: the share of short ones."""
    counts: dict[str, list[float]] = {}
    for row in inspected.usable:
        short = number(row, "requests_short")
        if short is not None and _completed(row):
            total = counts.setdefault(str(row["experiment_id"]), [0.0, 0.0])
            total[0] += short
            total[1] += _completed(row)
    return {id_: short / completed for id_, (short, completed) in counts.items()} or {"": 0.0}


def _completed(row: Row) -> float:
    return number(row, "requests_completed") or 0.0


def _cut_share(row: Row) -> float:
    cut = number(row, "requests_cut") or 0.0
    return cut / (cut + _completed(row)) if cut else 0.0


def _cut_token_share(row: Row) -> float | None:
    """Share of a level's output tokens that were made for requests cut at its end."""
    cut, mean = number(row, "output_tokens_cut"), number(row, "output_tokens_mean")
    if cut is None or mean is None or cut + mean * _completed(row) <= 0:
        return None
    return cut / (cut + mean * _completed(row))


def _longer_s(rows: list[Row]) -> int:
    """Seconds of a level in which the cut requests become few."""
    needed = [
        _ROUNDS * (number(row, "requests_cut") or 1.0) / rate
        for row in rows
        if (rate := number(row, "requests_per_s"))
    ]
    measured = [number(row, "duration_s") or 0.0 for row in rows]
    return math.ceil(max([*needed, *(2 * duration for duration in measured), 1.0]))

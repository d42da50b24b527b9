"""How far equal measurements lie apart: between servers, and on one server."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from statistics import mean, stdev

from autotuner.results.confidence.verdict import VerdictKind
from autotuner.results.limits import number
from autotuner.results.quality.finding import Finding, Severity
from autotuner.results.quality.inspected import Inspected, Row, at_worst
from autotuner.spec.objective import Direction

__all__ = ["between_repeats", "between_servers", "cold_start"]

_SURE = 0.05
_FEWEST_SERVERS = 5
"""Of fewer, not even all of them together say anything at 5 %."""
_FEWEST_REPEATS = 3
"""Of fewer, a spread is hardly known."""


def between_servers(inspected: Inspected) -> Iterator[Finding]:
    """Finalists whose fresh servers differ by more than the effect that matters."""
    effect = inspected.judging.minimal_effect
    spreads = {
        id_: cv
        for id_ in inspected.finalists
        if (entry := inspected.entries.get(id_)) is not None
        and (cv := _cv(entry.score.samples)) is not None
        and cv > effect
    }
    if not spreads:
        return
    worst = max(spreads, key=lambda id_: spreads[id_])
    samples = inspected.entries[worst].score.samples
    decided = inspected.ranking.verdict.kind is VerdictKind.WINNER
    servers = max(len(samples) + 1, 2 * inspected.judging.finalist_servers)
    yield Finding(
        "noisy",
        Severity.NOTE if decided else Severity.WARNING,
        inspected.ordered(spreads),
        f"{len(samples)} fresh servers of {inspected.label(worst)} vary by "
        f"{100 * spreads[worst]:.1f} % (standard deviation), more than the {100 * effect:g} % "
        f"that matter; {len(spreads)} finalists in all",
        "a single measurement may rank wrongly; the verdict takes the noise into account and "
        "needs more servers for it",
        f"finalist_servers: {servers}; longer levels (workloads: stop: seconds) if the noise is "
        "within a server; otherwise quieter nodes",
    )


def between_repeats(inspected: Inspected) -> Iterator[Finding]:
    """Levels whose repeats on one server differ by more than the effect that matters."""
    column, effect = inspected.judging.objective.column, inspected.judging.minimal_effect
    spreads: list[tuple[float, Row]] = []
    for rows in _repeats(inspected):
        values = [value for row in rows if (value := number(row, column)) is not None]
        cv = _cv(values) if len(values) >= _FEWEST_REPEATS else None
        if cv is not None and cv > effect and inspected.in_scope(rows[0]):
            spreads.append((cv, rows[0]))
    if not spreads:
        return
    rows = [row for _, row in spreads]
    most, worst = max(spreads, key=lambda spread: spread[0])
    yield Finding(
        "noisy_repeats",
        Severity.NOTE,
        inspected.concerned(rows),
        f"repeats on one server vary by {100 * most:.1f} % in {column} (standard deviation), more "
        f"than the {100 * effect:g} % that matter ({at_worst(worst, rows, inspected)})",
        "the level is too short to tell small differences, or something else used the node",
        f"workloads: stop: {{seconds: {_longer_s(rows)}}}",
    )


def cold_start(inspected: Inspected) -> Iterator[Finding]:
    """What a server measures first is worse than its repeats."""
    objective, effect = inspected.judging.objective, inspected.judging.minimal_effect
    sign = 1.0 if objective.direction is Direction.MINIMIZE else -1.0
    excesses: list[tuple[float, Row]] = []
    for rows in _first_levels(inspected):
        values = [v for row in rows if (v := number(row, objective.column)) is not None and v > 0]
        if len(values) == len(rows) > 1:
            later = mean(map(math.log, values[1:]))
            excesses.append((sign * (math.log(values[0]) - later), rows[0]))
    worse = sorted(excess for excess, _ in excesses if excess > 0)
    if len(excesses) < _FEWEST_SERVERS or _chance(len(worse), len(excesses)) > _SURE:
        return
    typical = sorted(excess for excess, _ in excesses)[len(excesses) // 2]
    if typical <= effect:
        return
    rows = [row for _, row in excesses]
    requests = 4 * max(int(number(row, "concurrency") or 1) for row in inspected.usable)
    yield Finding(
        "first_level_cold",
        Severity.WARNING,
        inspected.concerned(rows),
        f"what a server measured first was worse than its repeats on {len(worse)} of "
        f"{len(excesses)} servers, by {100 * math.expm1(typical):.1f} % in {objective.column} at "
        "the median",
        "the server was not warm: whichever level happens to come first is measured too slow",
        f"workloads: warmup_requests: {requests}",
    )


def _cv(samples: Sequence[float]) -> float | None:
    """Spread relative to the value: the standard deviation of the logarithms."""
    if len(samples) < 2 or any(not math.isfinite(s) or s <= 0 for s in samples):
        return None
    return stdev(map(math.log, samples))


def _repeats(inspected: Inspected) -> Iterator[list[Row]]:
    """Rows of the same level on the same server, where there are several."""
    found: dict[tuple[object, ...], list[Row]] = {}
    for row in inspected.usable:
        key = (row["attempt_id"], row["workload"], row["scenario"], row["concurrency"])
        found.setdefault(key, []).append(row)
    return (rows for rows in found.values() if len(rows) > 1)


def _first_levels(inspected: Inspected) -> Iterator[list[Row]]:
    """Of each server the level that it measured first, with its repeats, oldest first."""
    first: dict[object, float] = {}
    for row in inspected.levels:
        at = _started(row)
        first[row["attempt_id"]] = min(at, first.get(row["attempt_id"], at))
    for rows in _repeats(inspected):
        by_time = sorted(rows, key=_started)
        start = _started(by_time[0])
        if math.isfinite(_started(by_time[-1])) and start == first[by_time[0]["attempt_id"]]:
            yield by_time


def _started(row: Row) -> float:
    at = row.get("started_at")
    return at.timestamp() if isinstance(at, datetime) else math.inf


def _chance(worse: int, servers: int) -> float:
    """How likely so many or more would be worse if warm and cold were alike."""
    tail = sum(math.comb(servers, n) for n in range(worse, servers + 1))
    return float(tail / 2**servers)


def _longer_s(rows: Sequence[Row]) -> int:
    # Four times the requests halve the noise.
    durations = [number(row, "duration_s") or 0.0 for row in rows]
    return max(1, math.ceil(4 * max(durations)))

"""A best point at the end of what was measured: the optimum may lie beyond."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autotuner.results.levels import LevelStatus
from autotuner.results.limits import number
from autotuner.results.quality.finding import Finding, Severity
from autotuner.results.quality.inspected import Inspected, Row, place
from autotuner.spec.objective import Over

__all__ = ["edge_level", "edge_parameter"]


def edge_level(inspected: Inspected) -> Iterator[Finding]:
    """The best level of the leader has the highest, or lowest, concurrency of all."""
    leader = inspected.leader
    if leader is None or inspected.judging.objective.over is not Over.BEST:
        return
    level = inspected.entries[leader].score.level
    measured = [row for row in inspected.judged if row["experiment_id"] == leader]
    best = next((row for row in measured if place(row) == level), None)
    if best is None:
        return
    at = _concurrency(best)
    if best["workload"] in inspected.experiments[leader].found:
        yield from _edge_of_range(leader, best, at, inspected)
        return
    # A level that was skipped is known, too: those before have shown that it is no better.
    known = [r for r in measured if r["workload"] == best["workload"]] + _skipped(inspected, best)
    steps = sorted(set(map(_concurrency, known)))
    if len(steps) < 2 or steps[0] < at < steps[-1] or at == 1:
        return
    highest = at == steps[-1]
    wanted = [*steps, 2 * at] if highest else [max(1, at // 2), *steps]
    yield Finding(
        "edge_level",
        Severity.NOTE,
        (leader,),
        f"the leader's best level is the {'highest' if highest else 'lowest'} concurrency "
        f"measured, {at}",
        "the optimum may lie beyond, and there another configuration may lead",
        f"workloads: concurrency: {wanted}",
    )


def edge_parameter(inspected: Inspected) -> Iterator[Finding]:
    """The leader, and all that tie with it, have the end value of a numeric parameter."""
    leader = inspected.leader
    if leader is None or inspected.experiments[leader].is_baseline:
        return
    points = [e.parameters for e in inspected.study.experiments if not e.is_baseline]
    best = [inspected.experiments[id_].parameters for id_ in inspected.finalists]
    for column in inspected.study.parameters:
        name = column.parameter
        given = [point.get(name) for point in points]
        if inspected.study.search is not None:
            # Those that the search has not chosen count: it was free to.
            given += inspected.study.search.values.get(name, ())
        values = sorted({v for one in given if (v := _plain_number(one)) is not None})
        ends = {_plain_number(point.get(name)) for point in best}
        end = next(iter(ends))
        if len(values) < 3 or len(ends) > 1 or end is None or end not in (values[0], values[-1]):
            continue
        highest = end == values[-1]
        yield Finding(
            "edge_parameter",
            Severity.NOTE,
            (leader,),
            f"the leader has the {'highest' if highest else 'lowest'} value of {name} that was "
            f"tried, {end:g}",
            "values beyond may be better still",
            f"parameters: {name}: {_extended(values, highest=highest)}",
        )


def _edge_of_range(leader: str, best: Row, at: int, inspected: Inspected) -> Iterator[Finding]:
    """A load that was found at the end of what may be tried."""
    levels = inspected.experiments[leader].levels
    most = max(level.concurrency for level in levels if level.workload == best["workload"])
    if at == most:
        yield Finding(
            "edge_level",
            Severity.NOTE,
            (leader,),
            f"the leader keeps the limits at the largest load that was allowed, {at}",
            "it may keep them at more, and there another configuration may lead",
            f"workloads: load: {{max: {2 * at}}}",
        )


def _skipped(inspected: Inspected, best: Row) -> list[Row]:
    """Levels that no server of the experiment was loaded with, of the same workload."""
    return [
        row
        for row in inspected.pooled
        if row["status"] == LevelStatus.SKIPPED.value
        and (row["experiment_id"], row["workload"]) == (best["experiment_id"], best["workload"])
    ]


def _concurrency(row: Row) -> int:
    return int(number(row, "concurrency") or 0)


def _plain_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value


def _extended(values: Sequence[float], *, highest: bool) -> str:
    """The end value and one beyond it, a step further in the same proportion."""
    end, before = (values[-1], values[-2]) if highest else (values[0], values[1])
    beyond = end * end / before if end * before > 0 else 2 * end - before
    if isinstance(end, int):
        beyond = round(beyond)
    shown = f"{end:g}, {beyond:.4g}" if highest else f"{beyond:.4g}, {end:g}"
    if beyond == end:
        return f"values {'above' if highest else 'below'} {end:g}, where the engine allows any"
    return f"[{f'..., {shown}' if highest else f'{shown}, ...'}], where the engine allows it"

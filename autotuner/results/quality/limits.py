"""Limits that are kept only just, or not by every single measurement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from autotuner.results.limits import number
from autotuner.results.quality.finding import Finding, Severity
from autotuner.results.quality.inspected import Inspected, Row, place
from autotuner.spec.objective import Constraint, Over

__all__ = ["marginal_constraint"]

_MARGIN = 0.02


@dataclass(frozen=True, slots=True)
class _Doubt:
    row: Row
    constraint: Constraint
    value: float
    missed: int
    """Single measurements that miss the limit."""
    measurements: int


def marginal_constraint(inspected: Inspected) -> Iterator[Finding]:
    """Configurations that count as keeping a limit, and might not the next time."""
    singles: dict[tuple[object, str], list[Row]] = {}
    for row in inspected.usable:
        singles.setdefault((row["experiment_id"], place(row)), []).append(row)
    doubts = [
        doubt
        for row in inspected.judged
        if _decides(row, inspected)
        for constraint in inspected.judging.constraints
        if (doubt := _doubt(row, constraint, singles)) is not None
    ]
    if not doubts:
        return
    of_leader = [doubt for doubt in doubts if doubt.row["experiment_id"] == inspected.leader]
    shown = max(of_leader or doubts, key=lambda doubt: doubt.missed)
    limit = shown.constraint.limit
    missed = f"; {shown.missed} of {shown.measurements} measurements miss it"
    yield Finding(
        "marginal_constraint",
        Severity.WARNING if of_leader else Severity.NOTE,
        inspected.concerned(doubt.row for doubt in doubts),
        f"{shown.constraint.column} is {shown.value:.4g}, the limit {limit:g}, at "
        f"{place(shown.row)} of {inspected.label(shown.row['experiment_id'])}"
        f"{missed if shown.missed else ''}",
        "measured again, or in production, it may miss the limit",
        f"a limit with a reserve, e.g. {0.95 * limit if shown.constraint.upper else 1.05 * limit:g}"
        ", or a lower concurrency; repeats: 3 shows how far it varies",
    )


def _decides(row: Row, inspected: Inspected) -> bool:
    """Whether the experiment counts as feasible because of this level, among others."""
    entry = inspected.entries.get(str(row["experiment_id"]))
    if entry is None or entry.rank is None:
        return False
    # Where the best level counts, the others may miss any limit.
    return inspected.judging.objective.over is not Over.BEST or entry.score.level == place(row)


def _doubt(
    row: Row, constraint: Constraint, singles: Mapping[tuple[object, str], list[Row]]
) -> _Doubt | None:
    value = number(row, constraint.column)
    if value is None or _misses(value, constraint):
        return None
    rows = singles.get((row["experiment_id"], place(row)), [])
    values = [v for single in rows if (v := number(single, constraint.column)) is not None]
    missed = sum(_misses(v, constraint) for v in values)
    near = constraint.limit != 0 and abs(value - constraint.limit) <= _MARGIN * abs(
        constraint.limit
    )
    if not missed and not near:
        return None
    return _Doubt(row, constraint, value, missed, len(values))


def _misses(value: float, constraint: Constraint) -> bool:
    return value > constraint.limit if constraint.upper else value < constraint.limit

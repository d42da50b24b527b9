"""Whether the cluster measured the same at the end of the study as at its start."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import mean

from autotuner.results.limits import number
from autotuner.results.quality.finding import Finding, Severity
from autotuner.results.quality.inspected import Inspected, Row
from autotuner.results.score import RankingEntry
from autotuner.spec.experiment import Purpose

__all__ = ["drift", "no_reference"]

_NOISE_SIGMAS = 2.0
_UNKNOWN_MOVE = (
    "a cluster that became slower or faster meanwhile cannot be told from a better configuration"
)


def no_reference(inspected: Inspected) -> Iterator[Finding]:
    """A study whose results cannot be held against anything."""
    baseline = inspected.study.baseline
    if baseline is None:
        yield Finding(
            "no_baseline",
            Severity.NOTE,
            (),
            "the study has no baseline",
            "what the winner is worth against the engine's defaults is not known, and "
            f"{_UNKNOWN_MOVE}",
            "baseline: {}",
        )
        return
    entry = inspected.entries.get(baseline.id)
    if entry is None or inspected.ranking.pending:
        return
    if entry.servers == 0:
        yield Finding(
            "baseline_failed",
            Severity.NOTE,
            (baseline.id,),
            f"the baseline has no complete measurement: {entry.score.reason or 'no reason'}",
            f"no result can be shown relative to it, and {_UNKNOWN_MOVE}",
            "baseline: {PARAMETER: VALUE} with a point that starts and keeps its levels",
        )
    elif not any(_is_check(row) for row in _attempts(inspected, baseline.id)):
        yield Finding(
            "no_drift_check",
            Severity.NOTE,
            (baseline.id,),
            "the baseline was not measured again at the end",
            _UNKNOWN_MOVE,
            "autotuner run FILE, which measures what is still missing",
        )


def drift(inspected: Inspected) -> Iterator[Finding]:
    """A baseline that measures otherwise at the end than at the start."""
    baseline = inspected.study.baseline
    entry = None if baseline is None else inspected.entries.get(baseline.id)
    if baseline is None or entry is None:
        return
    start, end = _split(inspected, entry)
    if not start or not end:
        return
    moved = mean(map(math.log, end)) - mean(map(math.log, start))
    if abs(math.expm1(moved)) <= inspected.judging.minimal_effect:
        return
    noise = inspected.ranking.verdict.noise_cv
    usual = _NOISE_SIGMAS * (noise or 0.0) * math.sqrt(1 / len(start) + 1 / len(end))
    lead = inspected.lead
    within = (
        f"; up to {100 * math.expm1(usual):.1f} % is the usual noise between servers"
        if usual
        else ""
    )
    if abs(moved) <= usual:
        severity, consequence = Severity.NOTE, "none, if it is the noise that it seems to be"
    elif lead is not None and abs(math.expm1(moved)) > lead:
        severity = Severity.SERIOUS
        consequence = (
            f"the winner leads by {100 * lead:.1f} %, less than the cluster moved: it may have "
            "won by the time at which it was measured"
        )
    else:
        severity = Severity.WARNING
        consequence = (
            "results measured at different times differ by up to as much for no other reason"
        )
    yield Finding(
        "drift",
        severity,
        (baseline.id,),
        f"the baseline measured {100 * math.expm1(moved):+.1f} % at the end against the start"
        f"{_hosts(inspected, baseline.id)}{within}",
        consequence,
        "see what else ran on the nodes (clocks, heat, neighbours); measure again with "
        f"order: random and finalist_servers: {inspected.judging.finalist_servers + 2}",
    )


def _split(inspected: Inspected, entry: RankingEntry) -> tuple[Sequence[float], Sequence[float]]:
    """The baseline's values before the end of the study, and at its end."""
    attempts = inspected.compared.get(entry.experiment_id, ())
    values: dict[str, float] = {}
    if len(attempts) == len(entry.score.samples):
        values = dict(zip(attempts, entry.score.samples, strict=True))
    if not values or not entry.score.feasible:
        values = _over_levels(inspected, attempts)
    at_end = {row["attempt_id"] for row in inspected.ended if _is_check(row)}
    usable = {id_: v for id_, v in values.items() if math.isfinite(v) and v > 0}
    return (
        [v for id_, v in usable.items() if id_ not in at_end],
        [v for id_, v in usable.items() if id_ in at_end],
    )


def _over_levels(inspected: Inspected, attempts: Sequence[str]) -> dict[str, float]:
    """For a baseline that misses a limit: the geometric mean over the objective's levels."""
    if any(experiment.found for experiment in inspected.study.experiments):
        return {}  # each server has levels of its own
    column = inspected.judging.objective.column
    logs: dict[str, list[float]] = {attempt: [] for attempt in attempts}
    for row in filter(inspected.in_scope, inspected.usable):
        value = number(row, column)
        if row["attempt_id"] in logs and value is not None and value > 0:
            logs[str(row["attempt_id"])].append(math.log(value))
    # An attempt that lacks a level would be compared over other levels than the rest.
    most = max(map(len, logs.values()), default=0)
    return {
        id_: math.exp(mean(found)) for id_, found in logs.items() if most and len(found) == most
    }


def _attempts(inspected: Inspected, id_: str) -> list[Row]:
    return [row for row in inspected.ended if row["experiment_id"] == id_]


def _is_check(row: Row) -> bool:
    return row.get("purpose") == Purpose.DRIFT_CHECK.value


def _hosts(inspected: Inspected, id_: str) -> str:
    rows = [row for row in _attempts(inspected, id_) if row.get("host")]
    start = sorted({str(row["host"]) for row in rows if not _is_check(row)})
    end = sorted({str(row["host"]) for row in rows if _is_check(row)})
    return f" (on {', '.join(end)}, before on {', '.join(start)})" if start != end else ""

"""Which levels of an experiment count, and the objective's value on each of its servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from autotuner.results.aggregate import Reading, read_objective, value_at
from autotuner.results.found_load import FoundLoad, found_load
from autotuner.results.levels import LevelStatus
from autotuner.results.limits import LevelRow, penalised
from autotuner.results.measured import Measured
from autotuner.results.study_record import ExpectedExperiment
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Over
from autotuner.spec.workload import Level

__all__ = ["counting_levels", "found_loads", "read_levels", "values_per_server"]

_NONE_HERE = "on one of {count} servers, {reason}"


def counting_levels(
    experiment: ExpectedExperiment, measured: Measured, judging: Judging
) -> tuple[Level, ...]:
    """Those that must be ok, repeats as one.

    Where the best level counts, one that was skipped need not. Of a load that was found, the
    levels up to it count: noise does not make one beyond it better.
    """
    owed = tuple(dict.fromkeys(level.of_all_repeats for level in experiment.owed))
    if judging.objective.over is Over.BEST:
        skipped = measured.skipped
        # None at all is no best, and the reason of one that was skipped tells why.
        owed = tuple(level for level in owed if level not in skipped) or owed
    return (*owed, *_found_levels(experiment, measured.levels, judging))


def found_loads(
    experiment: ExpectedExperiment, rows: Mapping[Level, LevelRow], judging: Judging
) -> dict[str, FoundLoad]:
    """Workload -> its load, for those of which it is to be found."""
    loads = {}
    for workload in experiment.found:
        own = {level.concurrency: row for level, row in rows.items() if level.workload == workload}
        ok = {c: row for c, row in own.items() if row.get("status") == LevelStatus.OK}
        failed = [c for c, row in own.items() if row.get("status") == LevelStatus.FAILED]
        loads[workload] = found_load(ok, judging.constraints, failed)
    return loads


def read_levels(
    experiment: ExpectedExperiment, measured: Measured, judging: Judging
) -> tuple[tuple[Level, ...], Reading]:
    """The levels that count, and what they say for the objective.

    Where that is the load itself, and it was found, the value lies where the limit is reached.
    """
    levels = counting_levels(experiment, measured, judging)
    reading = read_objective(levels, measured.usable, judging.objective, judging.constraints)
    if judging.objective.metric == "concurrency" and reading.level is not None:
        load = found_loads(experiment, measured.levels, judging).get(reading.level.workload)
        if load is not None and load.estimate is not None:
            reading = replace(reading, value=float(load.estimate))
    return levels, reading


def values_per_server(
    experiment: ExpectedExperiment, measured: Measured, reading: Reading, judging: Judging
) -> tuple[tuple[float, ...], str]:
    """The effective value on each server, oldest first; and why none counts, else an empty text.

    At the levels that the reading of all servers has chosen. Where a load is to be found, each
    server has its own.
    """
    objective, constraints = judging.objective, judging.constraints
    if not any(term.level.workload in experiment.found for term in reading.terms):
        at = (value_at(reading.terms, rows, objective, constraints) for rows in measured.attempts)
        return tuple(value for value in at if value is not None), ""
    values = []
    for rows in measured.attempts:
        alone = Measured("completed", "", rows, (rows,))
        _, own = read_levels(experiment, alone, judging)
        if own.value is None or own.reason:
            reason = own.reason or "the objective has no value"
            return (), _NONE_HERE.format(count=len(measured.attempts), reason=reason)
        values.append(penalised(own.value, own.penalty, objective.direction))
    return tuple(values), ""


def _found_levels(
    experiment: ExpectedExperiment, rows: Mapping[Level, LevelRow], judging: Judging
) -> tuple[Level, ...]:
    levels: list[Level] = []
    for workload, load in found_loads(experiment, rows, judging).items():
        own = [level for level in rows if level.workload == workload]
        usable = [level for level in own if rows[level].get("status") == LevelStatus.OK]
        kept = [c for c in usable if load.largest is not None and c.concurrency <= load.largest]
        # Without any that keeps the limits, or is valid at all, the reason is about what there is.
        levels += kept or usable or own or _first_of(experiment, workload)
    return tuple(levels)


def _first_of(experiment: ExpectedExperiment, workload: str) -> list[Level]:
    return [level for level in experiment.levels if level.workload == workload][:1]

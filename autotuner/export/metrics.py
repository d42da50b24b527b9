"""The numbers of an experiment at the level that its score comes from, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from autotuner.results.confidence.intervals import bootstrap_interval
from autotuner.results.counting import level_of
from autotuner.results.load import StudyResults
from autotuner.results.schema import DISTRIBUTIONS
from autotuner.results.score import Ranking, RankingEntry
from autotuner.spec.objective import METRICS, STATISTICS, column_of
from autotuner.spec.workload import Level

__all__ = ["Metric", "metrics_of"]

_BETWEEN_SERVERS = "between fresh servers"
_WITHIN_RUN = "within the measurement"


@dataclass(frozen=True, slots=True)
class Metric:
    """A number with the bounds that are known of it."""

    value: float
    low: float | None = None
    high: float | None = None
    bounds: str | None = None
    """What the bounds are about: ``between fresh servers`` says between what values another
    server of this configuration would do; ``within the measurement`` only how well the
    requests fix the number."""


def metrics_of(
    results: StudyResults, ranking: Ranking, entry: RankingEntry
) -> Mapping[str, Metric]:
    """Column -> number at the scored level; without those that are missing."""
    row = _row_at(results.pooled_levels, entry)
    if row is None:
        return {}
    found = {}
    requests = _requests_at(results.requests, results.compared.get(entry.experiment_id, ()), entry)
    for metric, has_statistics in METRICS.items():
        for statistic in STATISTICS if has_statistics else (None,):
            column = column_of(metric, statistic)
            value = row.get(column)
            if not isinstance(value, int | float) or not math.isfinite(value):
                continue
            found[column] = Metric(float(value))
            if statistic is not None and metric in DISTRIBUTIONS and metric in requests:
                found[column] = _within_run(float(value), requests[metric], statistic)
    if ranking.column in found:
        found[ranking.column] = _between_servers(found[ranking.column], entry)
    return found


def _row_at(levels: pd.DataFrame, entry: RankingEntry) -> Mapping[str, object] | None:
    records = levels[levels["experiment_id"] == entry.experiment_id].to_dict("records")
    rows = ({str(key): value for key, value in record.items()} for record in records)
    return next((row for row in rows if str(level_of(row)) == entry.score.level), None)


def _requests_at(
    requests: pd.DataFrame, attempts: Sequence[str], entry: RankingEntry
) -> pd.DataFrame:
    mine = requests[requests["attempt_id"].isin(attempts) & (requests["status"] == "completed")]
    for keys, rows in mine.groupby(["workload", "scenario", "concurrency"], sort=False):
        workload, scenario, concurrency = keys
        if str(Level(str(workload), str(scenario), int(str(concurrency)))) == entry.score.level:
            return rows
    return mine.head(0)


def _within_run(value: float, column: pd.Series, statistic: str) -> Metric:
    values = pd.to_numeric(column, errors="coerce").dropna()
    if values.empty:
        return Metric(value)
    bounds = bootstrap_interval(values.to_numpy(dtype="float64"), statistic)
    return Metric(value, bounds.low, bounds.high, _WITHIN_RUN)


def _between_servers(metric: Metric, entry: RankingEntry) -> Metric:
    """The objective's own number, where it is what the servers were compared by."""
    score, bounds = entry.score, entry.interval
    # With a penalty, or a mean over levels, the bounds are not those of this column.
    plain = score.value is not None and math.isclose(score.value, metric.value)
    if bounds is None or score.penalty or not plain:
        return metric
    return Metric(metric.value, bounds.low, bounds.high, _BETWEEN_SERVERS)

"""A study's results in the layout of the first autotuner, for what reads its result files.

The names and the arithmetic are the old ones: plain means over the levels, which hide what each
level was like. What they cannot say, such as how sure the best is, stands under ``autotuner``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path

import pandas as pd

from autotuner.errors import OutputError
from autotuner.results.levels import LevelStatus
from autotuner.results.load import StudyResults
from autotuner.results.score import EntryStatus, Ranking, RankingEntry
from autotuner.results.study_record import ExpectedExperiment
from autotuner.spec.objective import STATISTICS, Direction

__all__ = ["seed_json", "write_seed_json"]

Row = Mapping[str, object]

_LATENCIES = {"ttft": "ttft_s", "tpot": "tpot_s", "e2e_latency": "e2e_latency_s"}
_THROUGHPUTS = {
    "output_throughput": "output_throughput_tok_s",
    "total_throughput": "total_throughput_tok_s",
}
_COUNTS = {
    "total_requests": "requests",
    "total_completed_requests": "requests_completed",
    "total_error_requests": "requests_failed",
}


def write_seed_json(results: StudyResults, path: Path) -> None:
    """Write `seed_json` to a file.

    Raises:
        OutputError: where it cannot be written.
    """
    text = json.dumps(seed_json(results), indent=2, allow_nan=False) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def seed_json(results: StudyResults) -> dict[str, object]:
    """The results as plain values. Experiments that have not ended are left out and counted."""
    ranking = results.ranking()
    entries = {entry.experiment_id: entry for entry in ranking.entries}
    found = {
        experiment.id: _experiment(number, experiment, entries[experiment.id], ranking, results)
        for number, experiment in enumerate(results.study.experiments, start=1)
        if entries[experiment.id].status is not EntryStatus.PENDING
    }
    best = ranking.winner
    return {
        "task_name": results.study.name,
        "total_experiments": len(found),
        "successful_experiments": sum(e["status"] == "success" for e in found.values()),
        "elapsed_time": _elapsed_s(results.attempts),
        "best_result": found[best.experiment_id] if best is not None else None,
        "all_results": list(found.values()),
        "autotuner": {
            "study_id": results.study.study_id,
            "version": results.study.autotuner_version,
            "objective": results.study.judging.objective.describe(),
            "verdict": ranking.verdict.kind.value,
            "verdict_in_words": ranking.verdict.sentence(
                {entry.experiment_id: entry.label for entry in ranking.entries}
            ),
            "caveat": ranking.caveat,
            "pending_experiments": len(ranking.pending),
        },
    }


def _experiment(
    number: int,
    experiment: ExpectedExperiment,
    entry: RankingEntry,
    ranking: Ranking,
    results: StudyResults,
) -> dict[str, object]:
    success = entry.status is EntryStatus.FEASIBLE
    score = entry.score.effective if success else None
    if score is not None and ranking.direction is Direction.MAXIMIZE:
        score = -score  # the old scores are all the lower, the better
    name = f"{results.study.name}-exp{number}"
    return {
        "experiment_id": number,
        "parameters": dict(experiment.parameters),
        "status": "success" if success else "failed",
        "metrics": _metrics(experiment.id, name, results) if success else None,
        "objective_score": score,
        "error_message": entry.score.reason or None,
        "autotuner": {
            "experiment_id": experiment.id,
            "label": entry.label,
            "rank": entry.rank,
            "status": entry.status.value,
            "is_baseline": entry.is_baseline,
            "servers": entry.servers,
            "value": entry.score.value,
            "unit": entry.score.unit,
        },
    }


def _metrics(experiment_id: str, name: str, results: StudyResults) -> dict[str, object]:
    frame = results.pooled_levels
    frame = frame[frame["experiment_id"] == experiment_id]
    frame = frame[frame["status"] != LevelStatus.SKIPPED.value]
    rows: list[Row] = [
        dict(zip(frame.columns, r, strict=True)) for r in frame.itertuples(index=False)
    ]
    metrics: dict[str, object] = {}
    for old, column in _LATENCIES.items():
        means = _column(rows, f"{column}_mean")
        metrics[f"mean_{old}"] = _mean(means)
        if old != "e2e_latency":
            continue
        metrics[f"min_{old}"] = min(means) if means else None
        metrics[f"max_{old}"] = max(means) if means else None
        for statistic in ("p50", "p90", "p99"):
            metrics[f"{statistic}_{old}"] = _mean(_column(rows, f"{column}_{statistic}"))
    for old, column in _THROUGHPUTS.items():
        values = _column(rows, column)
        metrics[f"mean_{old}"] = _mean(values)
        metrics[f"max_{old}"] = max(values) if values else None
    counts = {old: _column(rows, column) for old, column in _COUNTS.items()}
    metrics |= {old: int(sum(values)) if values else None for old, values in counts.items()}
    asked = sum(counts["total_requests"])
    completed = sum(counts["total_completed_requests"])
    return metrics | {
        "success_rate": completed / asked if asked else None,
        "concurrency_levels": [_count(row["concurrency"]) for row in rows],
        "num_result_files": len(rows),
        "elapsed_time": _load_s(experiment_id, results),
        "benchmark_name": name,
        "raw_results": [_raw(row) for row in rows],
    }


def _raw(row: Row) -> dict[str, object]:
    """A level as the first autotuner's load generator summed it up."""
    return {
        "scenario": row["scenario"],
        "num_concurrency": _count(row["concurrency"]),
        "run_duration": _number(row["duration_s"]),
        "mean_output_throughput_tokens_per_s": _number(row["output_throughput_tok_s"]),
        "mean_total_tokens_throughput_tokens_per_s": _number(row["total_throughput_tok_s"]),
        "requests_per_second": _number(row["requests_per_s"]),
        "num_requests": _count(row["requests"]),
        "num_completed_requests": _count(row["requests_completed"]),
        "num_error_requests": _count(row["requests_failed"]),
        "error_rate": _number(row["error_rate"]),
        "stats": {
            old: {s: _number(row[f"{column}_{s}"]) for s in STATISTICS}
            for old, column in _LATENCIES.items()
        },
    }


def _column(rows: Sequence[Row], name: str) -> list[float]:
    """The column's values; empty unless every level has one."""
    values = [_number(row[name]) for row in rows]
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else []


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _number(value: object) -> float | None:
    """Pandas' missing numbers as None."""
    if not isinstance(value, Real) or not math.isfinite(value):
        return None
    return float(value)


def _count(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _elapsed_s(attempts: pd.DataFrame) -> float | None:
    """From the first start to the last end."""
    starts, ends = attempts["started_at"].dropna(), attempts["ended_at"].dropna()
    if starts.empty or ends.empty:
        return None
    return float((ends.max() - starts.min()).total_seconds())


def _load_s(experiment_id: str, results: StudyResults) -> float | None:
    """How long the experiment's compared attempts were under load."""
    attempts = results.attempts
    ids = results.compared.get(experiment_id, ())
    seconds = attempts[attempts["attempt_id"].isin(ids)]["seconds_load"]
    return None if seconds.empty or seconds.isna().any() else float(seconds.sum())

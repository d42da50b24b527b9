"""Several measurements of one level as one row: repeats on a server, and fresh servers.

Counts add up. Rates are those of one long measurement, the sum of what was done over the sum of
the durations. Latency statistics are over the requests of all measurements, and never averages of
percentiles. A number that one of the measurements lacks is missing from all of them together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa

from autotuner.results.levels import LevelResult, LevelStatus
from autotuner.results.limits import LevelRow, number
from autotuner.results.schema import DISTRIBUTIONS, LEVELS
from autotuner.results.summary import latency_statistics
from autotuner.spec.objective import STATISTICS

__all__ = ["LATENCY_COLUMNS", "POOLED", "REQUEST_COLUMNS", "pool", "pooled_results"]

POOLED = pa.schema(
    [
        *(field for field in LEVELS if field.name != "attempt_id"),
        pa.field("measurements", pa.int32(), nullable=False),
    ]
)
"""One row per experiment and level: the columns of `LEVELS`, ``repeat`` always 0, and how many
level rows are in it. ``started_at`` is the first of theirs, ``client_cpu_share`` and
``client_processes`` the largest, ``node_cpus`` the smallest, ``reason`` that of the worst
``status``, ``own_cpus`` and ``foreign_cpus`` means over time."""

LATENCY_COLUMNS = frozenset(f"{name}_{s}" for name in DISTRIBUTIONS for s in (*STATISTICS, "count"))
"""Columns that take the request rows to pool them."""
REQUEST_COLUMNS = ("status", *DISTRIBUTIONS)
"""Columns of the request rows that are needed for it."""

_SUMS = (
    "duration_s",
    "requests",
    "requests_completed",
    "requests_failed",
    "requests_cut",
    "requests_short",
    "output_tokens_cut",
    "goodput_requests",
)
_RATES = (
    "output_throughput_tok_s",
    "total_throughput_tok_s",
    "output_throughput_tok_s_per_gpu",
    "output_tokens_per_usd",
    "requests_per_s",
    "goodput_requests_per_s",
)
_MEANS_OVER_TIME = ("own_cpus", "foreign_cpus")
_PER_COMPLETED = ("input_tokens_mean", "output_tokens_mean")
_LARGEST = ("client_processes", "client_cpu_share")
_WORSE = (LevelStatus.OK, LevelStatus.SKIPPED, LevelStatus.FAILED, LevelStatus.NOT_MEASURED)


def pool(rows: Sequence[LevelRow], read_requests: Callable[[], pa.Table]) -> LevelRow:
    """One row of `POOLED` for all measurements of a level; at least one.

    Args:
        rows: Rows of `LEVELS`, oldest first.
        read_requests: Gives the request rows of all of them, at least `REQUEST_COLUMNS`. Called
            at most once, and only when a latency of several measurements is looked at.
    """
    if len(rows) == 1:
        return {name: rows[0].get(name) for name in POOLED.names} | {"repeat": 0, "measurements": 1}
    return _PooledRow(_without_latencies(rows), rows, read_requests)


def pooled_results(results: Sequence[LevelResult]) -> LevelRow:
    """As `pool`, of measurements that are not stored yet."""
    tables = [result.requests.select(REQUEST_COLUMNS) for result in results]
    return dict(pool([result.summary for result in results], lambda: pa.concat_tables(tables)))


class _PooledRow(Mapping[str, object]):
    """Reads the request rows when it is first asked for a latency: they are many."""

    def __init__(
        self,
        numbers: Mapping[str, object],
        rows: Sequence[LevelRow],
        read_requests: Callable[[], pa.Table],
    ) -> None:
        self._numbers = numbers
        self._complete = all(row.get("requests") is not None for row in rows)
        self._read_requests = read_requests
        self._latencies: Mapping[str, object] | None = None

    def __getitem__(self, name: str) -> object:
        if name not in LATENCY_COLUMNS:
            return self._numbers[name]
        if self._latencies is None:
            self._latencies = latency_statistics(self._read_requests()) if self._complete else {}
        return self._latencies.get(name)

    def __iter__(self) -> Iterator[str]:
        return iter(POOLED.names)

    def __len__(self) -> int:
        return len(POOLED.names)


def _without_latencies(rows: Sequence[LevelRow]) -> dict[str, object]:
    first, worst = rows[0], max(rows, key=lambda row: _WORSE.index(LevelStatus(str(row["status"]))))
    values: dict[str, object] = dict.fromkeys(
        name for name in POOLED.names if name not in LATENCY_COLUMNS
    )
    values |= {name: first[name] for name in ("experiment_id", "workload", "scenario")}
    values |= {"concurrency": first["concurrency"], "repeat": 0, "measurements": len(rows)}
    values |= {"status": worst["status"], "reason": worst["reason"]}
    values |= {
        "started_at": _of_all(rows, "started_at", min),
        "simulated": any(row["simulated"] for row in rows),
    }
    values |= {name: _of_all(rows, name, sum) for name in _SUMS}
    values |= {name: _of_all(rows, name, max) for name in _LARGEST}
    values |= {
        name: _weighted(rows, name, by="duration_s") for name in (*_RATES, *_MEANS_OVER_TIME)
    }
    values |= {
        "node_cpus": _of_all(rows, "node_cpus", min),
        "foreign_cpus_unknown": _first(rows, "foreign_cpus_unknown"),
    }
    values |= {name: _weighted(rows, name, by="requests_completed") for name in _PER_COMPLETED}
    values["error_rate"] = _ratio(values["requests_failed"], values["requests"])
    if len({row.get("request_slos") for row in rows}) == 1:
        values["request_slos"] = first.get("request_slos")
        values["goodput_share"] = _ratio(values["goodput_requests"], values["requests"])
    return values


def _of_all(rows: Sequence[LevelRow], name: str, combine: Callable[..., object]) -> object:
    parts = [row.get(name) for row in rows]
    return None if None in parts else combine(parts)


def _first(rows: Sequence[LevelRow], name: str) -> object:
    return next((row.get(name) for row in rows if row.get(name) is not None), None)


def _weighted(rows: Sequence[LevelRow], name: str, *, by: str) -> float | None:
    """Sum of ``name * by`` over the sum of ``by``: tokens are throughput times duration."""
    amounts, weights = [], []
    for row in rows:
        value, weight = number(row, name), number(row, by)
        if value is None or weight is None:
            return None
        amounts.append(value * weight)
        weights.append(weight)
    return _ratio(math.fsum(amounts), math.fsum(weights))


def _ratio(amount: object, divisor: object) -> float | None:
    if isinstance(amount, int | float) and isinstance(divisor, int | float) and divisor:
        return amount / divisor
    return None

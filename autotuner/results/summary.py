"""Request rows to the numbers of a level. Pure functions; a missing number is None."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from autotuner.results.schema import DISTRIBUTIONS
from autotuner.spec.objective import STATISTICS

__all__ = ["Number", "distribution", "summarize"]

Number = int | float | None

_QUANTILES = [int(name[1:]) / 100 for name in STATISTICS if name.startswith("p")]
_QUANTILE_NAMES = [name for name in STATISTICS if name.startswith("p")]


def summarize(requests: pa.Table, *, gpus: int) -> dict[str, Number]:
    """Counts, rates, throughputs and latency statistics of one level.

    Args:
        requests: Rows of schema `REQUESTS`, in any order; the order changes no number.
        gpus: GPUs of the server; with 0 the throughput per GPU is None.

    Failed and cut requests enter neither throughput nor latencies.
    """
    completed = requests.filter(pc.equal(requests["status"], "completed"))
    failed = pc.sum(pc.equal(requests["status"], "failed")).as_py() or 0
    finished = completed.num_rows + failed
    values: dict[str, Number] = {
        "duration_s": _duration_s(requests, completed),
        "requests": finished,
        "requests_completed": completed.num_rows,
        "requests_failed": failed,
        "requests_cut": requests.num_rows - finished,
        "error_rate": failed / finished if finished else None,
        "input_tokens_mean": _mean(completed["input_tokens"]),
        "output_tokens_mean": _mean(completed["output_tokens"]),
    }
    values |= _throughputs(completed, values["duration_s"], gpus)
    for name in DISTRIBUTIONS:
        values |= {f"{name}_{s}": v for s, v in distribution(completed[name]).items()}
    return values


def distribution(column: pa.ChunkedArray) -> dict[str, float | None]:
    """Each of `STATISTICS` over the non-null values; all None where there are none.

    Percentiles interpolate linearly between the two nearest values.
    """
    quantiles = pc.quantile(column, q=_QUANTILES, interpolation="linear", skip_nulls=True)
    if column.null_count == len(column):
        return dict.fromkeys(STATISTICS)
    return {
        "mean": _mean(column),
        **dict(zip(_QUANTILE_NAMES, quantiles.to_pylist(), strict=True)),
    }


def _duration_s(requests: pa.Table, completed: pa.Table) -> float | None:
    last_end: float | None = pc.max(requests["ended_s"]).as_py()
    # Without the end of a completed request the level might be longer than it looks.
    if last_end is None or completed["ended_s"].null_count:
        return None
    return max(0.0, last_end - float(pc.min(requests["started_s"]).as_py()))


def _throughputs(completed: pa.Table, duration_s: Number, gpus: int) -> dict[str, Number]:
    output_tokens = _total(completed["output_tokens"])
    input_tokens = _total(completed["input_tokens"])
    all_tokens = (
        None if output_tokens is None or input_tokens is None else output_tokens + input_tokens
    )
    output_tok_s = _per(output_tokens, duration_s)
    return {
        "output_throughput_tok_s": output_tok_s,
        "total_throughput_tok_s": _per(all_tokens, duration_s),
        "output_throughput_tok_s_per_gpu": _per(output_tok_s, gpus),
        "requests_per_s": _per(completed.num_rows, duration_s),
    }


def _total(column: pa.ChunkedArray) -> int | None:
    # One unknown count makes the sum unknown; skipping it would understate the throughput.
    if column.null_count:
        return None
    return int(pc.sum(column).as_py() or 0)


def _per(amount: Number, divisor: Number) -> float | None:
    return amount / divisor if amount is not None and divisor else None


def _mean(column: pa.ChunkedArray) -> float | None:
    values: Iterable[float] = column.drop_null().to_pylist()
    count = len(column) - column.null_count
    # fsum rounds once, so that the order of the rows cannot change the result.
    return math.fsum(values) / count if count else None

"""Request rows to the numbers of a level. Pure functions; a missing number is None.

`summarize` is for the rows of one level; `latency_statistics` pools those of any number of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from autotuner.results.schema import DISTRIBUTIONS
from autotuner.spec.objective import STATISTICS

__all__ = ["Number", "distribution", "latency_statistics", "summarize", "supports"]

Number = int | float | None

_QUANTILES = {name: int(name[1:]) / 100 for name in STATISTICS if name.startswith("p")}
_BACKED = 0.95
_FEWEST_FOR_A_MEAN = 2


def summarize(
    requests: pa.Table,
    *,
    gpus: int,
    client_cpu_s: Sequence[float] = (),
    duration_s: float | None = None,
) -> dict[str, Number]:
    """Counts, rates, throughputs and latency statistics of one level.

    Args:
        requests: Rows of schema `REQUESTS`, in any order; the order changes no number.
        gpus: GPUs of the server; with 0 the throughput per GPU is None.
        client_cpu_s: CPU seconds that each process of the load generator used in the level;
            empty where unknown.
        duration_s: How long the level was, told by a load generator that keeps no times of
            requests and leaves out those that were cut. Of these nothing is known then, and
            throughputs are lower bounds. None: it follows from the requests' times.

    Failed requests enter neither throughput nor latencies. Cut ones enter the throughput, where
    it is known what they had received; without them, a server that works on 16 requests at once
    would lose up to 15 unfinished ones at the end of each level, and one that lets them queue
    would lose one, for the same work.
    """
    completed = requests.filter(pc.equal(requests["status"], "completed"))
    cut = requests.filter(pc.equal(requests["status"], "cut"))
    failed = requests.num_rows - completed.num_rows - cut.num_rows
    finished = completed.num_rows + failed
    told = duration_s is not None
    share = None if told else _cut_share(completed, cut)
    if duration_s is None:
        duration_s = _duration_s(requests, completed, with_cut=share is not None)
    values: dict[str, Number] = {
        "duration_s": duration_s,
        "requests": finished,
        "requests_completed": completed.num_rows,
        "requests_failed": failed,
        "requests_cut": None if told else cut.num_rows,
        "requests_short": _short(completed),
        "error_rate": failed / finished if finished else None,
        "input_tokens_mean": _mean(completed["input_tokens"]),
        "output_tokens_mean": _mean(completed["output_tokens"]),
        "output_tokens_cut": None if share is None else share.output_tokens,
        "client_processes": len(client_cpu_s) or None,
        "client_cpu_share": _per(max(client_cpu_s, default=None), duration_s),
    }
    values |= _throughputs(completed, share, duration_s, gpus)
    return values | latency_statistics(requests)


def latency_statistics(requests: pa.Table) -> dict[str, Number]:
    """Counts and statistics of the latencies, over the completed ones of any request rows.

    Keys are ``<distribution>_count`` and ``<distribution>_<statistic>``, as in `LEVELS`. The rows
    may be those of one level or of several (repeats, attempts): percentiles are over all their
    values, never over other percentiles. ITL is over the gaps of all requests.
    """
    completed = requests.filter(pc.equal(requests["status"], "completed"))
    values: dict[str, Number] = {}
    for name in DISTRIBUTIONS:
        column = completed[name]
        if pa.types.is_list(column.type):
            column = pc.list_flatten(column)
        values[f"{name}_count"] = len(column) - column.null_count
        values |= {f"{name}_{s}": v for s, v in distribution(column).items()}
    return values


def distribution(column: pa.ChunkedArray) -> dict[str, float | None]:
    """Each of `STATISTICS` over the non-null values; all None where there are none.

    Percentiles interpolate linearly between the two nearest values.
    """
    if column.null_count == len(column):
        return dict.fromkeys(STATISTICS)
    q = list(_QUANTILES.values())
    quantiles = pc.quantile(column, q=q, interpolation="linear", skip_nulls=True)
    return {"mean": _mean(column), **dict(zip(_QUANTILES, quantiles.to_pylist(), strict=True))}


def supports(statistic: str, count: int) -> bool:
    """Whether so many values can back a statistic at all.

    A percentile p has an upper confidence limit of 95 % only where the largest of n values lies
    above it with that probability, ``1 - p**n >= 0.95`` (Wilks, "Determination of Sample Sizes
    for Setting Tolerance Limits", 1941): p50 needs 5 values, p90 29, p95 59, p99 299. A mean
    needs 2, below which nothing is known of its spread.
    """
    if statistic not in _QUANTILES:
        return count >= _FEWEST_FOR_A_MEAN
    return 1 - _QUANTILES[statistic] ** count >= _BACKED


@dataclass(frozen=True, slots=True)
class _CutShare:
    """What the requests that were cut had received by the end of the level."""

    output_tokens: float
    input_tokens: float | None
    """Of those whose prompt had been read; None where prompts' lengths are unknown."""


def _cut_share(completed: pa.Table, cut: pa.Table) -> _CutShare | None:
    """None where it is unknown of any of them."""
    if cut["ended_s"].null_count or cut["output_chunks"].null_count:
        return None
    chunks = pc.sum(cut["output_chunks"]).as_py() or 0
    read = pc.sum(pc.greater(cut["output_chunks"], 0)).as_py() or 0
    length = _mean(completed["input_tokens"]) if read else 0.0
    return _CutShare(
        output_tokens=chunks * _tokens_per_chunk(completed),
        input_tokens=None if length is None else read * length,
    )


def _tokens_per_chunk(completed: pa.Table) -> float:
    """Of the completed requests; servers may send several tokens at once."""
    counted = completed.filter(
        pc.and_(pc.is_valid(completed["output_tokens"]), pc.is_valid(completed["output_chunks"]))
    )
    chunks = pc.sum(counted["output_chunks"]).as_py()
    return pc.sum(counted["output_tokens"]).as_py() / chunks if chunks else 1.0


def _duration_s(requests: pa.Table, completed: pa.Table, *, with_cut: bool) -> float | None:
    ends = requests if with_cut else requests.filter(pc.not_equal(requests["status"], "cut"))
    last_end: float | None = pc.max(ends["ended_s"]).as_py()
    # Without the end of a completed request the level might be longer than it looks.
    if last_end is None or completed["ended_s"].null_count or requests["started_s"].null_count:
        return None
    return max(0.0, last_end - float(pc.min(requests["started_s"]).as_py()))


def _short(completed: pa.Table) -> int | None:
    """Completed requests that gave fewer tokens than they were asked for."""
    if completed["output_tokens_asked"].null_count == completed.num_rows:
        return None
    short = pc.less(completed["output_tokens"], completed["output_tokens_asked"])
    return pc.sum(short).as_py() or 0


def _throughputs(
    completed: pa.Table, cut: _CutShare | None, duration_s: Number, gpus: int
) -> dict[str, Number]:
    cut = cut or _CutShare(0.0, 0.0)
    output_tokens = _plus(_total(completed["output_tokens"]), cut.output_tokens)
    input_tokens = _plus(_total(completed["input_tokens"]), cut.input_tokens)
    output_tok_s = _per(output_tokens, duration_s)
    return {
        "output_throughput_tok_s": output_tok_s,
        "total_throughput_tok_s": _per(_plus(output_tokens, input_tokens), duration_s),
        "output_throughput_tok_s_per_gpu": _per(output_tok_s, gpus),
        "requests_per_s": _per(completed.num_rows, duration_s),
    }


def _total(column: pa.ChunkedArray) -> int | None:
    # One unknown count makes the sum unknown; skipping it would understate the throughput.
    if column.null_count:
        return None
    return int(pc.sum(column).as_py() or 0)


def _plus(one: Number, other: Number) -> Number:
    return None if one is None or other is None else one + other


def _per(amount: Number, divisor: Number) -> float | None:
    return amount / divisor if amount is not None and divisor else None


def _mean(column: pa.ChunkedArray) -> float | None:
    values = column.drop_null()
    # fsum rounds once, so that the order of the rows cannot change the result.
    return math.fsum(values.to_numpy().tolist()) / len(values) if len(values) else None

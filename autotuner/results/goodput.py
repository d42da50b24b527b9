"""Goodput and tokens per dollar of a level: numbers that depend on how the study is judged.

Goodput counts the completed requests that keep every limit of `Judging.request_slos`::

    goodput_share          = goodput_requests / (completed + failed requests)
    goodput_requests_per_s = goodput_requests / duration_s
    output_tokens_per_usd  = output_throughput_tok_s * 3600 / (usd_per_gpu_hour * gpus)

They are stored with the level, and computed anew where the study has other limits or another
price by now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from autotuner.results.levels import LevelResult, RequestStatus
from autotuner.spec.judging import Judging, RequestSlo

__all__ = [
    "GOODPUT_COLUMNS",
    "REQUEST_COLUMNS",
    "goodput",
    "slos_text",
    "tokens_per_usd",
    "with_goodput",
]

GOODPUT_COLUMNS = ("request_slos", "goodput_requests", "goodput_share", "goodput_requests_per_s")
REQUEST_COLUMNS = ("status", "ttft_s", "tpot_s", "e2e_latency_s", "output_tokens")
"""Columns of the request rows that goodput is computed from."""

_SECONDS_PER_HOUR = 3600


def slos_text(slos: Sequence[RequestSlo]) -> str | None:
    """The limits as the level rows name them, e.g. ``ttft_s<=0.5; tpot_s<=0.05``."""
    return "; ".join(f"{slo.metric}<={slo.limit_s:.12g}" for slo in slos) or None


def with_goodput(result: LevelResult, judging: Judging, gpus: int) -> LevelResult:
    """The level with the columns that depend on the study's limits and price."""
    usd_per_gpu_hour = judging.usd_per_gpu_hour
    throughput = result.summary.get("output_throughput_tok_s")
    per_gpu = throughput / gpus if isinstance(throughput, int | float) and gpus else None
    numbers = {
        **goodput(result.summary, result.requests, judging.request_slos),
        "output_tokens_per_usd": tokens_per_usd(per_gpu, usd_per_gpu_hour),
    }
    return replace(result, summary={**result.summary, **numbers})


def goodput(
    level: Mapping[str, object], requests: pa.Table, slos: Sequence[RequestSlo]
) -> dict[str, object]:
    """The columns `GOODPUT_COLUMNS` of a level.

    Args:
        level: Its row of schema `LEVELS`.
        requests: Its request rows, at least with `REQUEST_COLUMNS`.

    A request that did not complete keeps no limit. One with a single output token has no TPOT and
    keeps any limit on it; any other missing number keeps none. All is None without limits and
    for a level that was not measured.
    """
    values: dict[str, object] = dict.fromkeys(GOODPUT_COLUMNS)
    finished, duration_s = level.get("requests"), level.get("duration_s")
    values["request_slos"] = slos_text(slos)
    if not slos or not isinstance(finished, int):
        return values
    good = pc.equal(requests["status"], RequestStatus.COMPLETED.value)
    for slo in slos:
        good = pc.and_(good, _keeps(requests, slo))
    count = pc.sum(good).as_py() or 0
    values["goodput_requests"] = count
    values["goodput_share"] = count / finished if finished else None
    if isinstance(duration_s, int | float) and duration_s:
        values["goodput_requests_per_s"] = count / duration_s
    return values


def tokens_per_usd(
    output_throughput_tok_s_per_gpu: float | None, usd_per_gpu_hour: float | None
) -> float | None:
    """Output tokens for one dollar; None without a price, and without GPUs."""
    if output_throughput_tok_s_per_gpu is None or not usd_per_gpu_hour:
        return None
    return output_throughput_tok_s_per_gpu * _SECONDS_PER_HOUR / usd_per_gpu_hour


def _keeps(requests: pa.Table, slo: RequestSlo) -> pa.ChunkedArray:
    kept = pc.fill_null(pc.less_equal(requests[slo.metric], slo.limit_s), False)
    if slo.metric != "tpot_s":
        return kept
    one_token = pc.fill_null(pc.less(requests["output_tokens"], 2), False)
    return pc.or_(kept, pc.and_(pc.is_null(requests["tpot_s"]), one_token))

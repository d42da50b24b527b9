"""The rows of a level, made of what the load generator saw of its requests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime

from autotuner.results.levels import LevelResult, LevelStatus, RequestRecord, RequestStatus
from autotuner.results.node_cpus import NodeCpus
from autotuner.results.schema import REQUESTS, table_of
from autotuner.results.summary import summarize
from autotuner.spec.experiment import Attempt
from autotuner.spec.workload import Level

__all__ = ["level_result", "not_measured", "skipped", "tpot_s"]

_SHOWN_ERROR_CHARS = 200
_JUDGED = (
    "output_tokens_per_usd",
    "request_slos",
    "goodput_requests",
    "goodput_share",
    "goodput_requests_per_s",
)
"""Columns that take the study's limits or price, and are filled in by who knows these."""
_UNWATCHED = NodeCpus(unknown="the load generator did not watch the node")


def level_result(
    level: Level,
    records: Sequence[RequestRecord],
    *,
    attempt: Attempt,
    started_at: datetime | None,
    gpus: int,
    failure: str | None,
    simulated: bool,
    max_error_rate: float = 0.0,
    client_cpu_s: Sequence[float] = (),
    duration_s: float | None = None,
    cpus: NodeCpus | None = None,
) -> LevelResult:
    """Build the rows of a level that was loaded.

    The level is failed when ``failure`` says so, when no request completed, or when more
    than ``max_error_rate`` (a fraction) of the finished requests failed.

    Args:
        started_at: Wall-clock time of the first request, with a time zone.
        failure: One sentence by whoever ran the level, or None.
        client_cpu_s: CPU seconds of each process of the load generator during the level; empty
            where unknown.
        duration_s: Length of the level, where the records have no times; see `summarize`.
        cpus: Who used the node's CPUs meanwhile; None where nobody looked.
    """
    keys = _keys(level, attempt)
    rows = [keys | _request_row(record) for record in records]
    requests = table_of(rows, REQUESTS)
    numbers = summarize(requests, gpus=gpus, client_cpu_s=client_cpu_s, duration_s=duration_s)
    error_rate = numbers["error_rate"]
    reason = failure
    if reason is None and not numbers["requests_completed"]:
        reason = _nothing_completed(records)
    if reason is None and error_rate is not None and error_rate > max_error_rate:
        reason = _failed_requests(records)
    status = LevelStatus.OK if reason is None else LevelStatus.FAILED
    state = {
        "status": status.value,
        "reason": reason,
        "started_at": started_at,
        "simulated": simulated,
        **(cpus or _UNWATCHED).columns,
        **dict.fromkeys(_JUDGED),
    }
    return LevelResult(level, status, reason, requests, {**keys, **state, **numbers})


def not_measured(
    level: Level, attempt: Attempt, reason: str, *, simulated: bool = False
) -> LevelResult:
    """Build the row of an expected level that has no measurement; all its numbers are null."""
    return _without_numbers(level, attempt, LevelStatus.NOT_MEASURED, reason, simulated)


def skipped(level: Level, attempt: Attempt, reason: str, *, simulated: bool = False) -> LevelResult:
    """Build the row of a level that was not worth its time; all its numbers are null."""
    return _without_numbers(level, attempt, LevelStatus.SKIPPED, reason, simulated)


def _without_numbers(
    level: Level, attempt: Attempt, status: LevelStatus, reason: str, simulated: bool
) -> LevelResult:
    state = {"status": status.value, "reason": reason, "simulated": simulated}
    return LevelResult(
        level, status, reason, table_of([], REQUESTS), {**_keys(level, attempt), **state}
    )


def tpot_s(
    ttft_s: float | None, e2e_latency_s: float | None, output_tokens: int | None
) -> float | None:
    """Time per output token after the first, in seconds.

    ``(e2e_latency_s - ttft_s) / (output_tokens - 1)``; None below 2 output tokens or where a
    term is missing.
    """
    if ttft_s is None or e2e_latency_s is None or output_tokens is None or output_tokens < 2:
        return None
    return (e2e_latency_s - ttft_s) / (output_tokens - 1)


def _keys(level: Level, attempt: Attempt) -> dict[str, object]:
    return {
        "experiment_id": attempt.experiment.id,
        "attempt_id": attempt.id,
        "workload": level.workload,
        "scenario": level.scenario,
        "concurrency": level.concurrency,
        "repeat": level.repeat,
    }


def _request_row(record: RequestRecord) -> dict[str, object]:
    row: dict[str, object] = {
        "request_index": record.request_index,
        "status": RequestStatus(record.status).value,
        "started_s": record.started_s,
        "ended_s": _ended_s(record),
        "output_tokens_asked": record.output_tokens_asked,
        "error_code": record.error_code,
        "error_message": record.error_message,
    }
    if record.status == RequestStatus.COMPLETED:
        row |= _measurements(record)
    if record.status != RequestStatus.FAILED:
        row["output_chunks"] = record.output_chunks
    return row


def _measurements(record: RequestRecord) -> dict[str, object]:
    ttft, e2e = _finite(record.ttft_s), _finite(record.e2e_latency_s)
    tokens = record.output_tokens
    tpot = _finite(record.tpot_s)
    if tpot is None or tokens is None or tokens < 2:
        tpot = tpot_s(ttft, e2e, tokens)
    return {
        "ttft_s": ttft,
        "tpot_s": tpot,
        "e2e_latency_s": e2e,
        "itl_s": record.itl_s,
        "input_tokens": record.input_tokens,
        "output_tokens": tokens,
        "reasoning_tokens": record.reasoning_tokens,
    }


def _ended_s(record: RequestRecord) -> float | None:
    ended_s = _finite(record.ended_s)
    if ended_s is not None or record.status == RequestStatus.CUT:
        return ended_s
    latency_s = _finite(record.e2e_latency_s)
    if record.started_s is None:
        return None
    if latency_s is None:
        return record.started_s if record.status == RequestStatus.FAILED else None
    return record.started_s + latency_s


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _nothing_completed(records: Sequence[RequestRecord]) -> str:
    if not records:
        return "the level ended without a single request"
    if any(record.status == RequestStatus.FAILED for record in records):
        return f"no request completed: {_failed_requests(records)}"
    return f"the level ended before any request finished ({len(records)} still in flight)"


def _failed_requests(records: Iterable[RequestRecord]) -> str:
    finished = [record for record in records if record.status != RequestStatus.CUT]
    failed = [record for record in finished if record.status == RequestStatus.FAILED]
    first = min(failed, key=lambda record: record.request_index)
    share = 100 * len(failed) / len(finished)
    words = [str(first.error_code or ""), *(first.error_message or "").split()]
    error = " ".join(word for word in words if word)[:_SHOWN_ERROR_CHARS] or "no message"
    return f"{len(failed)} of {len(finished)} requests failed ({share:.1f} %), first error: {error}"

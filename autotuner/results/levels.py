"""One measured level as a value: its request rows and its one summary row.

`autotuner.results.level_rows` makes the rows. That takes pyarrow and its functions, and these
values do not: an attempt's process needs them before its server starts, while devices are idle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from autotuner.spec.workload import Level

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LevelResult", "LevelStatus", "RequestRecord", "RequestStatus"]


class RequestStatus(StrEnum):
    """How a request ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CUT = "cut"
    """Still in flight when the level ended; neither a success nor an error."""


class LevelStatus(StrEnum):
    """Whether a level's numbers may be used."""

    OK = "ok"
    FAILED = "failed"
    """Loaded, but without a valid measurement; numbers, where present, are for diagnosis."""
    NOT_MEASURED = "not_measured"
    """Expected and never loaded, or lost."""
    SKIPPED = "skipped"
    """Never loaded, since the levels before showed that it is not worth it."""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request as the load generator saw it.

    Latencies and token counts of a request that did not complete are not stored, except for the
    chunks that a cut one had received.
    """

    request_index: int
    """Order of start within the level, from 0; of end, where no start is known."""
    status: RequestStatus
    started_s: float | None
    """Seconds since the level's first request start; None where nobody recorded it."""
    ttft_s: float | None = None
    tpot_s: float | None = None
    """None: computed from the other fields, see `autotuner.results.level_rows.tpot_s`."""
    e2e_latency_s: float | None = None
    """Seconds from start to end; of a failed request it serves to know when it ended."""
    itl_s: Sequence[float] | None = None
    """Seconds between one chunk of text and the next; None where nobody listened."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_asked: int | None = None
    """The limit that the request was sent with; None where it had none."""
    output_chunks: int | None = None
    """Pieces of the answer that came with text in them; of a cut request, those so far."""
    reasoning_tokens: int | None = None
    error_code: int | None = None
    error_message: str | None = None
    ended_s: float | None = None
    """Same clock as ``started_s``; of a cut request, when it was cut. None, unless cut:
    ``started_s + e2e_latency_s``. A failed request without a latency counts as ended at its
    start, a lower bound."""


@dataclass(frozen=True, slots=True)
class LevelResult:
    """What came out of one expected level of an attempt."""

    level: Level
    status: LevelStatus
    reason: str | None
    """Why the level is not ok; None when it is."""
    requests: pa.Table
    """Rows of schema `REQUESTS`, in one chunk; empty for a level that was not measured."""
    summary: Mapping[str, object]
    """The row of schema `LEVELS`."""

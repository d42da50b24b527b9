"""The Arrow schemas of the three row kinds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import pyarrow as pa

from autotuner.results.parameter_columns import ParameterColumn
from autotuner.spec.objective import STATISTICS

__all__ = [
    "ADDED_COLUMNS",
    "DISTRIBUTIONS",
    "GPU_TIME_SHARES",
    "LEVELS",
    "READABLE_VERSIONS",
    "REQUESTS",
    "SCHEMA_VERSION",
    "VERSION_KEY",
    "experiments_schema",
    "file_schema",
    "table_of",
]

# 1: requests, levels and experiments as below.
# 2: experiments have slot_fault, swept and seconds_postflight.
# 3: requests have itl_s, output_chunks and output_tokens_asked, and cut ones an end; levels have
#    counts, ITL, goodput, tokens per dollar and the load generator's CPU share; experiments have
#    purpose, is_baseline, neighbours_mean and gpu_driver.
# 4: experiments have image, image_id and server_node.
# 5: experiments have nodes, hosts, gpus_reserved, compile_cache, seconds_reserved, seconds_idle and
#    gpu_seconds_*.
# 6: levels have node_cpus, own_cpus, foreign_cpus and foreign_cpus_unknown; experiments have
#    levels_end.
SCHEMA_VERSION = 6
READABLE_VERSIONS = (3, 4, 5, 6)
"""Rows of older ones lack columns, which are null then."""
GPU_TIME_SHARES = ("start", "warmup", "load", "overhead", "idle")
"""What reserved time goes to; each second to one of them."""
ADDED_COLUMNS: Mapping[int, frozenset[str]] = {
    4: frozenset({"image", "image_id", "server_node"}),
    5: frozenset(
        {
            *("nodes", "hosts", "gpus_reserved", "compile_cache"),
            *("seconds_reserved", "seconds_idle", "gpu_seconds_reserved"),
            *(f"gpu_seconds_{share}" for share in GPU_TIME_SHARES),
        }
    ),
    6: frozenset({"levels_end", "node_cpus", "own_cpus", "foreign_cpus", "foreign_cpus_unknown"}),
}
"""Columns by the readable version that brought them."""
VERSION_KEY = b"autotuner.schema_version"

DISTRIBUTIONS = ("ttft_s", "tpot_s", "itl_s", "e2e_latency_s")
"""Columns of the request rows that a level row summarises with each of `STATISTICS`."""

_UTC_US = pa.timestamp("us", tz="UTC")

_IDS = [
    pa.field("experiment_id", pa.string(), nullable=False),
    pa.field("attempt_id", pa.string(), nullable=False),
]
_LEVEL = [
    pa.field("workload", pa.string(), nullable=False),
    pa.field("scenario", pa.string(), nullable=False),
    pa.field("concurrency", pa.int32(), nullable=False),
    pa.field("repeat", pa.int32(), nullable=False),
]

REQUESTS = pa.schema(
    [
        *_IDS,
        *_LEVEL,
        pa.field("request_index", pa.int32(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("started_s", pa.float64()),
        pa.field("ended_s", pa.float64()),
        pa.field("ttft_s", pa.float64()),
        pa.field("tpot_s", pa.float64()),
        pa.field("e2e_latency_s", pa.float64()),
        # Parquet calls a list's items "element"; with Arrow's "item" a file would not read back
        # equal.
        pa.field("itl_s", pa.list_(pa.field("element", pa.float32()))),
        pa.field("input_tokens", pa.int32()),
        pa.field("output_tokens", pa.int32()),
        pa.field("output_tokens_asked", pa.int32()),
        pa.field("output_chunks", pa.int32()),
        pa.field("reasoning_tokens", pa.int32()),
        pa.field("error_code", pa.int32()),
        pa.field("error_message", pa.string()),
    ]
)
"""One row per request, in order of start within its level; of end, where no start is known.

``status`` is ``completed``, ``failed`` or ``cut`` (still in flight when the level ended).
``started_s`` and ``ended_s`` count from the level's first request start, and are null where the
load generator keeps no times. ``ended_s`` of a cut request is when it was cut, null where nobody
recorded it; of a failed one whose end nobody recorded it is a lower bound. Latencies and token
counts are null unless completed.
``tpot_s = (e2e_latency_s - ttft_s) / (output_tokens - 1)``, null below 2 output tokens.
``itl_s`` are the gaps between the arrivals of one chunk with text and the next, null where nobody
listened. ``output_chunks`` counts these chunks, also those that a cut request had received.
``output_tokens_asked`` is the limit that the request was sent with, null where it had none.
"""

LEVELS = pa.schema(
    [
        *_IDS,
        *_LEVEL,
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("started_at", _UTC_US),
        pa.field("duration_s", pa.float64()),
        pa.field("requests", pa.int32()),
        pa.field("requests_completed", pa.int32()),
        pa.field("requests_failed", pa.int32()),
        pa.field("requests_cut", pa.int32()),
        pa.field("requests_short", pa.int32()),
        pa.field("error_rate", pa.float64()),
        pa.field("input_tokens_mean", pa.float64()),
        pa.field("output_tokens_mean", pa.float64()),
        pa.field("output_tokens_cut", pa.float64()),
        pa.field("output_throughput_tok_s", pa.float64()),
        pa.field("total_throughput_tok_s", pa.float64()),
        pa.field("output_throughput_tok_s_per_gpu", pa.float64()),
        pa.field("output_tokens_per_usd", pa.float64()),
        pa.field("requests_per_s", pa.float64()),
        pa.field("request_slos", pa.string()),
        pa.field("goodput_requests", pa.int32()),
        pa.field("goodput_share", pa.float64()),
        pa.field("goodput_requests_per_s", pa.float64()),
        *(pa.field(f"{name}_count", pa.int64()) for name in DISTRIBUTIONS),
        *(pa.field(f"{name}_{s}", pa.float64()) for name in DISTRIBUTIONS for s in STATISTICS),
        pa.field("client_processes", pa.int32()),
        pa.field("client_cpu_share", pa.float64()),
        pa.field("node_cpus", pa.int32()),
        pa.field("own_cpus", pa.float64()),
        pa.field("foreign_cpus", pa.float64()),
        pa.field("foreign_cpus_unknown", pa.string()),
        pa.field("simulated", pa.bool_(), nullable=False),
    ]
)
"""One row per expected level of an attempt, measured or not.

``status`` is ``ok``, ``failed``, ``not_measured``, or ``skipped`` where the levels before showed
that it is not worth its time; ``reason`` is null when ok.
``duration_s`` runs from the first request start to the last end of any request; where the load
generator keeps no times of requests, it is the length of the level that it tells, and nothing is
known of cut requests: their columns are null, and throughputs are lower bounds. ``requests`` counts
completed and failed ones, ``error_rate`` is failed / requests. ``requests_short`` counts completed
ones with fewer output tokens than asked for, null where no limit is known.

Throughputs are over ``duration_s``, of the tokens of completed requests and of what cut ones had
received: ``output_tokens_cut``, their chunks times the tokens per chunk of the completed ones, and
the completed ones' mean prompt for each cut one that had a first token. Where that is not known
of every cut request, ``output_tokens_cut`` is null, and ``duration_s`` ends with the last
completed or failed request. ``requests_per_s`` is of completed requests alone.

Latencies are of completed requests alone, ``*_count`` values each; ITL is over the gaps of all
requests. Percentiles interpolate linearly, as numpy does. ``client_cpu_share`` is the CPU time of
the load generator's busiest process over ``duration_s``: near 1, the load generator was what
limited the numbers. ``own_cpus`` and ``foreign_cpus`` are CPUs in use on the load's node by the
attempt and by others, see `autotuner.results.node_cpus`; where they are null,
``foreign_cpus_unknown`` says why. ``request_slos``, ``goodput_*`` and ``output_tokens_per_usd``
are those of the study's limits and price, see `autotuner.results.goodput`.

Every number is null where there is nothing to compute it from; all of them, the counts too, are
null for a level that was not measured, or skipped.
"""

_EXPERIMENT = [
    pa.field("schema_version", pa.int32(), nullable=False),
    pa.field("study_id", pa.string(), nullable=False),
    pa.field("study", pa.string(), nullable=False),
    *_IDS,
    pa.field("attempt", pa.int32(), nullable=False),
    pa.field("label", pa.string(), nullable=False),
    pa.field("is_baseline", pa.bool_(), nullable=False),
    pa.field("purpose", pa.string(), nullable=False),
    pa.field("outcome", pa.string(), nullable=False),
    pa.field("failure_kind", pa.string()),
    pa.field("failure_phase", pa.string()),
    pa.field("failure_message", pa.string()),
    pa.field("evidence", pa.string()),
    pa.field("engine", pa.string(), nullable=False),
    pa.field("engine_version", pa.string()),
    pa.field("model", pa.string(), nullable=False),
    pa.field("launcher", pa.string(), nullable=False),
    pa.field("command", pa.string()),
    pa.field("image", pa.string()),
    pa.field("image_id", pa.string()),
    pa.field("simulated", pa.bool_(), nullable=False),
    pa.field("bench", pa.string()),
    pa.field("bench_version", pa.string()),
    pa.field("node_id", pa.string()),
    pa.field("host", pa.string()),
    pa.field("server_node", pa.string()),
    pa.field("nodes", pa.int32()),
    pa.field("hosts", pa.list_(pa.field("element", pa.string()))),
    pa.field("gpus", pa.int32(), nullable=False),
    pa.field("gpus_reserved", pa.int32()),
    pa.field("gpu_ids", pa.list_(pa.field("element", pa.string()))),
    pa.field("gpu_model", pa.string()),
    pa.field("gpu_driver", pa.string()),
    pa.field("cpu_reserve", pa.int32(), nullable=False),
    pa.field("cpus_server", pa.string()),
    pa.field("cpus_load", pa.string()),
    pa.field("nice", pa.int32()),
    pa.field("oom_score_adj", pa.int32()),
    pa.field("omp_num_threads", pa.string()),
    pa.field("compile_cache", pa.string()),
    pa.field("concurrent_attempts", pa.int32()),
    pa.field("neighbours_mean", pa.float64()),
    pa.field("swept", pa.string()),
    pa.field("slot_fault", pa.string()),
    pa.field("started_at", _UTC_US),
    pa.field("ended_at", _UTC_US),
    pa.field("levels_end", pa.string()),
    pa.field("seconds_actor_start", pa.float64()),
    pa.field("seconds_preflight", pa.float64()),
    pa.field("seconds_server_start", pa.float64()),
    pa.field("seconds_warmup", pa.float64()),
    pa.field("seconds_load", pa.float64()),
    pa.field("seconds_bench_overhead", pa.float64()),
    pa.field("seconds_stop", pa.float64()),
    pa.field("seconds_postflight", pa.float64()),
    pa.field("seconds_reserved", pa.float64()),
    pa.field("seconds_idle", pa.float64()),
    pa.field("gpu_seconds_reserved", pa.float64()),
    *(pa.field(f"gpu_seconds_{share}", pa.float64()) for share in GPU_TIME_SHARES),
]


def experiments_schema(parameters: Iterable[ParameterColumn]) -> pa.Schema:
    """Schema of the experiment rows: one per attempt, ended by one column per parameter.

    ``outcome`` is ``completed``, ``pruned``, ``failed`` or ``cancelled``; ``failure_message`` says
    why it did not complete; ``command`` is shell-quoted;
    CPU sets read ``0-3,8``; ``seconds_*`` are durations in seconds, null where not reached.
    ``image`` is a container's image by name and ``image_id`` what that name meant, its digest;
    ``server_node`` is the node of a Kubernetes cluster, where ``host`` is that of the load;
    ``hosts`` are all nodes of the slot in order of rank, beginning with ``host``; ``levels_end`` is
    why a plan of levels measured no more of them. ``gpu_seconds_*``
    are GPUs times seconds, see `autotuner.results.gpu_time`.
    """
    return pa.schema([*_EXPERIMENT, *(column.field for column in parameters)])


def file_schema(schema: pa.Schema, study_id: str) -> pa.Schema:
    """The schema with the metadata that every Parquet file of the study carries."""
    return schema.with_metadata({VERSION_KEY: str(SCHEMA_VERSION), "autotuner.study_id": study_id})


def table_of(rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> pa.Table:
    """Rows as a table of exactly this schema, in one chunk; absent columns become null.

    Raises:
        ValueError: for an unknown column, a null where the schema allows none, a number that
            is not finite, or a time without a zone.
    """
    for row in rows:
        if unknown := sorted(set(row) - set(schema.names)):
            raise ValueError(f"no such columns: {', '.join(unknown)}")
        for field in schema:
            _check_value(field, row.get(field.name))
    return pa.Table.from_pylist(list(rows), schema=schema).combine_chunks()


def _check_value(field: pa.Field, value: object) -> None:
    if value is None and not field.nullable:
        raise ValueError(f"column {field.name!r} must not be null")
    numbers = value if isinstance(value, list | tuple) else [value]
    for number in numbers:
        if isinstance(number, float) and not math.isfinite(number):
            raise ValueError(f"column {field.name!r} holds {number}; a missing number is null")
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError(f"column {field.name!r} holds a time without a zone")

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotuner.results.schema import DISTRIBUTIONS, REQUESTS
from autotuner.results.summary import distribution, summarize
from autotuner.spec.objective import STATISTICS

KEYS = {
    "experiment_id": "e",
    "attempt_id": "e-a1",
    "workload": "chat",
    "scenario": "D(1,1)",
    "concurrency": 1,
    "repeat": 0,
}


def rows(*requests: dict[str, object]) -> pa.Table:
    filled = [{**KEYS, "request_index": i, **request} for i, request in enumerate(requests)]
    return pa.Table.from_pylist(filled, schema=REQUESTS)


def completed(start: float, end: float, **extra: object) -> dict[str, object]:
    return {
        "status": "completed",
        "started_s": start,
        "ended_s": end,
        "ttft_s": (end - start) / 2,
        "e2e_latency_s": end - start,
        "input_tokens": 100,
        "output_tokens": 10,
        **extra,
    }


def failed(start: float, end: float) -> dict[str, object]:
    return {"status": "failed", "started_s": start, "ended_s": end}


def cut(start: float) -> dict[str, object]:
    return {"status": "cut", "started_s": start}


def test_counts_and_error_rate_leave_cut_requests_out() -> None:
    numbers = summarize(rows(completed(0, 1), completed(0, 2), failed(0, 1), cut(2)), gpus=1)
    assert numbers["requests"] == 3
    assert numbers["requests_completed"] == 2
    assert numbers["requests_failed"] == 1
    assert numbers["requests_cut"] == 1
    assert numbers["error_rate"] == pytest.approx(1 / 3)


def test_duration_runs_from_the_first_start_to_the_last_finished_end() -> None:
    table = rows(cut(0.0), completed(0.5, 2), failed(1, 4), cut(3))
    assert summarize(table, gpus=1)["duration_s"] == 4.0


def test_throughputs_are_of_completed_requests_over_the_duration() -> None:
    numbers = summarize(rows(completed(0, 1), completed(1, 2), failed(0, 4)), gpus=2)
    assert numbers["output_throughput_tok_s"] == 20 / 4
    assert numbers["total_throughput_tok_s"] == 220 / 4
    assert numbers["output_throughput_tok_s_per_gpu"] == 20 / 4 / 2
    assert numbers["requests_per_s"] == 2 / 4


def test_failed_requests_never_enter_latencies() -> None:
    fast_failure = {**failed(0, 0.001), "ttft_s": 0.001, "e2e_latency_s": 0.001}
    numbers = summarize(rows(completed(0, 2), fast_failure), gpus=1)
    assert numbers["e2e_latency_s_mean"] == 2.0
    assert numbers["ttft_s_p50"] == 1.0


def test_throughput_per_gpu_is_null_without_gpus() -> None:
    numbers = summarize(rows(completed(0, 1)), gpus=0)
    assert numbers["output_throughput_tok_s_per_gpu"] is None
    assert numbers["output_throughput_tok_s"] == 10.0


def test_a_level_without_requests_has_counts_of_zero_and_no_other_number() -> None:
    numbers = summarize(rows(), gpus=1)
    counts = {name: value for name, value in numbers.items() if value is not None}
    of_requests = ("requests", "requests_completed", "requests_failed", "requests_cut")
    of_values = tuple(f"{name}_count" for name in DISTRIBUTIONS)
    assert counts == dict.fromkeys((*of_requests, *of_values, "output_tokens_cut"), 0)


def test_cut_requests_alone_give_no_duration_and_no_error_rate() -> None:
    numbers = summarize(rows(cut(0), cut(1)), gpus=1)
    assert numbers["duration_s"] is None
    assert numbers["error_rate"] is None
    assert numbers["requests_cut"] == 2


def test_without_completed_requests_every_latency_is_null() -> None:
    numbers = summarize(rows(failed(0, 1)), gpus=1)
    assert {numbers[f"{m}_{s}"] for m in DISTRIBUTIONS for s in STATISTICS} == {None}
    assert numbers["requests_per_s"] == 0.0


def test_throughput_is_null_when_the_duration_is_zero() -> None:
    numbers = summarize(rows(completed(0, 0)), gpus=1)
    assert numbers["duration_s"] == 0.0
    assert numbers["output_throughput_tok_s"] is None
    assert numbers["requests_per_s"] is None


def test_one_completed_request_is_every_statistic() -> None:
    numbers = summarize(rows(completed(0, 2)), gpus=1)
    assert {numbers[f"e2e_latency_s_{s}"] for s in STATISTICS} == {2.0}


def test_statistics_are_over_the_values_that_exist() -> None:
    numbers = summarize(rows(completed(0, 1, tpot_s=None), completed(0, 1, tpot_s=0.25)), gpus=1)
    assert numbers["tpot_s_mean"] == 0.25
    assert numbers["tpot_s_p99"] == 0.25


def test_one_unknown_token_count_makes_the_throughput_unknown() -> None:
    numbers = summarize(rows(completed(0, 1), completed(0, 1, output_tokens=None)), gpus=1)
    assert numbers["output_throughput_tok_s"] is None
    assert numbers["total_throughput_tok_s"] is None
    assert numbers["output_tokens_mean"] == 10.0


def test_one_unknown_end_of_a_completed_request_makes_the_duration_unknown() -> None:
    assert (
        summarize(rows(completed(0, 1), completed(0, 1, ended_s=None)), gpus=1)["duration_s"]
        is None
    )


latencies = st.floats(min_value=1e-4, max_value=1e4)


@given(st.lists(latencies, min_size=1, max_size=60))
def test_statistics_agree_with_numpy(values: list[float]) -> None:
    found = distribution(pa.chunked_array([values], pa.float64()))
    assert found["mean"] == pytest.approx(np.mean(values))
    for q in (50, 90, 95, 99):
        assert found[f"p{q}"] == pytest.approx(np.percentile(values, q))


@given(
    st.lists(
        st.tuples(latencies, latencies, st.sampled_from(["completed", "failed", "cut"])),
        min_size=1,
        max_size=30,
    ),
    st.randoms(use_true_random=False),
)
def test_order_of_rows_changes_nothing(
    requests: list[tuple[float, float, str]], shuffler: random.Random
) -> None:
    made = {
        "completed": lambda start, length: completed(start, start + length),
        "failed": lambda start, length: failed(start, start + length),
        "cut": lambda start, _: cut(start),
    }
    table = rows(*(made[status](start, length) for start, length, status in requests))
    order = list(range(table.num_rows))
    shuffler.shuffle(order)
    assert summarize(table.take(order), gpus=2) == summarize(table, gpus=2)

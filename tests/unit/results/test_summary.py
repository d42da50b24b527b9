from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotuner.results.schema import DISTRIBUTIONS, REQUESTS
from autotuner.results.summary import distribution, latency_statistics, summarize, supports
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


def cut(start: float, end: float | None = None, chunks: int | None = None) -> dict[str, object]:
    return {"status": "cut", "started_s": start, "ended_s": end, "output_chunks": chunks}


def test_counts_and_error_rate_leave_cut_requests_out() -> None:
    numbers = summarize(rows(completed(0, 1), completed(0, 2), failed(0, 1), cut(2)), gpus=1)
    assert numbers["requests"] == 3
    assert numbers["requests_completed"] == 2
    assert numbers["requests_failed"] == 1
    assert numbers["requests_cut"] == 1
    assert numbers["error_rate"] == pytest.approx(1 / 3)


def test_duration_runs_from_the_first_start_to_the_last_end_of_any_request() -> None:
    table = rows(cut(0.0, 5.0, 3), completed(0.5, 2), failed(1, 4), cut(3, 4.5, 0))
    assert summarize(table, gpus=1)["duration_s"] == 5.0


def test_tokens_of_cut_requests_count_for_the_throughput_and_nowhere_else() -> None:
    done = completed(0, 1, output_chunks=10)
    numbers = summarize(rows(done, cut(0, 2, 6), cut(1, 2, 0)), gpus=2)
    assert numbers["output_tokens_cut"] == 6
    assert numbers["output_throughput_tok_s"] == (10 + 6) / 2
    assert numbers["output_throughput_tok_s_per_gpu"] == (10 + 6) / 2 / 2
    # The prompt of the one without a token may not have been read.
    assert numbers["total_throughput_tok_s"] == (110 + 106) / 2
    assert numbers["requests_per_s"] == 1 / 2
    assert numbers["output_tokens_mean"] == 10
    assert numbers["e2e_latency_s_count"] == 1


def test_a_chunk_of_a_cut_request_has_as_many_tokens_as_those_of_the_completed_ones() -> None:
    several = [completed(0, 1, output_chunks=4), completed(0, 1, output_chunks=None)]
    assert summarize(rows(*several, cut(0, 1, 2)), gpus=1)["output_tokens_cut"] == 2 * 10 / 4
    assert summarize(rows(cut(0, 1, 2)), gpus=1)["output_tokens_cut"] == 2


@pytest.mark.parametrize("unknown", [cut(0), cut(0, 9.0, None), cut(0, None, 3)])
def test_where_one_cut_request_is_unknown_none_counts_and_the_level_ends_with_the_last_that_ended(
    unknown: dict[str, object],
) -> None:
    numbers = summarize(rows(completed(0, 2), cut(0, 9.0, 7), unknown), gpus=1)
    assert numbers["output_tokens_cut"] is None
    assert numbers["duration_s"] == 2.0
    assert numbers["output_throughput_tok_s"] == 10 / 2
    assert numbers["total_throughput_tok_s"] == 110 / 2


def test_without_a_completed_prompt_the_total_throughput_of_cut_requests_is_unknown() -> None:
    numbers = summarize(rows(cut(0, 1, 2)), gpus=1)
    assert numbers["output_throughput_tok_s"] == 2
    assert numbers["total_throughput_tok_s"] is None


def level_until(end: float, *, users: int, gap_s: float, tokens: int) -> pa.Table:
    """Users who send one request after another; each has a token every ``gap_s``."""
    length_s = gap_s * tokens
    made = []
    for _ in range(users):
        whole = int(end / length_s)
        made += [
            completed(i * length_s, (i + 1) * length_s, output_tokens=tokens, output_chunks=tokens)
            for i in range(whole)
        ]
        if (begun := whole * length_s) < end:
            made.append(cut(begun, end, int((end - begun) / gap_s + 1e-9)))
    return rows(*made)


@settings(deadline=None)
@given(
    end=st.floats(min_value=2.0, max_value=10.0),
    users=st.integers(min_value=1, max_value=8),
    tokens=st.integers(min_value=2, max_value=300),
)
def test_the_throughput_of_a_steady_server_does_not_depend_on_when_the_level_is_cut(
    end: float, users: int, tokens: int
) -> None:
    gap_s = 0.02
    numbers = summarize(level_until(end, users=users, gap_s=gap_s, tokens=tokens), gpus=1)
    # At most the token that was on its way is missing.
    assert numbers["duration_s"] == pytest.approx(end)
    assert numbers["output_throughput_tok_s"] == pytest.approx(users / gap_s, rel=2 * gap_s / end)


def test_many_requests_at_once_and_few_at_once_are_equal_where_the_tokens_are() -> None:
    # 16 users, 1000 tokens a second in all: at once, or two of them while the others queue.
    at_once = level_until(10.0, users=16, gap_s=0.016, tokens=300)
    queued = level_until(10.0, users=2, gap_s=0.002, tokens=300)
    waiting = rows(*(cut(0, 10.0, 0) for _ in range(14)))
    one = summarize(at_once, gpus=1)["output_throughput_tok_s"]
    other = summarize(pa.concat_tables([queued, waiting]), gpus=1)["output_throughput_tok_s"]
    assert one == pytest.approx(other, rel=0.005)


def test_answers_shorter_than_asked_for_are_counted() -> None:
    answers = [completed(0, 1, output_tokens=n, output_tokens_asked=10) for n in (9, 10, 11, 1)]
    assert summarize(rows(*answers, cut(0, 1, 3)), gpus=1)["requests_short"] == 2
    free = completed(0, 1, output_tokens=3)
    assert summarize(rows(*answers, free), gpus=1)["requests_short"] == 2
    assert summarize(rows(free), gpus=1)["requests_short"] is None


def test_the_busiest_process_of_the_load_generator_tells_its_share_of_a_core() -> None:
    table = rows(completed(0, 10), completed(1, 11))
    numbers = summarize(table, gpus=1, client_cpu_s=(2.2, 10.5, 0.1))
    assert numbers["client_processes"] == 3
    assert numbers["client_cpu_share"] == pytest.approx(10.5 / 11)
    unknown = summarize(table, gpus=1)
    assert (unknown["client_processes"], unknown["client_cpu_share"]) == (None, None)


def test_itl_is_over_the_gaps_of_all_completed_requests() -> None:
    table = rows(
        completed(0, 1, itl_s=[0.25, 0.5]),
        completed(0, 1, itl_s=[]),
        completed(0, 1),
        completed(0, 1, itl_s=[0.75]),
        {**cut(0, 1, 2), "itl_s": [9.0]},
    )
    numbers = latency_statistics(table)
    assert numbers["itl_s_count"] == 3
    assert numbers["itl_s_mean"] == 0.5
    assert numbers["itl_s_p50"] == 0.5
    assert numbers["itl_s_p99"] == pytest.approx(np.percentile([0.25, 0.5, 0.75], 99))


def test_counts_are_of_the_values_behind_each_distribution() -> None:
    numbers = latency_statistics(
        rows(completed(0, 1, tpot_s=0.5), completed(0, 1, ttft_s=None), failed(0, 1), cut(0))
    )
    counts = [numbers[f"{name}_count"] for name in ("ttft_s", "tpot_s", "e2e_latency_s")]
    assert counts == [1, 1, 2]


def test_pooled_levels_have_the_percentiles_of_their_requests_not_of_their_percentiles() -> None:
    one = rows(*(completed(0, 1, itl_s=[0.5]) for _ in range(99)))
    other = rows(completed(0, 100, itl_s=[8.0, 8.0]))
    pooled = latency_statistics(pa.concat_tables([one, other]))
    assert pooled["e2e_latency_s_p50"] == 1.0
    assert pooled["e2e_latency_s_count"] == 100
    assert pooled["itl_s_mean"] == pytest.approx((99 * 0.5 + 16) / 101)


@pytest.mark.parametrize(
    ("statistic", "needed"), [("mean", 2), ("p50", 5), ("p90", 29), ("p95", 59), ("p99", 299)]
)
def test_a_statistic_is_supported_from_so_many_values_on(statistic: str, needed: int) -> None:
    assert supports(statistic, needed)
    assert not supports(statistic, needed - 1)
    assert not supports(statistic, 0)


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


@settings(deadline=None)
@given(st.lists(latencies, min_size=1, max_size=60))
def test_statistics_agree_with_numpy(values: list[float]) -> None:
    found = distribution(pa.chunked_array([values], pa.float64()))
    assert found["mean"] == pytest.approx(np.mean(values))
    for q in (50, 90, 95, 99):
        assert found[f"p{q}"] == pytest.approx(np.percentile(values, q))


@settings(deadline=None)
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
        "cut": lambda start, length: cut(start, start + length, int(length) % 7),
    }
    table = rows(*(made[status](start, length) for start, length, status in requests))
    order = list(range(table.num_rows))
    shuffler.shuffle(order)
    assert summarize(table.take(order), gpus=2) == summarize(table, gpus=2)


def timeless(status: str = "completed", **extra: object) -> dict[str, object]:
    known = completed(0, 1, **extra) if status == "completed" else failed(0, 1)
    return {**known, "started_s": None, "ended_s": None}


def test_requests_without_times_need_to_be_told_how_long_the_level_was() -> None:
    table = rows(timeless(), timeless("failed"), timeless())
    assert summarize(table, gpus=1)["output_throughput_tok_s"] is None
    numbers = summarize(table, gpus=1, duration_s=40.0)
    assert numbers["duration_s"] == 40.0
    assert numbers["output_throughput_tok_s"] == 20 / 40
    assert numbers["requests_per_s"] == 2 / 40
    assert numbers["e2e_latency_s_count"] == 2


def test_where_the_length_is_told_nothing_is_known_of_requests_that_were_cut() -> None:
    numbers = summarize(rows(timeless()), gpus=1, duration_s=40.0)
    assert (numbers["requests_cut"], numbers["output_tokens_cut"]) == (None, None)


def test_one_start_that_is_missing_makes_the_duration_unknown() -> None:
    table = rows(completed(0, 1), {**completed(1, 3), "started_s": None})
    assert summarize(table, gpus=1)["duration_s"] is None

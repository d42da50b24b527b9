from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pytest

from autotuner.results.goodput import with_goodput
from autotuner.results.level_rows import level_result, not_measured
from autotuner.results.levels import LevelResult, RequestRecord, RequestStatus
from autotuner.results.pooling import POOLED, pool
from autotuner.spec.experiment import Attempt
from autotuner.spec.judging import Judging, RequestSlo
from autotuner.spec.objective import Direction, Objective
from autotuner.spec.workload import Level

JUDGING = Judging(
    Objective("t", "output_throughput_tok_s", Direction.MAXIMIZE),
    request_slos=(RequestSlo("ttft_s", 0.5),),
    usd_per_gpu_hour=3.6,
)

Measure = Callable[..., LevelResult]


@pytest.fixture
def measured(attempt: Attempt, level: Level) -> Measure:
    """A level with these TTFTs, one request after the other, each with so many tokens."""

    def build(
        *ttfts_s: float, tokens: int = 10, failed: int = 0, failure: str | None = None
    ) -> LevelResult:
        records = [
            RequestRecord(
                index,
                RequestStatus.COMPLETED,
                started_s=float(index),
                ttft_s=ttft_s,
                e2e_latency_s=1.0,
                input_tokens=100,
                output_tokens=tokens,
            )
            for index, ttft_s in enumerate(ttfts_s)
        ]
        records += [
            RequestRecord(len(ttfts_s) + index, RequestStatus.FAILED, 0.0, error_code=500)
            for index in range(failed)
        ]
        result = level_result(
            level,
            records,
            attempt=attempt,
            started_at=None,
            gpus=2,
            failure=failure,
            simulated=False,
            max_error_rate=1.0,
        )
        return with_goodput(result, JUDGING, gpus=2)

    return build


def pooled(*results: LevelResult) -> Mapping[str, object]:
    row = pool(
        [result.summary for result in results],
        lambda: pa.concat_tables(result.requests for result in results),
    )
    pa.Table.from_pylist([dict(row)], schema=POOLED)
    return row


def test_one_measurement_is_taken_as_it_is_without_its_requests(measured: Measure) -> None:
    def never() -> pa.Table:
        raise AssertionError

    summary = measured(0.1, 0.2).summary
    row = pool([summary], never)
    assert row["measurements"] == 1
    assert {name: row[name] for name in summary if name != "attempt_id"} == {
        name: value for name, value in summary.items() if name != "attempt_id"
    }


def test_counts_add_up_and_the_error_rate_is_of_all_requests(measured: Measure) -> None:
    row = pooled(measured(0.1, 0.2, 0.3, failed=1), measured(0.1))
    assert row["measurements"] == 2
    assert (row["requests"], row["requests_completed"], row["requests_failed"]) == (5, 4, 1)
    assert row["duration_s"] == pytest.approx(3 + 1)
    # Not the mean of 1/4 and 0.
    assert row["error_rate"] == pytest.approx(1 / 5)


def test_rates_are_those_of_one_long_measurement(measured: Measure) -> None:
    row = pooled(measured(0.1, 0.2, 0.3, tokens=10), measured(0.1, tokens=50))
    # Not the mean of 10 and 50 tokens per second.
    assert row["output_throughput_tok_s"] == pytest.approx((30 + 50) / 4)
    assert row["output_throughput_tok_s_per_gpu"] == pytest.approx((30 + 50) / 4 / 2)
    assert row["total_throughput_tok_s"] == pytest.approx((30 + 50 + 400) / 4)
    assert row["requests_per_s"] == pytest.approx(4 / 4)
    assert row["output_tokens_per_usd"] == pytest.approx((30 + 50) / 4 / 2 * 1000)
    assert row["output_tokens_mean"] == pytest.approx((30 + 50) / 4)


def test_percentiles_are_over_the_requests_of_all_and_never_over_percentiles(
    measured: Measure,
) -> None:
    few, many = [1.0, 2.0], list(np.linspace(0.1, 0.2, 18))
    row = pooled(measured(*few), measured(*many))
    assert row["ttft_s_count"] == 20
    assert row["ttft_s_p50"] == pytest.approx(np.quantile(few + many, 0.5))
    assert row["ttft_s_p99"] == pytest.approx(np.quantile(few + many, 0.99))
    assert row["ttft_s_mean"] == pytest.approx(math.fsum(few + many) / 20)


def test_cpus_in_use_are_means_over_time_and_a_gap_has_its_reason(measured: Measure) -> None:
    quiet, busy, unknown = (dict(measured(*[0.1] * n).summary) for n in (3, 1, 1))
    quiet |= {"node_cpus": 8, "own_cpus": 2.0, "foreign_cpus": 0.0, "foreign_cpus_unknown": None}
    busy |= {"node_cpus": 4, "own_cpus": 1.0, "foreign_cpus": 2.0, "foreign_cpus_unknown": None}
    unknown |= {"foreign_cpus_unknown": "why"}
    row = pool([quiet, busy], lambda: pa.table({}))
    assert row["node_cpus"] == 4
    assert row["own_cpus"] == pytest.approx((3 * 2.0 + 1.0) / 4)
    assert row["foreign_cpus"] == pytest.approx(2.0 / 4)
    assert row["foreign_cpus_unknown"] is None
    row = pool([quiet, unknown], lambda: pa.table({}))
    assert (row["foreign_cpus"], row["foreign_cpus_unknown"]) == (None, "why")


def test_goodput_is_of_all_requests(measured: Measure) -> None:
    row = pooled(measured(0.1, 0.9, 0.9), measured(0.1))
    assert row["request_slos"] == "ttft_s<=0.5"
    assert row["goodput_requests"] == 2
    assert row["goodput_share"] == pytest.approx(2 / 4)
    assert row["goodput_requests_per_s"] == pytest.approx(2 / 4)


def test_a_level_is_ok_only_if_every_measurement_is(
    measured: Measure, attempt: Attempt, level: Level
) -> None:
    good, bad = measured(0.1), measured(0.1, failure="the server hung")
    lost = not_measured(level, attempt, "the server was gone")
    assert pooled(good, good)["status"] == "ok"
    row = pooled(good, bad, good)
    assert (row["status"], row["reason"]) == ("failed", "the server hung")
    row = pooled(bad, lost, good)
    assert (row["status"], row["reason"]) == ("not_measured", "the server was gone")


def test_what_one_measurement_lacks_is_missing_from_all_of_them(
    measured: Measure, attempt: Attempt, level: Level
) -> None:
    row = pooled(measured(0.1), not_measured(level, attempt, "gone"))
    for name in ("requests", "duration_s", "output_throughput_tok_s", "ttft_s_p50", "error_rate"):
        assert row[name] is None
    unknown = measured(0.1)
    summary = {**unknown.summary, "output_throughput_tok_s": None}
    row = pool([summary, measured(0.1).summary], lambda: unknown.requests)
    assert row["output_throughput_tok_s"] is None
    assert row["requests_per_s"] is not None


def test_one_simulated_measurement_makes_all_of_them_simulated(measured: Measure) -> None:
    result = measured(0.1)
    row = pool([result.summary, {**result.summary, "simulated": True}], lambda: result.requests)
    assert row["simulated"] is True


def test_requests_are_read_once_and_only_for_a_latency(measured: Measure) -> None:
    reads = []
    result = measured(0.1)

    def read() -> pa.Table:
        reads.append(1)
        return pa.concat_tables([result.requests, result.requests])

    row = pool([result.summary, result.summary], read)
    assert row["requests_per_s"] is not None
    assert reads == []
    assert row["ttft_s_p50"] == row["ttft_s_p90"] == pytest.approx(0.1)
    assert reads == [1]

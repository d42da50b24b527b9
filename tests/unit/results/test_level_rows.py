from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from autotuner.results.level_rows import level_result, not_measured, tpot_s
from autotuner.results.levels import LevelResult, LevelStatus, RequestRecord, RequestStatus
from autotuner.results.node_cpus import NodeCpus
from autotuner.results.schema import LEVELS, REQUESTS, table_of
from autotuner.spec.experiment import Attempt
from autotuner.spec.workload import Level

START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)


def completed(index: int = 0, **extra: object) -> RequestRecord:
    values: dict[str, object] = {
        "started_s": 0.0,
        "ttft_s": 0.2,
        "e2e_latency_s": 1.1,
        "input_tokens": 100,
        "output_tokens": 10,
        **extra,
    }
    return RequestRecord(index, RequestStatus.COMPLETED, **values)  # type: ignore[arg-type]


def failed(index: int, message: str = "Internal Server Error") -> RequestRecord:
    return RequestRecord(index, RequestStatus.FAILED, 0.0, error_code=500, error_message=message)


def cut(index: int) -> RequestRecord:
    return RequestRecord(index, RequestStatus.CUT, 0.5)


@pytest.fixture
def build(level: Level, attempt: Attempt) -> Callable[..., LevelResult]:
    def run(*records: RequestRecord, **options: object) -> LevelResult:
        defaults: dict[str, object] = {
            "attempt": attempt,
            "started_at": START,
            "gpus": 1,
            "failure": None,
            "simulated": False,
        }
        return level_result(level, records, **(defaults | options))  # type: ignore[arg-type]

    return run


def test_a_level_without_errors_is_ok_and_has_no_reason(build: Callable[..., LevelResult]) -> None:
    result = build(completed())
    assert result.status is LevelStatus.OK
    assert result.reason is None
    assert result.summary["status"] == "ok"
    assert result.summary["started_at"] == START


def test_a_failed_request_fails_the_level_and_the_reason_counts_them(
    build: Callable[..., LevelResult],
) -> None:
    records = [completed(i) for i in range(51)] + [failed(51 + i) for i in range(7)]
    result = build(*records, cut(58))
    assert result.status is LevelStatus.FAILED
    assert result.reason == (
        "7 of 58 requests failed (12.1 %), first error: 500 Internal Server Error"
    )


def test_the_first_error_is_the_first_by_start_and_one_short_line(
    build: Callable[..., LevelResult],
) -> None:
    result = build(completed(0), failed(2, "later"), failed(1, "first\nline " + "x" * 900))
    assert "first error: 500 first line xxx" in result.reason
    assert len(result.reason) < 300


@pytest.mark.parametrize(
    ("tolerance", "status"), [(0.25, LevelStatus.OK), (0.24, LevelStatus.FAILED)]
)
def test_errors_within_the_tolerance_keep_the_level_ok(
    build: Callable[..., LevelResult],
    tolerance: float,
    status: LevelStatus,
) -> None:
    records = [completed(0), completed(1), completed(2), failed(3)]
    assert build(*records, max_error_rate=tolerance).status is status


def test_a_failure_text_fails_a_level_whose_requests_were_all_well(
    build: Callable[..., LevelResult],
) -> None:
    result = build(completed(), failure="the server crashed during the level")
    assert result.status is LevelStatus.FAILED
    assert result.reason == "the server crashed during the level"
    assert result.summary["requests_completed"] == 1


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ((), "the level ended without a single request"),
        ((cut(0), cut(1)), "the level ended before any request finished (2 still in flight)"),
        (
            (failed(0), cut(1)),
            "no request completed: 1 of 1 requests failed (100.0 %), "
            "first error: 500 Internal Server Error",
        ),
    ],
)
def test_a_level_without_a_completed_request_is_failed_under_any_tolerance(
    build: Callable[..., LevelResult],
    records: tuple[RequestRecord, ...],
    reason: str,
) -> None:
    result = build(*records, max_error_rate=1.0)
    assert result.status is LevelStatus.FAILED
    assert result.reason == reason


def test_request_rows_carry_the_ids_and_come_in_one_chunk(
    build: Callable[..., LevelResult], attempt: Attempt
) -> None:
    requests = build(completed(0), failed(1), cut(2)).requests
    assert requests.schema.equals(REQUESTS)
    assert all(column.num_chunks == 1 for column in requests.columns)
    assert set(requests["attempt_id"].to_pylist()) == {attempt.id}
    assert requests["status"].to_pylist() == ["completed", "failed", "cut"]


def test_the_summary_has_every_column_of_the_level_rows_and_no_other(
    build: Callable[..., LevelResult],
) -> None:
    assert sorted(build(completed()).summary) == sorted(LEVELS.names)


def test_latencies_of_a_failed_request_are_not_stored_but_tell_when_it_ended(
    build: Callable[..., LevelResult],
) -> None:
    late = RequestRecord(1, RequestStatus.FAILED, 2.0, e2e_latency_s=3.0, output_tokens=4)
    result = build(completed(0), late)
    row = result.requests.to_pylist()[1]
    assert (row["e2e_latency_s"], row["output_tokens"], row["ended_s"]) == (None, None, 5.0)
    assert result.summary["duration_s"] == 5.0


def test_a_cut_request_has_its_end_and_what_it_had_received_but_no_latency(
    build: Callable[..., LevelResult],
) -> None:
    seen = {"ttft_s": 0.5, "itl_s": [0.1], "output_tokens_asked": 8, "output_chunks": 2}
    late = RequestRecord(1, RequestStatus.CUT, 0.5, ended_s=4.0, **seen)
    result = build(completed(0), late, RequestRecord(2, RequestStatus.CUT, 0.5))
    row, unknown = result.requests.to_pylist()[1:]
    assert (row["ended_s"], row["output_chunks"], row["output_tokens_asked"]) == (4.0, 2, 8)
    assert (row["ttft_s"], row["itl_s"], row["output_tokens"]) == (None, None, None)
    assert (unknown["ended_s"], unknown["output_chunks"]) == (None, None)


def test_a_failed_request_has_no_chunks(build: Callable[..., LevelResult]) -> None:
    broken = RequestRecord(1, RequestStatus.FAILED, 0.0, output_chunks=3, output_tokens_asked=8)
    row = build(completed(0), broken).requests.to_pylist()[1]
    assert (row["output_chunks"], row["output_tokens_asked"]) == (None, 8)


def test_gaps_between_tokens_are_kept_with_their_request(
    build: Callable[..., LevelResult],
) -> None:
    result = build(completed(0, itl_s=(0.25, 0.5)), completed(1, itl_s=()), completed(2))
    assert result.requests["itl_s"].to_pylist() == [[0.25, 0.5], [], None]
    assert result.summary["itl_s_count"] == 2


def test_a_load_generator_that_needs_a_whole_core_shows_it(
    build: Callable[..., LevelResult],
) -> None:
    result = build(completed(0, e2e_latency_s=10.0), client_cpu_s=(9.8, 1.0))
    assert result.summary["client_cpu_share"] == pytest.approx(0.98)
    assert result.summary["client_processes"] == 2


def test_who_used_the_nodes_cpus_is_in_the_row_or_why_it_is_unknown(
    build: Callable[..., LevelResult],
) -> None:
    columns = ("node_cpus", "own_cpus", "foreign_cpus", "foreign_cpus_unknown")
    for cpus, expected in [
        (NodeCpus(8, 2.5, 0.5), (8, 2.5, 0.5, None)),
        (NodeCpus(unknown="why"), (None, None, None, "why")),
        (None, (None, None, None, "the load generator did not watch the node")),
    ]:
        summary = build(completed(0), cpus=cpus).summary
        assert tuple(summary[column] for column in columns) == expected


def test_what_takes_the_studys_limits_or_price_is_left_to_who_knows_them(
    build: Callable[..., LevelResult],
) -> None:
    summary = build(completed()).summary
    names = [name for name in summary if "goodput" in name or "slos" in name or "usd" in name]
    assert len(names) == 5
    assert {summary[name] for name in names} == {None}


def test_tpot_is_computed_where_the_load_generator_gives_none(
    build: Callable[..., LevelResult],
) -> None:
    row = build(completed(ttft_s=0.2, e2e_latency_s=1.1, output_tokens=10)).requests.to_pylist()[0]
    assert row["tpot_s"] == pytest.approx(0.1)


def test_one_token_outputs_have_no_tpot_even_where_one_is_given(
    build: Callable[..., LevelResult],
) -> None:
    result = build(completed(0, output_tokens=1, tpot_s=0.0), completed(1))
    assert result.requests["tpot_s"].to_pylist() == [None, pytest.approx(0.1)]
    assert result.summary["tpot_s_mean"] == pytest.approx(0.1)
    assert result.status is LevelStatus.OK


@pytest.mark.parametrize(
    ("ttft", "e2e", "tokens"), [(None, 1.0, 5), (0.1, None, 5), (0.1, 1.0, None), (0.1, 1.0, 1)]
)
def test_tpot_is_none_where_a_term_is_missing(
    ttft: float | None, e2e: float | None, tokens: int | None
) -> None:
    assert tpot_s(ttft, e2e, tokens) is None


def test_a_number_that_is_not_finite_is_stored_as_missing(
    build: Callable[..., LevelResult],
) -> None:
    result = build(completed(0, ttft_s=float("nan")), completed(1))
    assert result.requests["ttft_s"].to_pylist() == [None, 0.2]
    assert result.summary["ttft_s_mean"] == 0.2


def test_a_level_that_was_not_measured_has_a_row_with_its_reason_and_no_numbers(
    level: Level, attempt: Attempt
) -> None:
    result = not_measured(level, attempt, "the server crashed before it")
    (row,) = table_of([result.summary], LEVELS).to_pylist()
    assert row["status"] == "not_measured"
    assert row["reason"] == "the server crashed before it"
    numbers = LEVELS.names[LEVELS.names.index("started_at") : -1]
    assert {row[name] for name in numbers} == {None}
    assert result.requests.num_rows == 0
    assert result.requests.schema.equals(REQUESTS)


def test_records_without_times_make_rows_without_times(build: Callable[..., LevelResult]) -> None:
    timeless = RequestRecord(1, RequestStatus.FAILED, None, error_code=500)
    result = build(completed(started_s=None), timeless, duration_s=5.0)
    assert result.requests["started_s"].null_count == result.requests["ended_s"].null_count == 2
    assert result.summary["duration_s"] == 5.0
    assert result.summary["output_throughput_tok_s"] == 10 / 5

from __future__ import annotations

from dataclasses import replace

import pytest

from autotuner.results.goodput import slos_text, tokens_per_usd, with_goodput
from autotuner.results.level_rows import level_result, not_measured
from autotuner.results.levels import LevelResult, RequestRecord, RequestStatus
from autotuner.results.schema import LEVELS, table_of
from autotuner.spec.experiment import Attempt
from autotuner.spec.judging import Judging, RequestSlo
from autotuner.spec.objective import Direction, Objective
from autotuner.spec.workload import Level

THROUGHPUT = Objective("throughput", "output_throughput_tok_s", Direction.MAXIMIZE)
LIMITS = (RequestSlo("ttft_s", 0.5), RequestSlo("tpot_s", 0.05))
JUDGING = Judging(THROUGHPUT, request_slos=LIMITS, usd_per_gpu_hour=2.0)


def request(
    index: int,
    ttft_s: float | None = 0.1,
    tpot_s: float | None = 0.01,
    *,
    tokens: int | None = 10,
    status: RequestStatus = RequestStatus.COMPLETED,
) -> RequestRecord:
    return RequestRecord(
        index,
        status,
        started_s=0.0,
        ended_s=10.0,
        ttft_s=ttft_s,
        tpot_s=tpot_s,
        input_tokens=5,
        output_tokens=tokens,
    )


def measured(attempt: Attempt, level: Level, *records: RequestRecord) -> LevelResult:
    return level_result(
        level,
        records,
        attempt=attempt,
        started_at=None,
        gpus=2,
        failure=None,
        simulated=False,
        max_error_rate=1.0,
    )


def test_a_request_counts_only_if_it_keeps_every_limit(attempt: Attempt, level: Level) -> None:
    result = measured(
        attempt,
        level,
        request(0),
        request(1, ttft_s=0.5, tpot_s=0.05),
        request(2, ttft_s=0.51),
        request(3, tpot_s=0.06),
    )
    row = with_goodput(result, JUDGING, gpus=2).summary
    assert row["request_slos"] == "ttft_s<=0.5; tpot_s<=0.05"
    assert row["goodput_requests"] == 2
    assert row["goodput_share"] == pytest.approx(2 / 4)
    assert row["goodput_requests_per_s"] == pytest.approx(2 / 10)
    table_of([row], LEVELS)


def test_a_failed_request_is_a_missed_one_and_a_cut_one_is_neither(
    attempt: Attempt, level: Level
) -> None:
    result = measured(
        attempt,
        level,
        request(0),
        request(1, status=RequestStatus.FAILED),
        request(2, status=RequestStatus.CUT),
    )
    row = with_goodput(result, JUDGING, gpus=2).summary
    assert (row["goodput_requests"], row["goodput_share"]) == (1, 0.5)


def test_an_answer_of_one_token_keeps_any_limit_on_tpot(attempt: Attempt, level: Level) -> None:
    result = measured(attempt, level, request(0, tpot_s=None, tokens=1))
    assert with_goodput(result, JUDGING, gpus=2).summary["goodput_requests"] == 1


@pytest.mark.parametrize(
    "record",
    [request(0, ttft_s=None), request(0, tpot_s=None), request(0, tpot_s=None, tokens=None)],
)
def test_any_other_missing_number_keeps_no_limit(
    attempt: Attempt, level: Level, record: RequestRecord
) -> None:
    assert with_goodput(measured(attempt, level, record), JUDGING, 2).summary[
        "goodput_requests"
    ] == (0)


def test_without_limits_there_is_no_goodput(attempt: Attempt, level: Level) -> None:
    judging = replace(JUDGING, request_slos=())
    row = with_goodput(measured(attempt, level, request(0)), judging, gpus=2).summary
    for column in ("request_slos", "goodput_requests", "goodput_share", "goodput_requests_per_s"):
        assert row[column] is None


def test_a_level_that_was_not_measured_has_no_goodput_rather_than_none_that_is_good(
    attempt: Attempt, level: Level
) -> None:
    row = with_goodput(not_measured(level, attempt, "lost"), JUDGING, gpus=2).summary
    assert row["goodput_requests"] is None
    assert row["goodput_share"] is None
    assert row["output_tokens_per_usd"] is None
    table_of([row], LEVELS)


def test_tokens_per_dollar_are_over_all_gpus(attempt: Attempt, level: Level) -> None:
    result = measured(attempt, level, request(0, tokens=100))
    assert result.summary["output_throughput_tok_s"] == pytest.approx(10)
    row = with_goodput(result, JUDGING, gpus=2).summary
    assert row["output_tokens_per_usd"] == pytest.approx(10 * 3600 / (2.0 * 2))


@pytest.mark.parametrize(("gpus", "price"), [(0, 2.0), (2, None)])
def test_without_gpus_or_a_price_there_are_no_tokens_per_dollar(
    attempt: Attempt, level: Level, gpus: int, price: float | None
) -> None:
    judging = replace(JUDGING, usd_per_gpu_hour=price)
    row = with_goodput(measured(attempt, level, request(0)), judging, gpus).summary
    assert row["output_tokens_per_usd"] is None
    assert tokens_per_usd(None, 2.0) is None


def test_limits_that_differ_have_texts_that_differ() -> None:
    one, other = (
        slos_text([RequestSlo("ttft_s", 0.5)]),
        slos_text([RequestSlo("ttft_s", 0.5000001)]),
    )
    assert one == "ttft_s<=0.5"
    assert one != other
    assert slos_text(()) is None

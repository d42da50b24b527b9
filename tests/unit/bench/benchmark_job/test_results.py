from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from autotuner.bench.benchmark_job.results import NoResultsError, level_load
from autotuner.results.levels import RequestStatus
from autotuner.spec.workload import Level

LEVEL = Level("chat", "D(100,10)", 4)
NAME = "exp0-a1-0123"
Files = dict[str, bytes]
MakeFiles = Callable[..., Files]
Make = Callable[..., dict[str, object]]


def test_requests_become_records_without_times(make_files: MakeFiles, make_request: Make) -> None:
    load = level_load(make_files(make_request(), make_request(ttft=0.2)), LEVEL, NAME)
    first, second = load.records
    assert (first.ttft_s, first.tpot_s, first.e2e_latency_s) == (0.1, 0.05, 0.55)
    assert (first.input_tokens, first.output_tokens, first.output_tokens_asked) == (100, 10, 10)
    assert (first.started_s, first.ended_s, load.started_at) == (None, None, None)
    assert (second.request_index, second.ttft_s) == (1, 0.2)


def test_a_level_is_as_long_as_genai_bench_tells(make_files: MakeFiles, make_request: Make) -> None:
    load = level_load(make_files(make_request(), run_duration=60.7), LEVEL, NAME)
    assert (load.level, load.duration_s, load.failure) == (LEVEL, 60.7, None)


@pytest.mark.parametrize("code", [503, 404, -1])
def test_a_request_with_an_error_is_failed_and_has_no_latency(
    make_files: MakeFiles, make_failed: Make, code: int
) -> None:
    (record,) = level_load(make_files(make_failed(code)), LEVEL, NAME).records
    assert record.status is RequestStatus.FAILED
    assert (record.error_code, record.error_message) == (code, "overloaded")
    assert (record.ttft_s, record.e2e_latency_s, record.output_tokens) == (None, None, None)


def test_latencies_of_a_failed_request_are_not_believed(
    make_files: MakeFiles, make_request: Make
) -> None:
    fast = make_request(error_code=500, e2e_latency=0.001)
    (record,) = level_load(make_files(fast), LEVEL, NAME).records
    assert (record.status, record.e2e_latency_s) == (RequestStatus.FAILED, None)


def test_an_error_code_in_words_has_no_number(make_files: MakeFiles, make_failed: Make) -> None:
    (record,) = level_load(make_files(make_failed("rate_limited")), LEVEL, NAME).records
    assert (record.status, record.error_code) == (RequestStatus.FAILED, None)


@pytest.mark.parametrize("code", [None, 200])
def test_no_error_is_spelled_in_two_ways(
    make_files: MakeFiles, make_request: Make, code: int | None
) -> None:
    (record,) = level_load(make_files(make_request(error_code=code)), LEVEL, NAME).records
    assert record.status is RequestStatus.COMPLETED


def test_answers_have_no_known_length_in_a_scenario_that_draws_it(
    make_files: MakeFiles, make_request: Make
) -> None:
    level = replace(LEVEL, scenario="N(480,240)/(300,150)")
    files = make_files(make_request(), scenario=level.scenario)
    (record,) = level_load(files, level, NAME).records
    assert record.output_tokens_asked is None


def test_what_a_file_is_about_stands_in_it_and_not_in_its_name(
    make_files: MakeFiles, make_request: Make
) -> None:
    own = make_files(make_request(), name="other.json")
    name = "D100_10_text-to-text_num_concurrency_4_time_9s.json"
    other = make_files(make_request(ttft=9.0), concurrency=8, name=name)
    (record,) = level_load({**other, **own}, LEVEL, NAME).records
    assert record.ttft_s == 0.1


def test_a_file_that_says_nothing_of_its_unit_is_in_seconds(
    make_files: MakeFiles, make_request: Make
) -> None:
    assert level_load(make_files(make_request(), unit=None), LEVEL, NAME).records[0].ttft_s == 0.1


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"concurrency": 8}, "no file of D(100,10) at a concurrency of 4"),
        ({"scenario": "D(100,100)"}, "no file of"),
        ({"served_name": "exp0-a0-9999"}, "exp0-a0-9999"),
        ({"run_duration": 0.0}, "how long"),
        ({"run_duration": None}, "how long"),
        ({"unit": "ms"}, "ms"),
    ],
)
def test_results_of_something_else_are_refused(
    make_files: MakeFiles, make_request: Make, change: dict[str, object], word: str
) -> None:
    with pytest.raises(NoResultsError, match=word.replace("(", r"\(").replace(")", r"\)")):
        level_load(make_files(make_request(), **change), LEVEL, NAME)


def test_two_files_of_one_level_are_refused(make_files: MakeFiles, make_request: Make) -> None:
    again = make_files(make_request(), name="again.json")
    with pytest.raises(NoResultsError, match="more than one"):
        level_load({**make_files(make_request()), **again}, LEVEL, NAME)


def test_a_folder_without_the_words_of_its_server_is_refused(
    make_files: MakeFiles, make_request: Make
) -> None:
    files = make_files(make_request())
    del files["experiment_metadata.json"]
    with pytest.raises(NoResultsError, match="experiment_metadata"):
        level_load(files, LEVEL, NAME)


def test_files_that_are_torn_or_something_else_are_passed_over(
    make_files: MakeFiles, make_request: Make
) -> None:
    files = {**make_files(make_request()), "a.json": b'{"aggregated_metrics": {', "b.json": b"[1]"}
    assert len(level_load(files, LEVEL, NAME).records) == 1

from datetime import UTC, datetime

import pytest

from autotuner.bench.genai_bench_events import UNREADABLE, EventFile, LevelLog
from autotuner.results.levels import RequestStatus
from autotuner.spec.workload import Level

LEVEL = Level("chat", "D(10,5)", 2)


def completed(started, **changes):
    times = {"started": started, "first": started + 0.5, "ended": started + 2.0}
    counts = {"input_tokens": 10, "output_tokens": 5, "reasoning_tokens": None}
    return {"event": "request", **times, **counts, **changes}


def failed(started, **changes):
    return {"event": "request", "started": started, "ended": started + 1.0, **changes}


def log_of(*events, started=None):
    log = LevelLog(LEVEL, started)
    for event in events:
        log.add(event)
    return log


@pytest.fixture
def file(tmp_path):
    return EventFile(tmp_path / "events.jsonl")


@pytest.fixture
def write(file):
    def write(text):
        with file.path.open("a") as out:
            out.write(text)

    return write


def test_a_file_that_is_not_there_yet_has_no_events(file):
    assert list(file.read()) == []


def test_each_line_is_read_once(file, write):
    write('{"event": "a"}\n{"event": "b"}\n')
    assert [event["event"] for event in file.read()] == ["a", "b"]
    assert list(file.read()) == []
    write('{"event": "c"}\n')
    assert [event["event"] for event in file.read()] == ["c"]


def test_a_line_is_read_when_it_is_complete(file, write):
    write('{"event": "a"}\n{"event"')
    assert [event["event"] for event in file.read()] == ["a"]
    assert list(file.read()) == []
    write(': "b"}\n')
    assert [event["event"] for event in file.read()] == ["b"]


def test_a_letter_may_be_cut_in_two(file):
    line = '{"event": "request", "message": "é"}\n'.encode()
    middle = line.index("é".encode()) + 1
    file.path.write_bytes(line[:middle])
    assert list(file.read()) == []
    file.path.write_bytes(line)
    assert [event["message"] for event in file.read()] == ["é"]


@pytest.mark.parametrize("line", ['{"event": "req', "", "3", "null", '["event"]', '{"other": 1}'])
def test_a_line_that_is_no_event_is_reported_and_does_not_stop_the_reading(file, write, line):
    write(f'{{"event": "a"}}\n{line}\n{{"event": "b"}}\n')
    assert [event["event"] for event in file.read()] == ["a", UNREADABLE, "b"]


def test_a_completed_request_has_times_and_counts():
    load = log_of(completed(100.0), completed(103.0, reasoning_tokens=2)).finish()
    first, second = load.records
    assert (load.level, load.failure) == (LEVEL, None)
    assert first.status is RequestStatus.COMPLETED
    assert (first.started_s, first.ended_s) == (0.0, 2.0)
    assert (first.ttft_s, first.e2e_latency_s) == (0.5, 2.0)
    assert (first.input_tokens, first.output_tokens, first.reasoning_tokens) == (10, 5, None)
    assert (second.started_s, second.ended_s, second.reasoning_tokens) == (3.0, 5.0, 2)


def test_a_failed_request_has_its_error_and_no_latency():
    (record,) = log_of(failed(7.0, code=500, message="refused")).finish().records
    assert record.status is RequestStatus.FAILED
    assert (record.error_code, record.error_message) == (500, "refused")
    assert (record.started_s, record.ended_s) == (0.0, 1.0)
    assert (record.ttft_s, record.e2e_latency_s, record.output_tokens) == (None, None, None)


def test_a_code_in_words_is_left_to_the_message():
    (record,) = log_of(failed(7.0, code="server_error", message="m")).finish().records
    assert (record.error_code, record.error_message) == (None, "m")


def test_a_request_cut_at_the_end_is_neither_completed_nor_failed():
    cut = {"event": "request", "started": 5.0, "cut": True}
    _, record = log_of(completed(4.0), cut).finish().records
    assert record.status is RequestStatus.CUT
    assert (record.started_s, record.ended_s, record.error_code) == (1.0, None, None)


def test_a_request_tells_what_it_asked_for_and_when_its_tokens_came():
    known = {"asked": 5, "chunks": 3, "itl": [0.25, 0.5]}
    (record,) = log_of(completed(1.0, **known)).finish().records
    assert (record.output_tokens_asked, record.output_chunks) == (5, 3)
    assert list(record.itl_s) == [0.25, 0.5]


def test_a_cut_request_has_its_end_and_the_chunks_so_far_but_no_latency():
    cut = {"event": "request", "started": 5.0, "ended": 9.0, "first": 6.0, "cut": True}
    _, record = log_of(completed(4.0), {**cut, "asked": 8, "chunks": 2}).finish().records
    assert (record.started_s, record.ended_s) == (1.0, 5.0)
    assert (record.output_chunks, record.output_tokens_asked) == (2, 8)
    assert (record.ttft_s, record.itl_s, record.output_tokens) == (None, None, None)


def test_cpu_time_is_of_each_process_from_its_first_request_to_its_last():
    events = [
        completed(1.0, process=7, cpu=[10.0, 12.0]),
        failed(2.0, code=500, process=8, cpu=[3.0, 3.5]),
        completed(3.0, process=7, cpu=[11.0, 14.5]),
        {"event": "request", "started": 4.0, "cut": True, "process": 7, "cpu": [11.5, 14.0]},
    ]
    assert sorted(log_of(*events).finish().client_cpu_s) == [0.5, 4.5]


def test_cpu_time_that_was_not_written_down_is_unknown():
    assert log_of(completed(1.0)).finish().client_cpu_s == ()


def test_records_stand_in_order_of_start_and_count_from_the_first():
    # Written when they end: the long one comes last and started first.
    load = log_of(completed(12.0), failed(11.0, code=500), completed(10.0)).finish()
    assert [record.request_index for record in load.records] == [0, 1, 2]
    assert [record.started_s for record in load.records] == [0.0, 1.0, 2.0]


def test_the_level_starts_when_its_first_request_does():
    started = {"time": 1_700_000_000.0, "clock": 50.0}
    load = log_of(completed(53.0), completed(52.5), started=started).finish()
    assert load.started_at == datetime.fromtimestamp(1_700_000_002.5, UTC)


def test_without_a_request_there_is_no_start():
    started = {"time": 1_700_000_000.0, "clock": 50.0}
    load = log_of(started=started).finish("nothing came")
    assert (load.started_at, load.records, load.failure) == (None, (), "nothing came")


def test_a_level_that_was_never_announced_keeps_its_requests_without_a_date():
    load = log_of(completed(1.0)).finish("lost")
    assert load.started_at is None
    assert len(load.records) == 1


def test_an_answer_without_text_has_no_time_to_first_token():
    (record,) = log_of(completed(1.0, first=None)).finish().records
    assert (record.status, record.ttft_s) == (RequestStatus.COMPLETED, None)

import json
import threading
import time

import pytest

from autotuner.bench.base import LoadContext
from autotuner.bench.closed_loop import ClosedLoop
from autotuner.results.levels import RequestStatus
from autotuner.spec.workload import StopRule, Workload
from autotuner.version import __version__

PATIENCE_S = 60.0


@pytest.fixture
def context(tmp_path):
    return LoadContext(tmp_path, {}, level_grace_s=PATIENCE_S)


@pytest.fixture
def run(target, context):
    def run(workload, context=context):
        return list(ClosedLoop().run(target, workload, workload.levels, context))

    return run


def chat(*concurrency, requests=None, seconds=PATIENCE_S, scenario="D(64,8)", **changes):
    return Workload("chat", scenario, concurrency or (1,), StopRule(seconds, requests), **changes)


def test_its_version_is_ours(context):
    assert ClosedLoop().version(context) == __version__


def test_requests_have_the_size_that_the_scenario_says(server, run, token, usage):
    # This server counts two tokens a word.
    server.answer = lambda exchange: exchange.stream(
        token(), usage(2 * len(exchange.body["messages"][0]["content"].split()), 8), "[DONE]"
    )
    (load,) = run(chat(requests=1, request={"top_k": 4}))
    assert (load.records[0].input_tokens, load.records[0].output_tokens) == (64, 8)
    assert (server.seen[1].body["max_tokens"], server.seen[1].body["top_k"]) == (8, 4)


def test_users_share_a_level_and_those_in_flight_at_its_end_are_cut(server, run, token, usage):
    together = threading.Barrier(3)
    answered = threading.Event()

    def answer(exchange):
        if exchange.body["max_tokens"] == 1:  # it asks for the length of a word
            exchange.stream(token(), usage(32, 1), "[DONE]")
        elif not answered.is_set() and together.wait(PATIENCE_S) == 0:
            answered.set()
            exchange.stream(token(), usage(64, 8), "[DONE]")
        else:
            exchange.wait_for_the_client_to_leave()

    server.answer = answer
    (load,) = run(chat(3, requests=1))
    statuses = [record.status for record in load.records]
    assert statuses.count(RequestStatus.COMPLETED) == 1
    # The user that was answered may have sent another one.
    assert statuses.count(RequestStatus.CUT) in (2, 3)
    assert len(statuses) == statuses.count(RequestStatus.CUT) + 1
    assert load.failure is None


def test_a_request_tells_what_it_asked_for_and_what_came(server, run, token, usage):
    pieces = [token()] * 3
    server.answer = lambda exchange: exchange.stream(*pieces, usage(64, 6), "[DONE]")
    (load,) = run(chat(requests=1, scenario="D(64,6)"))
    record = load.records[0]
    assert (record.output_tokens_asked, record.output_chunks, len(record.itl_s)) == (6, 3, 2)
    (load,) = run(chat(requests=1, request={"max_tokens": 9}))
    assert load.records[0].output_tokens_asked == 9


def test_a_request_that_is_cut_has_its_end_and_the_pieces_so_far(server, run, token, usage):
    def answer(exchange):
        if exchange.body["max_tokens"] == 1:  # it asks for the length of a word
            exchange.stream(token(), usage(32, 1), "[DONE]")
        else:
            exchange.stream(token(), token(), end=False)
            begun.set()
            exchange.wait_for_the_client_to_leave()

    begun = threading.Event()
    server.answer = answer
    (load,) = run(chat(1, seconds=1.0))
    (record,) = load.records
    assert begun.is_set()
    assert record.status is RequestStatus.CUT
    assert (record.output_chunks, record.output_tokens_asked) == (2, 8)
    assert record.ended_s >= record.started_s
    assert record.ttft_s is None


def test_the_cpu_time_is_that_of_one_process(server, run, token, usage):
    server.answer = lambda exchange: exchange.stream(token(), usage(64, 8), "[DONE]")
    (load,) = run(chat(2, requests=5))
    (cpu_s,) = load.client_cpu_s
    assert cpu_s > 0


def test_a_level_leaves_no_load_behind(server, run, token, usage):
    server.answer = lambda exchange: (
        exchange.stream(token(), usage(32, 1), "[DONE]")
        if exchange.body["max_tokens"] == 1
        else exchange.wait_for_the_client_to_leave()
    )
    (load,) = run(chat(2, seconds=0.2))
    assert {record.status for record in load.records} <= {RequestStatus.CUT}
    assert load.failure is None
    assert [user for user in threading.enumerate() if "(_user)" in user.name] == []
    assert not load.records or server.left.wait(PATIENCE_S)


def test_a_server_that_refuses_everything_has_failed_requests_not_a_failed_tool(server, run):
    server.answer = lambda exchange: exchange.send("500 Internal Server Error", b"no")
    (load,) = run(chat(requests=3))
    assert load.failure is None
    failed = [r for r in load.records if r.status is RequestStatus.FAILED]
    assert len(failed) >= 3
    assert all("HTTP 500: no" in record.error_message for record in failed)
    assert all(record.ended_s >= record.started_s for record in failed)


def test_records_stand_in_order_of_start(server, run, token, usage):
    server.answer = lambda exchange: exchange.stream(token(), usage(64, 8), "[DONE]")
    (load,) = run(chat(3, requests=20))
    starts = [record.started_s for record in load.records]
    assert [record.request_index for record in load.records] == list(range(len(starts)))
    assert starts == sorted(starts)
    assert load.started_at is not None


def test_a_reason_to_stop_ends_the_level_and_all_that_follow(server, run, tmp_path, token, usage):
    server.answer = lambda exchange: exchange.stream(token(), usage(64, 8), "[DONE]")

    def should_stop():
        return "the server ended" if len(server.seen) > 5 else None

    context = LoadContext(tmp_path, {}, PATIENCE_S, should_stop=should_stop)
    first, second = run(chat(1, 2), context)
    assert first.failure == second.failure == "the server ended"
    assert first.records
    assert second.records == ()


@pytest.fixture
def impatient(tmp_path):
    return LoadContext(tmp_path, {}, PATIENCE_S, no_token_s=0.3)


SILENT = "no request received a token or ended for 0.3 s (timeouts.no_token_s)"


@pytest.mark.parametrize("answers_before", [0, 1, 3])
def test_a_server_that_falls_silent_ends_the_level_early(
    server, run, impatient, token, usage, answers_before
):
    def answer(exchange):
        if len(server.seen) <= answers_before:
            exchange.stream(token(), usage(64, 8), "[DONE]")
        else:
            exchange.wait_for_the_client_to_leave()

    server.answer = answer
    (load,) = run(chat(1), impatient)
    assert (load.failure, load.silent_s) == (SILENT, 0.3)
    completed = [r for r in load.records if r.status is RequestStatus.COMPLETED]
    # The first answer is about the length of a word.
    assert len(completed) == max(0, answers_before - 1)
    assert server.left.wait(PATIENCE_S)


def test_a_stream_that_stops_after_its_first_token_is_a_silence(server, run, impatient, token):
    def answer(exchange):
        exchange.stream(token(), end=False)
        exchange.wait_for_the_client_to_leave()

    server.answer = answer
    (load,) = run(chat(2), impatient)
    assert (load.failure, load.silent_s) == (SILENT, 0.3)


def test_an_answer_that_comes_slowly_is_no_silence(server, run, tmp_path, token, usage):
    silent_s = 2.0

    def answer(exchange):
        if exchange.body["max_tokens"] == 1:
            exchange.stream(token(), usage(32, 1), "[DONE]")
            return
        exchange.stream(end=False)
        for event in (*[token()] * 10, usage(64, 8), "[DONE]"):
            time.sleep(0.3)
            text = event if isinstance(event, str) else json.dumps(event)
            data = f"data: {text}\n\n".encode()
            exchange.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        exchange.wfile.write(b"0\r\n\r\n")

    server.answer = answer
    (load,) = run(chat(1, requests=1), LoadContext(tmp_path, {}, PATIENCE_S, no_token_s=silent_s))
    assert load.failure is None
    assert load.records[0].e2e_latency_s > silent_s


def test_a_server_that_refuses_everything_is_not_silent(server, run, impatient):
    server.answer = lambda exchange: exchange.send("500 Internal Server Error", b"no")
    (load,) = run(chat(seconds=1.0), impatient)
    assert (load.failure, load.silent_s) == (None, None)


def test_a_reason_to_stop_is_seen_before_the_first_request_is_answered(server, run, tmp_path):
    server.answer = lambda exchange: exchange.wait_for_the_client_to_leave()
    context = LoadContext(
        tmp_path, {}, PATIENCE_S, should_stop=lambda: "cancelled" if server.seen else None
    )
    (load,) = run(chat(1), context)
    assert (load.failure, load.records) == ("cancelled", ())
    assert server.left.wait(PATIENCE_S)

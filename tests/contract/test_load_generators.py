"""What every load generator owes the product, whatever the server does."""

import itertools
import threading
from contextlib import closing
from datetime import UTC, datetime

import pyarrow.compute as pc
import pytest

from autotuner.bench.base import Target
from autotuner.bench.registry import load_generator
from autotuner.results.level_rows import level_result
from autotuner.results.levels import RequestStatus
from autotuner.spec.experiment import Attempt, Experiment
from autotuner.spec.names import LOAD_GENERATORS
from autotuner.spec.server import Footprint, Model, ServerConfig
from autotuner.spec.workload import StopRule, Workload

LONG_S = 3600.0
"""A stop rule that is not the one that stops."""
SILENT_S = 4.0


def chat(*concurrency, seconds=LONG_S, requests=None):
    return Workload("chat N/1", "D(16,8)", concurrency, StopRule(seconds, requests))


def count(load, status):
    return sum(record.status is status for record in load.records)


def result_of(load):
    server = ServerConfig("sim", Model("/m", "/m"), {})
    experiment = Experiment("exp", 0, {}, server, (), Footprint(0))
    return level_result(
        load.level,
        load.records,
        attempt=Attempt("study", experiment, 1),
        started_at=load.started_at,
        gpus=0,
        failure=load.failure,
        simulated=True,
        client_cpu_s=load.client_cpu_s,
    )


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.genai_bench if name == "genai-bench" else ())
        for name in LOAD_GENERATORS
        # It loads what OME serves, from within that cluster: see test_benchmark_job.
        if name != "ome-benchmarkjob"
    ],
)
def generator(request):
    if request.param == "genai-bench":
        return request.getfixturevalue("genai_bench")
    return load_generator(request.param)


@pytest.fixture(scope="module")
def load_of(generator, tokenizer):
    """Start the generator on a server; the iterator of its levels."""

    def load_of(url, workload, context):
        target = Target(url, "mine", tokenizer, "vllm")
        return generator.run(target, workload, workload.levels, context)

    return load_of


@pytest.fixture(scope="module")
def nothing_left(command_lines):
    """Whether neither a process nor a thread of the generator is left."""

    def nothing_left(context):
        users = [thread for thread in threading.enumerate() if "(_user)" in thread.name]
        return command_lines(context.folder) == [] and users == []

    return nothing_left


@pytest.fixture(scope="module")
def well(load_of, sim, make_context):
    """Three levels on a server in good health, each ended by its number of requests."""
    begun = datetime.now(UTC)
    with sim() as (url, _):
        loads = list(load_of(url, chat(3, 1, 2, requests=6), make_context()))
    return begun, loads


@pytest.fixture(scope="module")
def decided(generator, tokenizer, sim, make_context):
    """Levels that are decided one at a time: the loads, and how many were taken by each of them."""
    taken = []

    def levels():
        for level in chat(2, 1, 3, requests=6).levels:
            taken.append(level)
            yield level

    with sim() as (url, _):
        target = Target(url, "mine", tokenizer, "vllm")
        loads = generator.run(target, chat(requests=6), levels(), make_context())
        return [(load, len(taken)) for load in loads]


@pytest.fixture(scope="module")
def hung(load_of, sim, make_context):
    """A level that is ended by its seconds, on a server that answers no more."""
    with sim("--fault-hang-after-requests", "4") as (url, _):
        (load,) = load_of(url, chat(2, seconds=2.0), make_context())
    return datetime.now(UTC), load


@pytest.fixture(scope="module")
def long_answers(load_of, sim, make_context):
    """A level that is cut before any of its answers is complete."""
    workload = Workload("long", "D(16,100000)", (4,), StopRule(2.0))
    with sim() as (url, _):
        (load,) = load_of(url, workload, make_context())
    return load


@pytest.fixture(scope="module")
def stalled(load_of, sim, make_context):
    """A level that is ended by its seconds, in which nobody got more than a first token."""
    with sim("--fault-stall-tokens-after-requests", "4") as (url, _):
        (load,) = load_of(url, chat(2, seconds=2.0), make_context())
    return load


@pytest.fixture(scope="module")
def early(load_of, sim, make_context):
    """A server whose answers end early, though they were to ignore the end."""
    with sim("--fault-early-eos") as (url, _):
        (load,) = load_of(url, chat(2, requests=6), make_context())
    return load


@pytest.fixture(scope="module")
def silent(load_of, sim, make_context, nothing_left):
    """A server of which nobody gets more than a first token any more; it lives, and is healthy."""
    context = make_context(no_token_s=SILENT_S)
    with (
        sim("--fault-stall-tokens-after-requests", "5") as (url, _),
        closing(load_of(url, chat(2, 3), context)) as loads,
    ):
        load = next(loads)
        return load, nothing_left(context)


@pytest.fixture(scope="module")
def refused(load_of, sim, make_context, nothing_left):
    """Two levels on a server that refuses everything, and the iterator closed before the third."""
    context = make_context()
    with (
        sim("--fault-error-after-requests", "0") as (url, _),
        closing(load_of(url, chat(1, 2, 3, requests=5), context)) as loads,
    ):
        first_two = list(itertools.islice(loads, 2))
    return first_two, nothing_left(context)


@pytest.fixture(scope="module")
def crashed(load_of, sim, make_context, nothing_left):
    """Levels on a server that dies in the middle of the first."""
    with sim("--fault-crash-after-requests", "7") as (url, server):

        def should_stop():
            return None if server.poll() is None else "the server ended"

        context = make_context(should_stop=should_stop)
        loads = list(load_of(url, chat(2, 3, 1), context))
    return loads, nothing_left(context)


class TestLoadGenerator:
    def test_each_level_is_yielded_once_and_in_order(self, well):
        _, loads = well
        assert [load.level for load in loads] == list(chat(3, 1, 2).levels)
        assert [load.failure for load in loads] == [None] * 3

    def test_a_level_is_decided_when_the_one_before_is_known(self, decided):
        assert [load.level.concurrency for load, _ in decided] == [2, 1, 3]
        assert [load.failure for load, _ in decided] == [None] * 3
        assert [taken for _, taken in decided] == [1, 2, 3]
        assert all(count(load, RequestStatus.COMPLETED) >= 6 for load, _ in decided)

    def test_a_level_ends_when_it_has_its_requests(self, well):
        _, loads = well
        for load in loads:
            assert count(load, RequestStatus.COMPLETED) >= 6

    def test_each_level_counts_its_own_requests(self, well):
        # A count that ran on from the first level would end the others before they began.
        _, loads = well
        assert all(len(load.records) >= 6 for load in loads)

    def test_never_more_are_cut_than_were_in_flight(self, well):
        _, loads = well
        for load in loads:
            assert count(load, RequestStatus.CUT) <= load.level.concurrency
            assert count(load, RequestStatus.FAILED) == 0

    def test_requests_stand_in_order_of_start_from_zero(self, well):
        _, loads = well
        for load in loads:
            starts = [record.started_s for record in load.records]
            assert starts == sorted(starts)
            assert starts[0] == pytest.approx(0.0, abs=1.0)
            assert [r.request_index for r in load.records] == list(range(len(starts)))

    def test_a_completed_request_is_measured(self, well):
        _, loads = well
        done = [r for load in loads for r in load.records if r.status is RequestStatus.COMPLETED]
        for record in done:
            assert 0 < record.ttft_s <= record.e2e_latency_s
            assert record.output_tokens == 8
            assert record.input_tokens > 0
            assert record.error_message is None

    def test_a_completed_request_tells_when_each_token_came(self, well):
        _, loads = well
        done = [r for load in loads for r in load.records if r.status is RequestStatus.COMPLETED]
        for record in done:
            assert (record.output_tokens_asked, record.output_chunks) == (8, 8)
            assert len(record.itl_s) == 7
            assert min(record.itl_s) >= 0
            # Rounded to a hundredth of a millisecond each.
            assert sum(record.itl_s) <= record.e2e_latency_s + 7e-5

    def test_a_cut_request_tells_what_it_had_received(self, long_answers, stalled):
        for load in (long_answers, stalled):
            cut = [record for record in load.records if record.status is RequestStatus.CUT]
            assert cut
            for record in cut:
                assert record.ended_s >= record.started_s
                assert 0 <= record.output_chunks <= record.output_tokens_asked
        chunks = [r.output_chunks for r in stalled.records if r.status is RequestStatus.CUT]
        assert chunks == [1, 1]

    def test_tokens_of_cut_requests_are_in_the_throughput(self, long_answers):
        result = result_of(long_answers)
        row, requests = result.summary, result.requests
        window_s = pc.max(requests["ended_s"]).as_py() - pc.min(requests["started_s"]).as_py()
        tokens = sum(record.output_chunks for record in long_answers.records)
        assert row["requests_completed"] == 0
        assert row["output_tokens_cut"] == tokens > 0
        assert row["duration_s"] == pytest.approx(window_s)
        assert row["output_throughput_tok_s"] == pytest.approx(tokens / window_s)

    def test_answers_that_end_early_are_seen(self, early, well):
        row = result_of(early).summary
        assert row["requests_short"] == row["requests_completed"] >= 6
        assert [result_of(load).summary["requests_short"] for load in well[1]] == [0] * 3

    def test_what_the_load_itself_cost_is_known(self, well):
        _, loads = well
        for load in loads:
            assert len(load.client_cpu_s) == 1
            assert result_of(load).summary["client_cpu_share"] > 0

    def test_the_start_of_a_level_is_on_the_wall_clock(self, well):
        begun, loads = well
        starts = [load.started_at for load in loads]
        assert starts == sorted(starts)
        assert begun <= starts[0]
        assert starts[-1] <= datetime.now(UTC)

    def test_a_level_ends_after_its_seconds_and_not_after_whole_minutes(self, hung):
        ended, load = hung
        assert load.failure is None
        assert 1.0 < (ended - load.started_at).total_seconds() < 50.0

    def test_requests_that_were_not_answered_are_cut_not_failed(self, hung):
        _, load = hung
        assert count(load, RequestStatus.CUT) == 2
        assert count(load, RequestStatus.FAILED) == 0
        assert count(load, RequestStatus.COMPLETED) == len(load.records) - 2

    def test_a_level_without_tokens_is_given_up_long_before_its_stop_rule(self, silent):
        load, _ = silent
        assert load.silent_s == SILENT_S
        assert load.failure == "no request received a token or ended for 4 s (timeouts.no_token_s)"

    def test_what_was_measured_before_the_silence_is_kept(self, silent):
        load, _ = silent
        # One of the loads asks for the length of a word first.
        assert count(load, RequestStatus.COMPLETED) in (4, 5)

    def test_a_silent_server_is_free_of_load_when_its_level_is_told(self, silent):
        _, nothing_left = silent
        assert nothing_left

    def test_a_level_that_was_run_was_not_silent(self, well, hung, refused):
        loads = [*well[1], hung[1], *refused[0]]
        assert [load.silent_s for load in loads] == [None] * len(loads)

    def test_a_level_of_errors_alone_was_run_and_is_followed_by_the_next(self, refused):
        loads, _ = refused
        assert [load.level.concurrency for load in loads] == [1, 2]
        for load in loads:
            assert load.failure is None
            assert count(load, RequestStatus.COMPLETED) == 0
            assert count(load, RequestStatus.FAILED) >= 5

    def test_a_failed_request_has_its_reason_and_its_times(self, refused):
        loads, _ = refused
        failed = [r for load in loads for r in load.records if r.status is RequestStatus.FAILED]
        assert all("refused on demand" in record.error_message for record in failed)
        assert all(record.ended_s >= record.started_s for record in failed)

    def test_closing_the_iterator_ends_the_tool(self, refused):
        _, nothing_left = refused
        assert nothing_left

    def test_a_reason_to_stop_is_given_for_each_level_that_is_left(self, crashed):
        loads, _ = crashed
        assert [load.level for load in loads] == list(chat(2, 3, 1).levels)
        assert [load.failure for load in loads] == ["the server ended"] * 3
        assert [len(load.records) for load in loads[1:]] == [0, 0]

    def test_what_was_measured_before_the_server_died_is_kept(self, crashed):
        loads, _ = crashed
        assert 4 <= count(loads[0], RequestStatus.COMPLETED) <= 7

    def test_a_reason_to_stop_ends_the_tool(self, crashed):
        _, nothing_left = crashed
        assert nothing_left

"""genai-bench killed, stopped and deaf: the level is lost with its reason, the others are not."""

import contextlib
import signal
from pathlib import Path

import psutil
import pytest

from autotuner.bench.base import Target
from autotuner.bench.genai_bench import find_executable
from autotuner.node import liveness
from autotuner.node.experiment import run_attempt
from autotuner.results.level_rows import level_result
from autotuner.results.levels import LevelStatus, RequestStatus
from autotuner.spec.experiment import Attempt, Experiment, FailureKind, Phase, Timeouts
from autotuner.spec.server import Footprint, Model, ServerConfig
from autotuner.spec.study import BenchConfig
from autotuner.spec.workload import StopRule, Workload

pytestmark = pytest.mark.genai_bench

LONG_S = 3600.0
"""A stop rule, and a silence, that no test waits for."""
SILENT_S = 4.0


def chat(*concurrency, requests=6, scenario="D(16,8)"):
    return Workload("chat", scenario, concurrency, StopRule(LONG_S, requests))


def programs_of(mark):
    """genai-bench's own processes with the mark; their supervisors name the shim too."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        is_shim = len(words) > 2 and Path(words[2]).name == "genai_bench_shim.py"
        if is_shim and any(mark in word for word in words):
            found.append(process)
    return found


def events_of(context):
    return sorted(context.folder.glob("bench-*/events.jsonl"))


def requests_so_far(context):
    return sum(path.read_text().count('"event": "request"') for path in events_of(context))


def status_of(load):
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
    ).status


@pytest.fixture
def load(genai_bench, tokenizer):
    def load(url, workload, context):
        target = Target(url, "mine", tokenizer, "vllm")
        return contextlib.closing(genai_bench.run(target, workload, workload.levels, context))

    return load


@pytest.fixture
def disturbed(load, sim, make_context, command_lines):
    """Three levels, the first of which is disturbed after 3 of its 40 requests."""

    def run(disturb, **changes):
        disturbances = []

        def meddle():
            if not disturbances and requests_so_far(context) >= 3:
                disturbances.append(True)
                disturb(context)

        context = make_context(should_stop=meddle, **changes)
        with sim() as (url, _), load(url, chat(1, 2, 3, requests=40), context) as loads:
            found = list(loads)
        assert disturbances
        assert command_lines(context.folder) == []
        return context, found

    return run


def assert_only_the_first_is_lost(loads):
    assert [load.level.concurrency for load in loads] == [1, 2, 3]
    assert [status_of(load) for load in loads] == [
        LevelStatus.FAILED,
        LevelStatus.OK,
        LevelStatus.OK,
    ]
    completed = [record.status for record in loads[0].records].count(RequestStatus.COMPLETED)
    assert completed >= 3, "what it had measured is kept for whoever looks for the cause"


def test_a_killed_genai_bench_loses_the_level_it_was_in_and_no_other(disturbed):
    def kill(context):
        for program in programs_of(str(context.folder)):
            program.kill()

    _, loads = disturbed(kill)
    assert_only_the_first_is_lost(loads)
    assert "genai-bench ended early (killed by signal 9)" in loads[0].failure


def test_a_stopped_genai_bench_is_given_up_and_not_taken_for_a_silent_server(disturbed):
    def stop(context):
        for program in programs_of(str(context.folder)):
            program.send_signal(signal.SIGSTOP)

    _, loads = disturbed(stop, no_token_s=SILENT_S)
    assert_only_the_first_is_lost(loads)
    assert "genai-bench itself gave no sign of life for 4 s" in loads[0].failure
    assert "timeouts.no_token_s" in loads[0].failure
    assert loads[0].silent_s is None


def test_a_broken_line_among_the_events_loses_the_level_it_was_in(disturbed):
    def scribble(context):
        with events_of(context)[0].open("a") as events:
            events.write('{"event": "requ\n')

    _, loads = disturbed(scribble)
    assert_only_the_first_is_lost(loads)
    assert "an unreadable line in genai-bench's event file" in loads[0].failure


def test_a_genai_bench_that_cannot_write_its_events_ends_at_once(disturbed):
    def forbid(context):
        size = events_of(context)[0].stat().st_size
        for program in programs_of(str(context.folder)):
            program.rlimit(psutil.RLIMIT_FSIZE, (size, size))

    _, loads = disturbed(forbid)
    assert_only_the_first_is_lost(loads)
    assert "genai-bench ended early (exit status 74)" in loads[0].failure


def test_a_long_answer_that_comes_slowly_is_no_hang(load, sim, make_context):
    silent_s = 3.0
    workload = chat(1, requests=1, scenario="D(16,800)")
    context = make_context(no_token_s=silent_s)
    with sim("--time-scale", "3") as (url, _), load(url, workload, context) as loads:
        (only,) = loads
    assert only.failure is None
    first = only.records[0]
    assert first.e2e_latency_s > 2 * silent_s, "or else this test shows nothing"
    assert first.output_tokens == 800


# Whom an attempt blames


@pytest.fixture
def attempt(genai_bench, make_order, tokenizer):
    """Run an attempt whose only level has no end; ``disturb`` gets its genai-bench once it runs."""

    def run(disturb=lambda _: None, **changes):
        order = make_order(
            bench=BenchConfig("genai-bench", str(find_executable(None))),
            model=Model("/models/m", tokenizer),
            workloads=(chat(2, requests=None),),
            timeouts=Timeouts(start_s=LONG_S, warmup_s=LONG_S, no_token_s=SILENT_S, stop_s=5.0),
            **changes,
        )
        disturbed = []

        def meddle():
            if not disturbed:
                for program in programs_of(order.attempt.served_name):
                    words = program.cmdline()
                    events = Path(words[words.index("--log-dir") + 1], "events.jsonl")
                    if events.exists() and "alive" in events.read_text():
                        disturbed.append(True)
                        disturb(program)

        *_, ended = run_attempt(order, should_stop=meddle)
        return ended.outcome

    return run


def test_a_server_that_falls_silent_under_genai_bench_has_hung(attempt, monkeypatch):
    monkeypatch.setattr(liveness, "_PROBE_S", SILENT_S)
    outcome = attempt(flags={"fault-stall-tokens-after-requests": 20})
    assert (outcome.kind, outcome.phase) == (FailureKind.SERVER_HUNG, Phase.LOAD)
    assert "though the process lives" in outcome.message


def test_a_genai_bench_that_hangs_is_to_blame_itself(attempt):
    outcome = attempt(lambda program: program.send_signal(signal.SIGSTOP))
    assert (outcome.kind, outcome.phase) == (FailureKind.BENCH_FAILED, Phase.LOAD)
    assert "genai-bench itself gave no sign of life" in outcome.evidence

"""genai-bench that boots before there is a server, and waits to be told where it is."""

import contextlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from autotuner.bench.base import Target
from autotuner.node.events import AttemptEnded, LevelMeasured
from autotuner.node.experiment import run_attempt
from autotuner.results.levels import RequestStatus
from autotuner.search.find_load import find_loads
from autotuner.search.level_plans import LevelPlan, NoMore
from autotuner.spec.experiment import Completed, Pruned
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Constraint, Direction, Objective, Over
from autotuner.spec.server import Model
from autotuner.spec.study import BenchConfig
from autotuner.spec.workload import Level, LoadRange, StopRule, Workload

pytestmark = pytest.mark.genai_bench

LONG_S = 3600.0
KEY = "s3cret-key-of-this-test"
PATIENCE_S = 120.0
JUDGING = Judging(Objective("load", "concurrency", Direction.MAXIMIZE, over=Over.BEST))


def chat(*concurrency):
    return Workload("chat", "D(16,8)", concurrency, StopRule(LONG_S, 6))


def events_of(context):
    lines = [path.read_text() for path in context.folder.glob("bench-*/events.jsonl")]
    return [json.loads(line) for line in "".join(lines).splitlines()]


def programs_in(folder):
    """genai-bench and its workers; their supervisors name the shim too."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        is_shim = len(words) > 2 and Path(words[2]).name == "genai_bench_shim.py"
        if is_shim and any(str(folder) in word for word in words):
            found.append(process)
    return found


@pytest.fixture
def boot(genai_bench, tokenizer):
    """Boot without a server; the call, once it has booted."""

    @contextlib.contextmanager
    def boot(workload, context):
        target = Target("", "mine", tokenizer, "vllm", KEY)
        call = genai_bench.boot(target, workload, workload.levels, context)
        with contextlib.closing(call):
            deadline = time.monotonic() + PATIENCE_S
            while not events_of(context):
                assert time.monotonic() < deadline, "it did not boot"
                time.sleep(0.05)
            yield SimpleNamespace(call=call, target=target)

    return boot


@pytest.fixture
def load(genai_bench, tokenizer):
    """Load a server with what has booted; all levels."""

    def load(server, booted, workload, context):
        target = Target(server.url, "mine", tokenizer, "vllm", KEY)
        return list(genai_bench.run(target, workload, workload.levels, context, booted.call))

    return load


@pytest.mark.parametrize("workers", [0, 2])
def test_what_boots_before_the_server_measures_it_when_it_is_there(
    boot, load, unwell, make_context, workers
):
    context, workload = make_context(workers=workers), chat(1, 2)
    with boot(workload, context) as booted, unwell() as server:
        loads = load(server, booted, workload, context)
    assert [load.failure for load in loads] == [None, None]
    statuses = [record.status for load in loads for record in load.records]
    assert statuses.count(RequestStatus.COMPLETED) >= 2 * 6
    assert server.keys == {f"Bearer {KEY}"}
    assert [event["event"] for event in events_of(context)].count("booted") == 1


def test_nothing_is_sent_and_no_level_begun_before_the_server_is_named(boot, unwell, make_context):
    context = make_context()
    with unwell() as server, boot(chat(1), context) as booted:
        assert [event["event"] for event in events_of(context)] == ["booted"]
        (program,) = programs_in(context.folder)
        assert program.net_connections() == []
        assert booted.target.url == ""
    assert server.payloads == []


def test_what_has_booted_in_vain_is_gone_when_it_is_closed(boot, make_context, command_lines):
    context = make_context(workers=2)
    with boot(chat(1), context):
        assert command_lines(context.folder)
    assert command_lines(context.folder) == []


def test_the_boot_s_cpu_time_is_in_no_level(boot, load, unwell, make_context):
    context, workload = make_context(), chat(1)
    with boot(workload, context) as booted, unwell() as server:
        (program,) = programs_in(context.folder)
        boot_s = sum(program.cpu_times()[:2])
        (only,) = load(server, booted, workload, context)
    spent_s = [event["cpu"] for event in events_of(context) if event["event"] == "request"]
    assert only.client_cpu_s[0] == pytest.approx(spent_s[-1][1] - spent_s[0][0])
    assert spent_s[0][0] >= boot_s > only.client_cpu_s[0]


def test_what_died_while_it_waited_fails_its_levels_as_one_that_dies_later(
    boot, load, unwell, make_context
):
    context, workload = make_context(), chat(1, 2)
    with boot(workload, context) as booted, unwell() as server:
        for program in programs_in(context.folder):
            program.kill()
        loads = load(server, booted, workload, context)
    assert ["genai-bench ended early (killed by signal 9)" in x.failure for x in loads] == [
        True
    ] * 2
    assert server.payloads == []


def test_an_attempt_calls_it_once_for_all_levels_of_a_workload(
    make_order, make_workload, tokenizer
):
    order = make_order(
        bench=BenchConfig("genai-bench"),
        model=Model("/models/m", tokenizer),
        workloads=(make_workload("one"), make_workload("other", concurrency=(1,))),
    )
    *events, ended = run_attempt(order)
    assert isinstance(ended, AttemptEnded)
    assert ended.outcome == Completed()
    measured = [event.result for event in events if isinstance(event, LevelMeasured)]
    assert [level.status.value for level in measured] == ["ok"] * 3
    for row in (level.summary for level in measured):
        # A level may be too short to say.
        short = row["foreign_cpus_unknown"] == "the level was shorter than 0.5 s"
        assert short or row["own_cpus"] > 0
    calls = sorted(name for name in ended.logs if name.startswith("bench-"))
    assert calls == ["bench-one-0.log", "bench-other-0.log"]


def test_the_largest_load_is_found_in_one_call(make_order, make_workload, tokenizer):
    span = LoadRange(1, 32)
    workload = replace(
        make_workload("one", concurrency=span.steps, requests=40), repeats=3, find=span
    )
    order = make_order(
        bench=BenchConfig("genai-bench"),
        model=Model("/models/m", tokenizer),
        workloads=(workload,),
        flags={"fault-refuse-above": 5, "time-scale": 1.0},
    )
    no_failures = (Constraint("error_rate", None, 0.0),)
    judging = replace(JUDGING, constraints=no_failures)
    *events, ended = run_attempt(
        order.with_plan(find_loads(order.attempt.experiment.workloads, judging, {}), judging)
    )
    assert ended.outcome == Completed()
    measured = [event.result for event in events if isinstance(event, LevelMeasured)]
    statuses = {level.level.concurrency: level.status.value for level in measured}
    assert statuses == {1: "ok", 2: "ok", 4: "ok", 8: "failed", 6: "failed", 5: "ok"}
    assert ended.facts["levels_end"] == "one: load 5..6 (failed requests limits)"
    assert [name for name in ended.logs if name.startswith("bench-")] == ["bench-one-0.log"]


@dataclass(frozen=True)
class UntilEightAtOnce(LevelPlan):
    """Level by level, until a row says that eight requests were in flight."""

    levels: tuple[Level, ...]

    def next(self, seen):
        if seen and seen[-1].row["concurrency"] == 8:
            return NoMore("eight at once", pruned=True)
        return self.levels[len(seen)]

    @property
    def most(self):
        return self.levels


@pytest.mark.parametrize("workers", [0, 2])
def test_levels_that_a_plan_decides_share_one_call_too(
    make_order, make_workload, tokenizer, workers
):
    order = make_order(
        bench=BenchConfig("genai-bench", workers=workers),
        model=Model("/models/m", tokenizer),
        workloads=(make_workload("one", concurrency=(1, 2, 4, 8, 16, 32)),),
        flags={"time-scale": 0.2},
    )
    *events, ended = run_attempt(replace(order, plan=UntilEightAtOnce(order.levels)))
    assert ended.outcome == Pruned("eight at once")
    measured = [event.result for event in events if isinstance(event, LevelMeasured)]
    statuses = [level.status.value for level in measured]
    before = [level.concurrency for level in order.levels].index(8) + 1
    assert statuses == ["ok"] * before + ["skipped"] * (6 - before)
    assert [name for name in ended.logs if name.startswith("bench-")] == ["bench-one-0.log"]

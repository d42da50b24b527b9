import os
import shlex
import shutil
import socket
import sys
import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from autotuner.engines.custom import CustomEngine
from autotuner.launchers import process as process_launcher
from autotuner.node import failures, liveness, measurement, readiness
from autotuner.node.compile_cache import CACHE_VARIABLE
from autotuner.node.events import AttemptEnded, LevelMeasured, PhaseStarted
from autotuner.node.experiment import run_attempt
from autotuner.results.schema import experiments_schema
from autotuner.search.level_plans import LevelPlan, NoMore
from autotuner.spec.experiment import (
    Cancelled,
    Completed,
    Failed,
    FailureKind,
    Phase,
    Pruned,
    Timeouts,
)
from autotuner.spec.judging import Judging, RequestSlo
from autotuner.spec.objective import Constraint, Direction, Objective, Over
from autotuner.spec.server import CpuPlan
from autotuner.spec.study import BenchConfig
from autotuner.spec.workload import Level

# Beyond any test's patience: a failure that shows before this was not found by waiting.
FOREVER_S = 3600.0
PHASES = [Phase.PREFLIGHT, Phase.SERVER_START, Phase.WARMUP, Phase.LOAD]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Patience that only tells hung from slow on real hardware."""
    monkeypatch.setattr(readiness, "_STRANGER_S", 0.0)
    monkeypatch.setattr(liveness, "_PROBE_S", 0.5)


@pytest.fixture
def no_crashes(monkeypatch):
    """For servers that fail and live on: nobody need wait for their end."""
    monkeypatch.setattr(failures, "_DYING_S", 0.0)


@pytest.fixture(autouse=True)
def scratch(monkeypatch, tmp_path):
    """Where attempts keep their scratch folders; empty again at the end of each test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.glob("*/[!.]*")) == []


def timeouts(**changes):
    few = Timeouts(start_s=FOREVER_S, warmup_s=FOREVER_S, level_grace_s=1.0, stop_s=5.0)
    return replace(few, **changes)


def after_a_good_level(make_workload, **second):
    """Two workloads: one of 3 requests, and one that goes on until something happens."""
    first = make_workload("first", concurrency=(1,))
    options = {"concurrency": (1,), "requests": None, "warmup_requests": 0, **second}
    return (first, make_workload("second", **options))


# Reached in the second workload only: the first asks some 10 times.
LATER = 60


def test_events_come_in_order_and_the_outcome_comes_last(make_order):
    order = make_order()
    events = list(run_attempt(order))
    assert [event.phase for event in events[:4]] == PHASES
    assert all(isinstance(event, PhaseStarted) for event in events[:4])
    assert all(isinstance(event, LevelMeasured) for event in events[4:6])
    assert [e.result.level for e in events[4:6]] == list(order.attempt.experiment.levels)
    assert isinstance(events[6], AttemptEnded)
    assert len(events) == 7
    assert events[6].outcome == Completed()


def test_levels_are_measured_by_the_study_s_own_load_generator(run):
    told = run()
    assert told.statuses == ["ok", "ok"]
    assert all(level.summary["requests_completed"] >= 3 for level in told.levels)
    assert all(level.summary["simulated"] for level in told.levels)


def test_the_facts_say_where_and_how_it_was_measured(make_order, run):
    order = make_order(environment={"OMP_NUM_THREADS": "3"})
    facts = run(order).ended.facts
    assert facts["host"] == socket.gethostname()
    assert facts["simulated"] is True
    assert facts["bench"] == "closed-loop"
    assert facts["bench_version"] == facts["engine_version"]
    assert facts["omp_num_threads"] == "3"
    assert facts["started_at"] < facts["ended_at"]
    command = shlex.split(facts["command"])
    assert command[command.index("--served-model-name") + 1] == order.attempt.served_name
    assert command[command.index("--port") + 1].isdigit()
    times = [name for name in facts if name.startswith("seconds_")]
    assert len(times) == 6
    assert all(facts[name] >= 0 for name in times)
    assert facts["nice"] == os.getpriority(os.PRIO_PROCESS, 0) or facts["nice"] == 0
    assert isinstance(facts["oom_score_adj"], int)


def test_every_fact_is_a_column_of_the_experiment_rows(run):
    assert set(run().ended.facts) <= set(experiments_schema([]).names)


def test_the_server_sees_its_devices_and_no_others(make_order):
    show = "import os, sys; sys.exit('devices: ' + repr(os.environ['CUDA_VISIBLE_DEVICES']))"
    command = [sys.executable, "-c", show, "{port}"]
    for gpu_ids, seen in (((), "''"), (("2", "5"), "'2,5'")):
        order = make_order(engine="custom", command=command)
        *_, ended = run_attempt(order, gpu_ids=gpu_ids)
        assert f"devices: {seen}" in ended.logs["server.log"]
        assert ended.facts["gpu_ids"] == list(gpu_ids)


@pytest.mark.parametrize(
    ("flags", "kind", "evidence"),
    [
        ({"fault-crash-at-start": True}, FailureKind.SERVER_CRASHED, "RuntimeError"),
        ({"fault-exit-code": 3}, FailureKind.SERVER_CRASHED, ""),
        ({"fault-oom-at-start": True}, FailureKind.OUT_OF_MEMORY_AT_LOAD, "CUDA out of memory"),
        ({"no-such-flag": 1}, FailureKind.CONFIG_REJECTED, "--no-such-flag"),
        ({"max-num-seqs": "many"}, FailureKind.CONFIG_REJECTED, "'many'"),
    ],
)
def test_a_server_that_ends_at_start_is_seen_at_once_with_its_reason(run, flags, kind, evidence):
    told = run(flags=flags, timeouts=timeouts())
    assert isinstance(told.outcome, Failed)
    assert (told.outcome.kind, told.outcome.phase) == (kind, Phase.SERVER_START)
    assert evidence in told.outcome.evidence
    assert "the server ended by itself (exit status" in told.outcome.message
    assert told.phases == PHASES[:2]
    assert told.levels == []


def test_the_log_of_a_failed_server_is_kept(run):
    told = run(flags={"fault-oom-at-start": True})
    assert "CUDA out of memory" in told.ended.logs["server.log"]


def test_a_server_that_hangs_at_start_times_out(run):
    told = run(flags={"fault-hang-at-start": True}, timeouts=timeouts(start_s=0.5))
    assert told.outcome.kind is FailureKind.LAUNCH_TIMEOUT
    assert told.outcome.phase is Phase.SERVER_START
    assert "0.5 s (timeouts.start_s)" in told.outcome.message


def test_a_slow_start_is_no_failure(run):
    assert run(flags={"fault-slow-start-s": 1.0}).outcome == Completed()


def test_a_server_under_another_name_was_not_configured_as_asked(run):
    told = run(flags={"fault-wrong-model-name": True}, timeouts=timeouts())
    assert told.outcome.kind is FailureKind.CONFIG_REJECTED
    assert told.outcome.phase is Phase.SERVER_START
    assert "-of-another-server" in told.outcome.message


def test_a_crash_at_warm_up_is_a_crash_and_not_a_failed_request(run):
    told = run(flags={"fault-crash-after-requests": 0})
    assert told.outcome.kind is FailureKind.SERVER_CRASHED
    assert told.outcome.phase is Phase.WARMUP


def test_a_hang_at_warm_up_is_given_up_at_its_deadline(run):
    told = run(flags={"fault-hang-after-requests": 0}, timeouts=timeouts(warmup_s=0.5))
    assert told.outcome.kind is FailureKind.SERVER_HUNG
    assert told.outcome.phase is Phase.WARMUP


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, FailureKind.CONFIG_REJECTED), (500, FailureKind.REQUESTS_FAILED)],
)
def test_errors_at_warm_up_blame_the_workload_or_the_server(run, no_crashes, status, kind):
    told = run(flags={"fault-error-after-requests": 0, "fault-error-status": status})
    assert (told.outcome.kind, told.outcome.phase) == (kind, Phase.WARMUP)
    assert f"HTTP {status}" in told.outcome.message


def test_a_crash_under_load_keeps_the_levels_before_it(run, make_workload):
    told = run(
        flags={"fault-crash-after-requests": LATER},
        workloads=after_a_good_level(make_workload, seconds=FOREVER_S),
    )
    assert told.outcome.kind is FailureKind.SERVER_CRASHED
    assert told.outcome.phase is Phase.LOAD
    assert "exit status 139" in told.outcome.message
    assert told.statuses == ["ok", "failed"]


def test_a_crash_that_fails_requests_before_it_is_seen_is_a_crash_all_the_same(run, make_workload):
    # So many users that the level has all its failed requests before the process is reaped.
    workload = make_workload(concurrency=(32,), requests=LATER + 1, seconds=FOREVER_S)
    told = run(flags={"fault-crash-after-requests": LATER}, workloads=(workload,))
    assert told.outcome.kind is FailureKind.SERVER_CRASHED


def test_a_hang_under_load_keeps_the_levels_before_it(run, no_crashes, make_workload):
    first, second = after_a_good_level(make_workload, seconds=1.0, concurrency=(1, 2))
    told = run(flags={"fault-hang-after-requests": LATER}, workloads=(first, second))
    assert told.outcome.kind is FailureKind.SERVER_HUNG
    assert told.outcome.phase is Phase.LOAD
    assert told.statuses[0] == "ok"
    # The level that saw the hang may have requests from before it; the next has none.
    assert told.statuses in (["ok", "ok", "failed"], ["ok", "failed"])


def test_a_hang_in_the_last_level_is_found_though_the_level_has_requests(
    run, no_crashes, make_workload
):
    told = run(
        flags={"fault-hang-after-requests": LATER},
        workloads=after_a_good_level(make_workload, seconds=1.0, concurrency=(1,)),
    )
    assert told.outcome.kind is FailureKind.SERVER_HUNG
    assert told.statuses[0] == "ok"


def test_refused_requests_fail_their_level_and_the_attempt(run, no_crashes, make_workload):
    workloads = after_a_good_level(
        make_workload, requests=LATER + 10, seconds=FOREVER_S, concurrency=(1, 2)
    )
    told = run(flags={"fault-error-after-requests": LATER}, workloads=workloads)
    assert told.outcome.kind is FailureKind.REQUESTS_FAILED
    assert told.outcome.phase is Phase.LOAD
    assert told.statuses == ["ok", "failed", "failed"]
    assert "2 of 3 levels" in told.outcome.message
    assert "HTTP 500" in told.outcome.evidence


@pytest.mark.parametrize(
    ("allowed", "status"), [((), "failed"), ((0.5,), "ok"), ((0.1,), "failed")]
)
def test_failed_requests_fail_a_level_beyond_the_share_that_the_study_allows(
    run, make_workload, allowed, status
):
    told = run(
        flags={"fault-error-every": 4},
        workloads=(make_workload(concurrency=(1,), requests=12, warmup_requests=0),),
        constraints=tuple(Constraint("error_rate", None, limit) for limit in allowed),
    )
    assert told.statuses == [status]
    assert isinstance(told.outcome, Completed) == (status == "ok")


def test_a_server_that_ignores_sigterm_is_ended_all_the_same(run):
    told = run(flags={"fault-ignore-sigterm": True}, timeouts=timeouts(stop_s=0.2))
    assert told.outcome == Completed()


def test_a_daemon_of_the_server_ends_with_it(run):
    told = run(flags={"fault-spawn-daemon": True})
    log = told.ended.logs["server.log"].split()
    daemon = Path("/proc", log[log.index("daemon") + 1], "cmdline")
    assert not daemon.exists() or b"sleep" not in daemon.read_bytes()


def test_a_missing_program_cannot_be_launched(run):
    told = run(executable="/no/such/python")
    assert told.outcome.kind is FailureKind.LAUNCH_FAILED
    assert told.outcome.phase is Phase.SERVER_START
    assert "/no/such/python" in told.outcome.message


def test_cpus_that_the_node_lacks_cannot_be_pinned(run):
    told = run(cpus=CpuPlan(1, server=(8191,)))
    assert told.outcome.kind is FailureKind.LAUNCH_FAILED
    assert "8191" in told.outcome.message


def test_a_missing_load_generator_is_found_before_the_server_starts(run):
    told = run(bench=BenchConfig("genai-bench", "/no/such/genai-bench"))
    assert told.outcome.kind is FailureKind.LAUNCH_FAILED
    assert told.outcome.phase is Phase.PREFLIGHT
    assert told.phases == [Phase.PREFLIGHT]


COMPILING = """
import os, pathlib, runpy, sys
folder = pathlib.Path(os.environ["COMPILED"])
folder.mkdir(parents=True, exist_ok=True)
(folder / "graph").write_text("whole")
sys.argv = ["sim_server", "--port", "{port}", "--served-model-name", "{served_name}"]
sys.argv += ["--host", "{host}", "--model", "{model}", "--time-scale", "0.05", *FAULT]
runpy.run_module("autotuner.engines.sim_server", run_name="__main__")
"""


@pytest.fixture
def cached(run, monkeypatch, tmp_path):
    """Run a server that compiles, with a fault or none; what its row says of the cache."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "caches"))
    monkeypatch.setattr(CustomEngine, "compile_caches", {"COMPILED": "c"})

    def cached(*fault):
        code = COMPILING.replace("FAULT", repr(list(fault)))
        told = run(engine="custom", command=[sys.executable, "-c", code])
        assert isinstance(told.outcome, Failed if fault else Completed)
        return told.ended.facts["compile_cache"]

    yield cached
    shutil.rmtree(tmp_path / "caches")


def test_a_server_finds_what_the_last_one_on_its_node_compiled(cached):
    assert [cached(), cached()] == ["cold", "warm"]


@pytest.mark.parametrize(
    "fault", [("--fault-oom-at-start",), ("--fault-error-after-requests", "5")]
)
def test_a_server_finds_nothing_that_a_failed_one_compiled(cached, fault):
    assert [cached(), cached(*fault), cached()] == ["cold", "warm", "cold"]


@pytest.fixture
def foreign_server(make_order, find_processes, monkeypatch):
    """Another attempt's server, which has the port that the launcher chooses next."""
    order = make_order()
    events = run_attempt(order)
    while next(events) != PhaseStarted(Phase.WARMUP):
        pass
    command = find_processes(order.attempt.served_name)[-1].cmdline()
    port = int(command[command.index("--port") + 1])
    monkeypatch.setattr(process_launcher, "free_port", lambda: port)
    yield port
    events.close()


def test_a_port_taken_between_choice_and_use_is_told_apart_from_a_bad_server(run, foreign_server):
    told = run(timeouts=timeouts())
    assert told.outcome.kind is FailureKind.PORT_TAKEN
    assert told.outcome.phase is Phase.SERVER_START


def test_a_foreign_server_that_answers_is_never_measured(run, foreign_server):
    told = run(flags={"fault-hang-at-start": True}, timeouts=timeouts())
    assert told.outcome.kind is FailureKind.PORT_TAKEN
    assert f"another server answers on http://127.0.0.1:{foreign_server}" in told.outcome.message


@pytest.mark.parametrize(
    ("phase", "flags"),
    [
        (Phase.PREFLIGHT, {}),
        (Phase.SERVER_START, {"fault-hang-at-start": True}),
        (Phase.WARMUP, {"fault-hang-after-requests": 0}),
        (Phase.LOAD, {}),
        (Phase.LOAD, {"fault-hang-after-requests": 3}),
    ],
)
def test_an_attempt_can_be_cancelled_in_every_phase(run, make_workload, phase, flags):
    endless = make_workload(concurrency=(1, 2), requests=None, seconds=FOREVER_S)
    told = run(stop_in=phase, flags=flags, workloads=(endless,), timeouts=timeouts())
    assert told.outcome == Cancelled("enough")
    assert "ok" not in told.statuses


def test_an_attempt_that_is_abandoned_leaves_nothing(make_order):
    events = run_attempt(make_order())
    while next(events) != PhaseStarted(Phase.LOAD):
        pass
    events.close()


def test_a_secret_is_in_no_log_and_no_fact(run):
    told = run(environment={"HF_TOKEN": "hf_sesame"})
    assert "hf_sesame" not in repr(told.ended)


def test_a_secret_that_the_server_prints_is_masked_everywhere(run):
    leak = "import os, sys; sys.exit('ValueError: bad token ' + os.environ['HF_TOKEN'])"
    told = run(
        engine="custom",
        command=[sys.executable, "-c", leak, "{port}", "hf_sesame"],
        environment={"HF_TOKEN": "hf_sesame"},
    )
    assert isinstance(told.outcome, Failed)
    assert "bad token ***" in told.outcome.evidence
    assert "bad token ***" in told.ended.logs["server.log"]
    assert "hf_sesame" not in repr(told.ended)


def test_a_short_value_under_a_secret_name_does_not_mask_common_words(run):
    told = run(environment={"TOKENIZERS_PARALLELISM": "sim"}, flags={"fault-crash-at-start": True})
    assert "sim_server.py" in told.outcome.evidence


def test_a_bug_becomes_an_outcome_with_its_traceback(run, monkeypatch):
    def broken(*_arguments, **_options):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(measurement, "warm_up", broken)
    told = run()
    assert told.outcome.kind is FailureKind.INTERNAL_ERROR
    assert told.outcome.phase is Phase.WARMUP
    assert "ZeroDivisionError: a bug" in told.outcome.message
    assert "Traceback" in told.outcome.evidence


def test_a_slow_version_command_does_not_hold_up_a_crash(run, monkeypatch):
    release, answered = threading.Event(), []

    def slow(*_):
        answered.append(release.wait(120))

    monkeypatch.setattr(process_launcher, "first_line", slow)
    told = run(flags={"fault-crash-at-start": True})
    release.set()
    assert told.outcome.kind is FailureKind.SERVER_CRASHED
    assert told.ended.facts["engine_version"] is None
    assert answered in ([], [True])  # [False]: it was waited for to the end


@dataclass(frozen=True)
class Until(LevelPlan):
    """Levels in rising order until so many have been seen; the rest is not worth it."""

    levels: tuple[Level, ...]
    count: int
    pruned: bool = False

    def next(self, seen):
        if len(seen) == self.count:
            return NoMore("no more is worth it", self.pruned)
        return self.levels[len(seen)]

    @property
    def most(self):
        return self.levels


def test_levels_that_a_plan_leaves_out_are_rows_with_the_reason(make_order, run, make_workload):
    order = make_order(workloads=(make_workload(concurrency=(1, 2, 4)),))
    told = run(replace(order, plan=Until(order.levels, 1)))
    assert told.outcome == Completed()
    assert told.statuses == ["ok", "skipped", "skipped"]
    assert [level.reason for level in told.levels] == [None, *["no more is worth it"] * 2]
    assert [level.level for level in told.levels] == list(order.levels)
    assert all(level.summary["simulated"] for level in told.levels)


def test_an_experiment_that_a_plan_gives_up_is_pruned_with_the_reason(make_order, run):
    order = make_order()
    told = run(replace(order, plan=Until(order.levels, 1, pruned=True)))
    assert told.outcome == Pruned("no more is worth it")
    assert told.statuses == ["ok", "skipped"]


def test_a_failed_level_fails_the_attempt_whatever_its_plan_makes_of_it(
    make_order, run, no_crashes, make_workload
):
    workloads = after_a_good_level(make_workload, requests=LATER + 10, seconds=FOREVER_S)
    order = make_order(flags={"fault-error-after-requests": LATER}, workloads=workloads)
    told = run(replace(order, plan=Until(order.levels, 2, pruned=True)))
    assert told.outcome.kind is FailureKind.REQUESTS_FAILED
    assert "1 of 2 levels" in told.outcome.message
    assert told.statuses == ["ok", "failed"]


def test_a_plan_sees_goodput_as_the_study_counts_it(make_order, run):
    shares = []

    @dataclass(frozen=True)
    class Watching(Until):
        def next(self, seen):
            shares.extend(one.row["goodput_share"] for one in seen)
            return super().next(seen)

    order = make_order()
    objective = Objective("g", "goodput_share", Direction.MAXIMIZE, over=Over.BEST)
    judging = Judging(objective, request_slos=(RequestSlo("ttft_s", 3600.0),))
    run(order.with_plan(Watching(order.levels, 1), judging))
    assert set(shares) == {1.0}


def test_a_plan_that_gives_what_it_must_not_ends_its_attempt(make_order, run):
    @dataclass(frozen=True)
    class Endless(Until):
        def next(self, seen):
            return self.levels[0]

    order = make_order()
    told = run(replace(order, plan=Endless(order.levels, 1)))
    assert told.outcome.kind is FailureKind.INTERNAL_ERROR
    assert "a second time" in told.outcome.message

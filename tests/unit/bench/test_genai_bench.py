import itertools
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from autotuner.bench import genai_bench, genai_bench_call, genai_bench_progress
from autotuner.bench.base import LoadContext, Target
from autotuner.bench.genai_bench import (
    EXECUTABLE_VARIABLE,
    GenaiBench,
    find_executable,
)
from autotuner.bench.genai_bench_call import held_port
from autotuner.engines.registry import load_engine
from autotuner.errors import LaunchError
from autotuner.results.levels import RequestStatus
from autotuner.spec.workload import Dataset, StopRule, Workload
from autotuner.supervision.process import ProcessExit

TARGET = Target("http://127.0.0.1:1", "mine", "/models/tokenizer", "vllm", "s3cret-key")
STARTED = {"event": "level_started", "clock": 0.0, "time": 1_700_000_000.0}
FINISHED = {"event": "level_finished"}


def request(started=1.0):
    times = {"started": started, "first": started + 0.1, "ended": started + 0.5}
    counts = {"input_tokens": 10, "output_tokens": 5, "reasoning_tokens": None}
    return {"event": "request", **times, **counts}


def level(requests=1):
    return [STARTED, *(request() for _ in range(requests)), FINISHED]


class FakeCall:
    """A process that writes events, a step each time that it is asked whether it lives."""

    def __init__(self, command, *, environment, log_path, **options):
        self.command, self.environment, self.log_path = command, environment, log_path
        self.options, self.stopped = options, False
        self.steps, self.lives_on = [], True
        self.exit = ProcessExit(0, "exited")
        words = itertools.pairwise(command)
        self._concurrencies = [int(value) for flag, value in words if flag == "--num-concurrency"]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stopped = True

    @property
    def alive(self):
        if self.steps:
            self._write(self.steps.pop(0))
        return bool(self.steps) or self.lives_on

    def log_tail(self):
        return "last words\n"

    def _write(self, events):
        events_file = Path(json.loads(self.environment["AUTOTUNER_SHIM"])["events"])
        with events_file.open("a") as out:
            for event in events:
                if event == STARTED:
                    event = {**STARTED, "concurrency": self._concurrencies.pop(0)}
                out.write(event if isinstance(event, str) else json.dumps(event) + "\n")


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A program beside an interpreter, as in an environment of genai-bench's."""
    folder = tmp_path / "environment" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    found = folder / "genai-bench"
    found.write_text("#!/bin/sh\n")
    found.chmod(0o755)
    monkeypatch.delenv(EXECUTABLE_VARIABLE, raising=False)
    return found


@pytest.fixture
def context(tmp_path, program):
    def context(**changes):
        settings = {"folder": tmp_path / "scratch", "environment": {"PATH": "/bin"}}
        settings |= {"level_grace_s": 60.0, "executable": str(program)}
        return LoadContext(**{**settings, **changes})

    return context


@pytest.fixture
def calls(monkeypatch):
    """Calls made, and what is to happen in those to come: ``(steps, lives_on)`` each."""
    made, plans = [], []

    def start(*arguments, **options):
        call = FakeCall(*arguments, **options)
        if plans:
            call.steps, call.lives_on = plans.pop(0)
        made.append(call)
        return call

    monkeypatch.setattr(genai_bench_call, "SupervisedProcess", start)
    monkeypatch.setattr(genai_bench_call, "_POLL_S", 0.0)
    return made, plans


def chat(*concurrency, **changes):
    settings = {"name": "chat", "scenario": "D(10,5)", "stop": StopRule(30.0)}
    return Workload(**{**settings, "concurrency": concurrency or (1, 2, 4), **changes})


def run(workload, context, target=TARGET):
    return list(GenaiBench().run(target, workload, workload.levels, context))


def one_call(calls, context, workload=None, target=TARGET):
    """The call of a workload whose levels all end well."""
    made, plans = calls
    workload = workload or chat()
    plans.append(([[event for _ in workload.levels for event in level()]], True))
    assert [load.failure for load in run(workload, context, target)] == [None] * len(
        workload.levels
    )
    (call,) = made
    return call


def option(call, flag):
    assert call.command.count(flag) == 1
    return call.command[call.command.index(flag) + 1]


# The command line


def test_the_program_runs_below_the_shim_in_its_own_interpreter(calls, context, program):
    command = one_call(calls, context()).command
    shim = Path(genai_bench_call.__file__).with_name("genai_bench_shim.py")
    assert command[:4] == [str(program.with_name("python")), "-I", str(shim), "benchmark"]


def test_the_backend_stands_before_the_options_that_depend_on_it(calls, context):
    command = one_call(calls, context()).command
    assert command.index("--api-backend") < command.index("--api-key")
    assert command.index("--api-backend") < command.index("--task")


@pytest.mark.parametrize("engine", ["vllm", "sglang", "sim", "custom"])
def test_no_engine_is_loaded_through_the_backend_that_strips_ignore_eos(calls, context, engine):
    backend = load_engine(engine).bench_backend
    target = Target(TARGET.url, "mine", "/models/tokenizer", backend)
    assert option(one_call(calls, context(), target=target), "--api-backend") in ("vllm", "sglang")


def test_the_key_travels_in_the_environment_and_never_on_the_command_line(calls, context):
    call = one_call(calls, context())
    assert call.environment["MODEL_API_KEY"] == TARGET.api_key
    assert TARGET.api_key not in " ".join(call.command)


def test_without_a_key_none_is_claimed(calls, context):
    target = Target(TARGET.url, "mine", "/models/tokenizer", "vllm")
    assert "MODEL_API_KEY" not in one_call(calls, context(), target=target).environment


@pytest.mark.parametrize("seconds", [0.5, 59.0, 60.0, 90.0, 3600.0])
def test_the_limit_in_minutes_lies_beyond_the_one_in_seconds(calls, context, seconds):
    call = one_call(calls, context(), chat(stop=StopRule(seconds)))
    assert int(option(call, "--max-time-per-run")) * 60 > seconds
    assert json.loads(call.environment["AUTOTUNER_SHIM"])["seconds"] == seconds


def test_a_stop_rule_without_a_count_never_stops_by_count(calls, context):
    call = one_call(calls, context())
    assert json.loads(call.environment["AUTOTUNER_SHIM"])["requests"] is None
    assert int(option(call, "--max-requests-per-run")) > 10**9


def test_a_stop_rule_with_a_count_is_told(calls, context):
    call = one_call(calls, context(), chat(stop=StopRule(30.0, 20)))
    assert json.loads(call.environment["AUTOTUNER_SHIM"])["requests"] == 20
    assert option(call, "--max-requests-per-run") == "20"


def test_all_levels_of_a_workload_share_a_call_in_their_order(calls, context):
    command = one_call(calls, context(), chat(8, 1, 4)).command
    values = [command[i + 1] for i, word in enumerate(command) if word == "--num-concurrency"]
    assert values == ["8", "1", "4"]


@pytest.mark.parametrize("flag", ["--warmup-ratio", "--cooldown-ratio"])
def test_options_that_falsify_the_numbers_are_never_passed(calls, context, flag):
    assert flag not in one_call(calls, context()).command


def test_without_workers_one_process_does_it_all(calls, context):
    command = one_call(calls, context()).command
    assert "--num-workers" not in command
    assert "--master-port" not in command


def test_workers_find_their_master_at_a_port_of_their_own(calls, context):
    made, plans = calls
    ports = []
    for name in ("one", "other"):
        plans.append(([[*level()]], True))
        loads = GenaiBench().run(TARGET, chat(1, name=name), chat(1).levels, context(workers=3))
        next(loads)  # and is still running
        assert option(made[-1], "--num-workers") == "3"
        ports.append((option(made[-1], "--master-port"), loads))
    assert len({port for port, _ in ports} | {"5557"}) == 3


def test_a_held_port_is_given_to_nobody_and_lets_its_own_listener_in():
    with held_port() as port, socket.socket() as master, socket.socket() as stranger:
        with pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))
        master.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        master.bind(("127.0.0.1", port))
        master.listen()


def test_request_parameters_keep_their_types(calls, context):
    request = {"temperature": 0.0, "top_k": 5, "stop": None, "name": "0.0", "deep": {"a": [True]}}
    call = one_call(calls, context(), chat(request=request))
    assert json.loads(option(call, "--additional-request-params")) == request


def test_without_request_parameters_none_are_passed(calls, context):
    assert "--additional-request-params" not in one_call(calls, context()).command


def test_a_dataset_is_named_by_those_of_its_parts_that_are_given(calls, context):
    dataset = Dataset(path="/data/prompts.csv", prompt_column="text")
    call = one_call(calls, context(), chat(scenario="dataset", dataset=dataset))
    assert option(call, "--traffic-scenario") == "dataset"
    assert option(call, "--dataset-path") == "/data/prompts.csv"
    assert option(call, "--dataset-prompt-column") == "text"
    assert "--dataset-config" not in call.command


def test_everything_that_genai_bench_writes_lies_in_the_calls_own_folder(calls, context, tmp_path):
    call = one_call(calls, context())
    folder = option(call, "--experiment-base-dir")
    assert folder == option(call, "--log-dir") == str(call.options["cwd"])
    assert Path(folder).parent == tmp_path / "scratch"
    assert call.log_path.parent == tmp_path / "scratch"
    assert call.log_path.suffix == ".log"


def test_the_context_decides_on_environment_and_cpus(calls, context):
    call = one_call(calls, context(environment={"HF_HOME": "/models"}, cpus=(3, 4)))
    assert call.environment["HF_HOME"] == "/models"
    assert call.options["cpus"] == (3, 4)


@pytest.mark.parametrize("name", ["N(480,240)/(300,150)", "../../up", "/etc", "a b", "x" * 300])
def test_a_workloads_name_leads_no_file_astray(calls, context, tmp_path, name):
    call = one_call(calls, context(), chat(name=name))
    assert call.log_path.parent == tmp_path / "scratch"
    assert call.options["cwd"].parent == tmp_path / "scratch"


def test_workloads_with_similar_names_share_neither_folder_nor_log(calls, context):
    made, plans = calls
    for name in ("a/b", "a(b)", "a/b"):
        plans.append(([level()], True))
        run(chat(1, name=name), context())
    assert len({call.options["cwd"] for call in made}) == 3
    assert len({call.log_path for call in made}) == 3


# Booted ahead of the server


def boot(workload, context):
    return GenaiBench().boot(TARGET, workload, workload.levels, context)


def go_of(call):
    return Path(json.loads(call.environment["AUTOTUNER_SHIM"])["go"])


def test_a_call_that_has_booted_is_used_and_no_other_is_made(calls, context):
    made, plans = calls
    plans.append(([[*level(), *level(2)]], True))
    workload = chat(1, 2)
    booted = boot(workload, context())
    loads = list(GenaiBench().run(TARGET, workload, workload.levels, context(), booted))
    assert [len(load.records) for load in loads] == [1, 2]
    assert len(made) == 1
    assert made[0].stopped


def test_it_is_told_where_the_server_is_when_its_levels_run_and_not_before(calls, context):
    made, plans = calls
    plans.append(([level()], True))
    booted = boot(chat(1), context())
    assert TARGET.url not in " ".join(made[0].command)
    assert not go_of(made[0]).exists()
    list(GenaiBench().run(TARGET, chat(1), chat(1).levels, context(), booted))
    assert json.loads(go_of(made[0]).read_text()) == {"url": TARGET.url, "environment": {}}


def test_variables_that_came_with_the_server_are_told_and_no_others(calls, context):
    made, plans = calls
    plans.append(([level()], True))
    booted = boot(chat(1), context(environment={"A": "1", "NO_PROXY": "localhost"}))
    later = context(environment={"A": "1", "NO_PROXY": "localhost,10.0.0.7"})
    list(GenaiBench().run(TARGET, chat(1), chat(1).levels, later, booted))
    told = json.loads(go_of(made[0]).read_text())["environment"]
    assert told == {"NO_PROXY": "localhost,10.0.0.7"}


def test_a_call_that_needs_no_boot_ahead_is_told_at_once(calls, context):
    call = one_call(calls, context())
    assert json.loads(go_of(call).read_text())["url"] == TARGET.url


def test_levels_behind_a_booted_call_that_died_get_a_new_one(calls, context):
    made, plans = calls
    plans.append(([[*level(), STARTED]], False))
    plans.append(([level(3)], True))
    workload = chat(1, 2, 4)
    booted = boot(workload, context())
    loads = list(GenaiBench().run(TARGET, workload, workload.levels, context(), booted))
    assert [load.failure is None for load in loads] == [True, False, True]
    assert len(made) == 2


def test_a_call_that_has_booted_in_vain_ends_when_it_is_closed(calls, context):
    made, _ = calls
    booted = boot(chat(1), context(workers=2))
    assert not made[0].stopped
    booted.close()
    booted.close()
    assert made[0].stopped


def test_patience_with_the_boot_begins_when_the_server_is_there(calls, context, monkeypatch):
    """A server may take an hour to start."""
    _, plans = calls
    plans.append(([level()], True))
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(genai_bench_progress.time, "monotonic", lambda: clock.now)
    booted = boot(chat(1), context())
    clock.now = 3600.0
    (load,) = GenaiBench().run(TARGET, chat(1), chat(1).levels, context(), booted)
    assert load.failure is None


def test_a_disk_that_is_full_by_then_fails_the_levels(calls, context, monkeypatch):
    made, _ = calls
    booted = boot(chat(1, 2), context())
    go_of(made[0]).parent.rename(go_of(made[0]).parent.with_name("gone"))
    loads = list(GenaiBench().run(TARGET, chat(1, 2), chat(1, 2).levels, context(), booted))
    assert len(loads) == 2
    assert all("genai-bench cannot be told to begin" in load.failure for load in loads)


# Levels that are decided one at a time


def one_by_one(*concurrency):
    """An iterator of the workload's levels, and those that have been taken of it."""
    taken = []

    def levels():
        for level in chat(*concurrency).levels:
            taken.append(level.concurrency)
            yield level

    return levels(), taken


def told_later(call):
    path = Path(json.loads(call.environment["AUTOTUNER_SHIM"])["levels"])
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_levels_that_are_decided_later_are_told_to_the_call_that_runs(calls, context):
    made, plans = calls
    levels, _ = one_by_one(2, 1, 8)
    plans.append(([[*level(), {**STARTED, "concurrency": 1}, FINISHED], [], []], True))
    made_steps = [{**STARTED, "concurrency": 8}, request(), FINISHED]
    plans[0][0].append(made_steps)
    loads = list(GenaiBench().run(TARGET, chat(1, 2, 8), levels, context()))
    assert [load.level.concurrency for load in loads] == [2, 1, 8]
    assert [load.failure for load in loads] == [None] * 3
    (call,) = made
    assert option(call, "--num-concurrency") == "2"
    assert told_later(call) == [1, 8]


def test_a_later_level_is_taken_only_when_the_one_before_is_behind_us(calls, context):
    _, plans = calls
    levels, taken = one_by_one(1, 2)
    plans.append(([level()], True))
    loads = GenaiBench().run(TARGET, chat(1, 2), levels, context())
    assert taken == []
    assert next(loads).level.concurrency == 1
    assert taken == [1]
    loads.close()


def test_a_call_that_has_booted_for_the_first_level_is_told_the_rest(calls, context):
    made, plans = calls
    levels, _ = one_by_one(1, 2)
    plans.append(([[*level(), {**STARTED, "concurrency": 2}, request(), FINISHED]], True))
    workload = chat(1, 2)
    booted = GenaiBench().boot(TARGET, workload, workload.levels[:1], context())
    loads = list(GenaiBench().run(TARGET, workload, levels, context(), booted))
    assert [load.failure for load in loads] == [None, None]
    assert len(made) == 1
    assert told_later(made[0]) == [2]


def test_a_later_level_whose_call_died_before_it_gets_a_new_call(calls, context):
    made, plans = calls
    levels, _ = one_by_one(1, 2)
    plans.append(([level()], False))
    plans.append(([level()], True))
    loads = list(GenaiBench().run(TARGET, chat(1, 2), levels, context()))
    assert [load.failure for load in loads] == [None, None]
    assert [option(call, "--num-concurrency") for call in made] == ["1", "2"]


def test_later_levels_of_a_call_that_begins_nothing_fail_without_another(calls, context):
    made, plans = calls
    levels, _ = one_by_one(1, 2, 4)
    plans.append(([[]], False))
    loads = list(GenaiBench().run(TARGET, chat(1, 2, 4), levels, context()))
    assert len(made) == 1
    assert len(loads) == 3
    assert all("last words" in load.failure for load in loads)


def test_a_reason_to_stop_is_the_failure_of_later_levels_too(calls, context):
    levels, _ = one_by_one(1, 2)
    stopped = context(should_stop=lambda: "cancelled")
    loads = list(GenaiBench().run(TARGET, chat(1, 2), levels, stopped))
    assert [load.failure for load in loads] == ["cancelled", "cancelled"]


def test_without_any_later_level_nothing_is_started(calls, context):
    made, _ = calls
    assert list(GenaiBench().run(TARGET, chat(1, 2), iter(()), context())) == []
    assert made == []


# One LevelLoad per level, whatever happens


def test_levels_are_yielded_as_they_end(calls, context):
    made, plans = calls
    plans.append(([[STARTED, request()], [FINISHED, *level(2)], level(3)], True))
    loads = run(chat(1, 2, 4), context())
    assert [load.level.concurrency for load in loads] == [1, 2, 4]
    assert [len(load.records) for load in loads] == [1, 2, 3]
    assert [load.failure for load in loads] == [None] * 3
    assert all(load.started_at for load in loads)
    assert len(made) == 1


def test_a_level_is_yielded_before_the_next_one_begins(calls, context):
    made, plans = calls
    plans.append(([level(), level()], True))
    loads = GenaiBench().run(TARGET, chat(1, 2), chat(1, 2).levels, context())
    assert next(loads).level.concurrency == 1
    assert len(made[0].steps) == 1
    loads.close()


def test_what_a_dying_process_wrote_last_is_not_lost(calls, context):
    # The events appear while it is asked whether it lives, and the answer is no.
    _, plans = calls
    plans.append(([level(1), level(2)], False))
    loads = run(chat(1, 2), context())
    assert [(len(load.records), load.failure) for load in loads] == [(1, None), (2, None)]


def test_a_process_that_ends_early_with_status_0_loses_the_level_it_was_in_alone(calls, context):
    made, plans = calls
    plans.append(([[*level(), STARTED, request()]], False))
    plans.append(([level(3)], True))
    loads = run(chat(1, 2, 4), context())
    assert [load.failure is None for load in loads] == [True, False, True]
    assert "exit status 0" in loads[1].failure
    assert "last words" in loads[1].failure
    assert [len(load.records) for load in loads] == [1, 1, 3]
    assert [call.command[-1] for call in made] == ["4", "4"]
    assert made[1].command.count("--num-concurrency") == 1


def test_a_call_that_begins_nothing_is_not_made_again(calls, context):
    made, plans = calls
    plans.append(([[]], False))
    loads = run(chat(1, 2, 4), context())
    assert len(made) == 1
    assert len(loads) == 3
    assert all("last words" in load.failure for load in loads)


def test_a_boot_that_takes_too_long_says_so(calls, context, monkeypatch):
    made, _ = calls
    monkeypatch.setattr(genai_bench_call, "_BOOT_S", -1.0)
    loads = run(chat(1, 2), context())
    assert len(loads) == 2
    assert all("began no level" in load.failure for load in loads)
    assert all("last words" in load.failure for load in loads)
    assert [call.stopped for call in made] == [True]


def test_a_level_that_does_not_end_is_given_up_and_the_next_one_runs(calls, context):
    made, plans = calls
    plans.append(([[STARTED, request()], []], True))
    plans.append(([level()], True))
    loads = run(chat(1, 2, stop=StopRule(0.01)), context(level_grace_s=0.0))
    assert "did not come to an end in time" in loads[0].failure
    assert len(loads[0].records) == 1
    assert loads[1].failure is None
    assert [call.stopped for call in made] == [True, True]


def test_a_level_without_a_token_is_given_up_before_its_stop_rule(calls, context):
    made, plans = calls
    waiting = [[{"event": "alive", "tokens": False}]] * 10_000
    plans.append(([[STARTED, request()], *waiting], True))
    plans.append(([level()], True))
    loads = run(chat(1, 2, stop=StopRule(3600.0)), context(no_token_s=0.05))
    assert loads[0].failure == (
        "no request received a token or ended for 0.05 s (timeouts.no_token_s)"
    )
    assert loads[0].silent_s == 0.05
    assert len(loads[0].records) == 1
    assert (loads[1].failure, loads[1].silent_s) == (None, None)
    assert [call.stopped for call in made] == [True, True]


def test_a_level_is_lost_only_when_the_load_has_ended(calls, context):
    made, plans = calls
    plans.append(([[STARTED, request()]], False))
    loads = GenaiBench().run(TARGET, chat(1, 2), chat(1, 2).levels, context())
    assert next(loads).failure
    assert made[0].stopped
    loads.close()


def test_a_call_that_ends_between_two_levels_loses_neither(calls, context):
    made, plans = calls
    plans.append(([level()], False))
    plans.append(([[*level(), *level()]], True))
    assert [load.failure for load in run(chat(1, 2, 4), context())] == [None, None, None]
    assert made[1].command.count("--num-concurrency") == 2


def test_signs_of_life_come_often_enough_to_tell_a_silence(calls, context):
    for no_token_s, beat_s in ((120.0, 1.0), (2.0, 0.25)):
        calls[0].clear()
        call = one_call(calls, context(no_token_s=no_token_s))
        assert json.loads(call.environment["AUTOTUNER_SHIM"])["beat_s"] == beat_s


def test_a_damaged_line_fails_its_level_and_the_next_one_gets_a_new_call(calls, context):
    made, plans = calls
    plans.append(([[STARTED, request(), '{"event": "requ\n', request(), FINISHED]], True))
    plans.append(([level()], True))
    loads = run(chat(1, 2), context())
    assert "unreadable" in loads[0].failure
    assert loads[1].failure is None
    assert len(made) == 2


def test_a_line_cut_short_by_the_end_of_the_process_raises_nothing(calls, context):
    _, plans = calls
    plans.append(([[*level(), STARTED, request(), '{"event": "reque']], False))
    loads = run(chat(1, 2), context())
    assert loads[0].failure is None
    assert len(loads[1].records) == 1
    assert "ended early" in loads[1].failure


def test_a_reason_to_stop_is_the_failure_of_all_that_is_left(calls, context):
    made, plans = calls
    plans.append(([[*level(), STARTED, request()]], True))
    reasons = iter([None, None, "the server ended", "the server ended"])
    workload = chat(1, 2, 4)
    loads = run(workload, context(should_stop=lambda: next(reasons)))
    assert [load.failure for load in loads] == [None, "the server ended", "the server ended"]
    assert [len(load.records) for load in loads] == [1, 1, 0]
    assert [call.stopped for call in made] == [True]


def test_with_a_reason_to_stop_nothing_is_started(calls, context):
    made, _ = calls
    loads = run(chat(1, 2), context(should_stop=lambda: "cancelled"))
    assert [load.failure for load in loads] == ["cancelled", "cancelled"]
    assert made == []


def test_closing_the_iterator_ends_the_process(calls, context):
    made, plans = calls
    plans.append(([level()], True))
    loads = GenaiBench().run(TARGET, chat(1, 2), chat(1, 2).levels, context())
    next(loads)
    assert not made[0].stopped
    loads.close()
    assert made[0].stopped


def test_an_unfit_genai_bench_is_named_as_the_reason(tmp_path, program, context):
    packages = tmp_path / "packages"
    (packages / "genai_bench" / "cli").mkdir(parents=True)
    (packages / "genai_bench" / "__init__.py").touch()
    (packages / "genai_bench" / "cli" / "__init__.py").touch()
    (packages / "genai_bench" / "cli" / "cli.py").write_text("def cli(): pass\n")
    python = program.with_name("python")
    python.unlink()
    # An interpreter with that package and no other, called as "python -I SHIM benchmark ...".
    python.write_text(
        f"#!{sys.executable} -I\n"
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(packages)!r})\n"
        "del sys.argv[:2]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    python.chmod(0o755)
    loads = run(chat(1, 2), context(environment=dict(os.environ)))
    assert len(loads) == 2
    for load in loads:
        assert "exit status 78" in load.failure
        assert "does not fit autotuner (made for 0.0.5)" in load.failure
    assert load.records == ()


def test_events_that_cannot_be_written_end_the_program_with_the_reason():
    shim = Path(genai_bench_call.__file__).with_name("genai_bench_shim.py")
    code = f"import runpy; runpy.run_path({str(shim)!r})['_emit']('request')"
    options = {"AUTOTUNER_SHIM": json.dumps({"events": "/dev/full"})}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=options
    )
    assert done.returncode == 74
    assert "No space left on device" in done.stderr


def replaced(program, script):
    """Put the script into the place of genai-bench's interpreter."""
    python = program.with_name("python")
    python.unlink()
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)


def test_a_program_that_ends_without_a_word_fails_every_level(context, program):
    replaced(program, "exit 0")
    first, second = run(chat(1, 2), context())
    assert first.failure == second.failure
    assert first.failure == "genai-bench ended early (exit status 0); it wrote nothing"
    assert first.records == second.records == ()


def test_a_program_that_does_nothing_fails_every_level_in_the_end(context, program, monkeypatch):
    monkeypatch.setattr(genai_bench_call, "_BOOT_S", 0.2)
    replaced(program, "exec sleep 600")
    first, second = run(chat(1, 2), context())
    assert first.failure == second.failure
    assert first.failure == "genai-bench began no level within 0.2 s; it wrote nothing"


def test_a_full_disk_is_named_even_where_the_log_could_not_take_the_words(
    context, program, monkeypatch
):
    usage = SimpleNamespace(total=10**9, used=10**9, free=0)
    monkeypatch.setattr(genai_bench_call.shutil, "disk_usage", lambda _: usage)
    replaced(program, "exit 1")
    (load,) = run(chat(1), context())
    assert "no space left on device in /" in load.failure


# Where the program is found


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A program at each place that is looked at, in order."""
    found = {}
    for place in ("study", "node", "envs/genai-bench", "path"):
        folder = tmp_path / "places" / place / "bin"
        folder.mkdir(parents=True)
        found[place] = folder / "genai-bench"
        found[place].write_text("#!/bin/sh\n")
        found[place].chmod(0o755)
    monkeypatch.setenv(EXECUTABLE_VARIABLE, str(found["node"]))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "places" / "envs" / "autotuner"))
    monkeypatch.setenv("PATH", str(found["path"].parent))
    return found


def test_the_studys_program_comes_before_the_nodes_the_siblings_and_the_paths(places, monkeypatch):
    assert find_executable(str(places["study"])) == places["study"]
    assert find_executable(None) == places["node"]
    monkeypatch.delenv(EXECUTABLE_VARIABLE)
    assert find_executable(None) == places["envs/genai-bench"]
    places["envs/genai-bench"].unlink()
    assert find_executable(None) == places["path"]


def test_a_bare_name_of_the_study_is_looked_for_on_the_path(places):
    assert find_executable("genai-bench") == places["path"]


def test_what_is_not_executable_is_no_program(places, monkeypatch):
    monkeypatch.delenv(EXECUTABLE_VARIABLE)
    places["envs/genai-bench"].chmod(0o644)
    assert find_executable(None) == places["path"]


def test_a_program_that_is_named_and_missing_is_never_replaced_by_another(places, tmp_path):
    missing = str(tmp_path / "genai-bench-0.0.4")
    with pytest.raises(LaunchError, match=re.escape(f"looked for {missing})")):
        find_executable(missing)
    places["node"].unlink()
    with pytest.raises(LaunchError, match=re.escape(f"looked for {places['node']})")):
        find_executable(None)


def test_where_there_is_none_the_error_lists_the_places_and_the_cure(places, monkeypatch):
    monkeypatch.delenv(EXECUTABLE_VARIABLE)
    for place in places.values():
        place.unlink()
    with pytest.raises(LaunchError) as caught:
        find_executable(None)
    message = str(caught.value)
    assert str(places["envs/genai-bench"]) in message
    assert "genai-bench==0.0.5" in message
    assert EXECUTABLE_VARIABLE in message


def test_a_missing_program_is_an_error_before_any_level(context, tmp_path, monkeypatch):
    missing = str(tmp_path / "missing")
    monkeypatch.delenv(EXECUTABLE_VARIABLE, raising=False)
    with pytest.raises(LaunchError, match="missing"):
        run(chat(1), context(executable=missing))
    with pytest.raises(LaunchError, match="missing"):
        GenaiBench().version(context(executable=missing))


def test_a_program_without_an_interpreter_beside_it_is_an_error(context, program):
    program.with_name("python").unlink()
    with pytest.raises(LaunchError, match="no python beside"):
        run(chat(1), context())


def test_a_link_to_the_program_leads_to_its_own_interpreter(calls, context, program, tmp_path):
    link = tmp_path / "elsewhere" / "genai-bench"
    link.parent.mkdir()
    (link.parent / "python").symlink_to("/bin/true")
    link.symlink_to(program)
    command = one_call(calls, context(executable=str(link))).command
    assert command[0] == str(program.with_name("python"))


def test_the_version_is_that_of_the_programs_environment(context, program):
    replaced(program, "echo 0.0.5")
    assert GenaiBench().version(context()) == "0.0.5"


def test_a_version_that_cannot_be_told_is_none(context, program):
    replaced(program, "echo trouble >&2; exit 1")
    assert GenaiBench().version(context()) is None


@pytest.mark.parametrize("script", ["exec sleep 600", None])
def test_an_interpreter_that_does_not_answer_is_an_error(context, program, monkeypatch, script):
    monkeypatch.setattr(genai_bench, "_VERSION_S", 0.2)
    replaced(program, script)
    if script is None:
        program.with_name("python").write_bytes(b"\x7fELF, or so it says")
    with pytest.raises(LaunchError, match="genai-bench's interpreter does not answer"):
        GenaiBench().version(context())


def test_a_level_at_another_concurrency_than_asked_is_no_measurement_of_the_asked_one(
    calls, context
):
    _, plans = calls
    other = {**STARTED, "concurrency": 4}
    plans.append(([[*level(), other, request(), FINISHED]], True))
    plans.append(([level()], True))
    first, second, third = run(chat(1, 2, 4), context())
    assert (first.failure, third.failure) == (None, None)
    assert "began concurrency 4 where 2 was asked for" in second.failure
    assert second.records == ()


def test_using_genai_bench_imports_none_of_it(calls, context):
    # Importing it would patch this whole process for gevent.
    code = (
        "import sys, autotuner.bench.registry, autotuner.node.experiment\n"
        "from autotuner.bench.registry import load_generator\n"
        "load_generator('genai-bench')\n"
        "print([name for name in ('genai_bench', 'locust', 'gevent') if name in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed == "[]\n"


def test_records_of_a_failed_level_are_kept(calls, context):
    _, plans = calls
    plans.append(
        ([[STARTED, request(1.0), {"event": "request", "started": 2.0, "cut": True}]], False)
    )
    (load,) = run(chat(2), context())
    assert [record.status for record in load.records] == [
        RequestStatus.COMPLETED,
        RequestStatus.CUT,
    ]
    assert load.failure is not None

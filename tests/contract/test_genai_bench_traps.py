"""What genai-bench 0.0.5 does wrong when left alone, each provoked and seen to do no harm.

Each of the servers below is loaded by one call of the real program; the tests look at what came
of it.
"""

import ast
import contextlib
import csv
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

import autotuner
from autotuner.bench.base import Target
from autotuner.node.logs import collect_logs
from autotuner.results.level_rows import level_result
from autotuner.results.levels import LevelStatus, RequestStatus
from autotuner.spec.experiment import Attempt, Experiment
from autotuner.spec.server import Footprint, Model, ServerConfig
from autotuner.spec.workload import Dataset, StopRule, Workload

pytestmark = pytest.mark.genai_bench

LONG_S = 3600.0
KEY = "s3cret-key-of-this-test"


@pytest.fixture(scope="module")
def load(genai_bench, tokenizer):
    """Start genai-bench on a server; the iterator of its levels."""

    def load(server, workload, context, backend="vllm"):
        target = Target(server.url, "mine", tokenizer, backend, KEY)
        return contextlib.closing(genai_bench.run(target, workload, workload.levels, context))

    return load


def own_results(context):
    """What genai-bench itself wrote about each level, by concurrency."""
    files = context.folder.glob("bench-*/out/*_time_*s.json")
    contents = [json.loads(file.read_text()) for file in files]
    return {content["aggregated_metrics"]["num_concurrency"]: content for content in contents}


def statuses(load):
    return [record.status for record in load.records]


def level_result_of(load):
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
    )


@pytest.fixture(scope="module")
def plain(load, unwell, make_context, command_lines):
    """A server in good health, with a key and with parameters for each request."""
    context, seen = make_context(), []
    # Called several times a second while genai-bench runs.
    watched = make_context(
        folder=context.folder, should_stop=lambda: seen.extend(command_lines(context.folder))
    )
    request = {"temperature": 0.25, "top_k": 5, "skip": True, "text": "0.0"}
    stop = StopRule(LONG_S, 10)
    workload = Workload("plain", "D(12,6)", (4,), stop, request=request)
    with unwell() as server, load(server, workload, watched, backend="sglang") as loads:
        (only,) = loads
    return SimpleNamespace(load=only, server=server, context=context, command_lines=seen)


@pytest.fixture(scope="module")
def mixed(load, unwell, make_context):
    """One request after another, each with another fate; then all is well."""
    moods = ["serve", "error", "break_chunked", "serve", "break_plain", "error_inside"]
    moods += ["one_token", "serve"]
    context = make_context()
    workload = Workload("mixed", "U(20,10)", (1,), StopRule(LONG_S, 12))

    def mood(number):
        return moods[number] if number < len(moods) else "serve"

    with unwell(mood) as server, load(server, workload, context) as loads:
        (only,) = loads
    return SimpleNamespace(load=only, server=server, context=context, moods=moods)


@pytest.fixture(scope="module")
def recovering(load, unwell, make_context):
    """First level: errors alone; second: no answer at all; third: all is well."""
    context = make_context()
    workload = Workload("recovering", "N(16,2)/(6,1)", (1, 2, 3), StopRule(2.0))
    with unwell(lambda _: "error") as server, load(server, workload, context) as loads:
        errors = next(loads)
        server.mood = lambda _: "hang"
        silence = next(loads)
        before = len(server.payloads)
        server.mood = lambda _: "serve"
        well = next(loads)
        assert next(loads, None) is None
    payloads = server.payloads[before:]
    return SimpleNamespace(
        errors=errors, silence=silence, well=well, context=context, payloads=payloads
    )


@pytest.fixture(scope="module")
def from_dataset(load, unwell, make_context, tmp_path_factory):
    """Prompts of the user's own."""
    path = tmp_path_factory.mktemp("data") / "prompts.csv"
    prompts = ["What is a token?", 'Say "no", then go.', "Zählen Sie bis drei."]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["id", "text"], *enumerate(prompts)])
    dataset = Dataset(path=str(path), prompt_column="text")
    workload = Workload("own", "dataset", (1,), StopRule(LONG_S, 5), dataset=dataset)
    with unwell() as server, load(server, workload, make_context()) as loads:
        (only,) = loads
    return SimpleNamespace(load=only, server=server, prompts=prompts)


@pytest.fixture(scope="module")
def side_by_side(load, unwell, make_context):
    """Two calls with two workers each, at the same time on one machine; a server for each."""

    def call(number):
        stop = StopRule(LONG_S, 12)
        workload = Workload(f"call {number}", "U(20,16)", (1, 4), stop)
        context = make_context(workers=2)
        with unwell() as server, load(server, workload, context) as loads:
            both = list(loads)
        events = next(context.folder.glob("bench-*/events.jsonl")).read_text().splitlines()
        return SimpleNamespace(loads=both, server=server, events=[*map(json.loads, events)])

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(call, range(2)))


# Errors are counted


def test_the_error_rate_is_ours_where_its_own_is_always_0(mixed):
    own = own_results(mixed.context)[1]["aggregated_metrics"]
    assert own["num_error_requests"] >= 4
    assert own["error_rate"] == 0
    failed = statuses(mixed.load).count(RequestStatus.FAILED)
    finished = failed + statuses(mixed.load).count(RequestStatus.COMPLETED)
    assert failed == 4
    assert level_result_of(mixed.load).summary["error_rate"] == pytest.approx(failed / finished)


@pytest.mark.parametrize(
    ("fate", "message"),
    [
        ("error", "refused on demand"),
        ("break_chunked", "prematurely"),
        ("break_plain", "broke off"),
        ("error_inside", "out of blocks on demand"),
    ],
)
def test_each_kind_of_failure_counts_as_one_and_says_why(mixed, fate, message):
    record = mixed.load.records[mixed.moods.index(fate)]
    assert record.status is RequestStatus.FAILED
    assert message in record.error_message
    assert record.output_tokens is None


def test_the_code_of_an_error_inside_a_stream_is_kept(mixed):
    assert mixed.load.records[mixed.moods.index("error_inside")].error_code == 503
    assert mixed.load.records[mixed.moods.index("error")].error_code == 500


def test_an_answer_of_one_token_is_there_though_it_drops_it_itself(mixed):
    record = mixed.load.records[mixed.moods.index("one_token")]
    assert (record.status, record.output_tokens) == (RequestStatus.COMPLETED, 1)
    own = own_results(mixed.context)[1]["individual_request_metrics"]
    counts = [request["num_output_tokens"] for request in own if request["error_code"] is None]
    assert 1 not in counts
    completed = statuses(mixed.load).count(RequestStatus.COMPLETED)
    assert completed > len(counts)


def test_a_level_of_errors_alone_does_not_end_the_levels_behind_it(recovering):
    assert recovering.errors.failure is None
    assert set(statuses(recovering.errors)) <= {RequestStatus.FAILED, RequestStatus.CUT}
    assert RequestStatus.FAILED in statuses(recovering.errors)
    assert RequestStatus.COMPLETED in statuses(recovering.well)
    result = level_result_of(recovering.errors)
    assert result.status is LevelStatus.FAILED
    assert "refused on demand" in result.reason


def test_a_level_in_which_no_request_finished_is_a_failed_one_not_a_missing_one(recovering):
    assert recovering.silence.failure is None
    assert RequestStatus.COMPLETED not in statuses(recovering.silence)
    assert RequestStatus.CUT in statuses(recovering.silence)
    assert level_result_of(recovering.silence).status is LevelStatus.FAILED


# The load is what was asked for


def test_ignore_eos_is_sent_so_that_answers_have_their_full_length(plain):
    # This server ends an answer after 3 tokens unless it is told not to.
    assert {payload["ignore_eos"] for payload in plain.server.payloads} == {True}
    done = [r for r in plain.load.records if r.status is RequestStatus.COMPLETED]
    assert {record.output_tokens for record in done} == {6}


def test_request_parameters_arrive_with_their_types(plain):
    payload = plain.server.payloads[0]
    assert payload["temperature"] == 0.25
    assert (payload["top_k"], payload["text"]) == (5, "0.0")
    assert payload["skip"] is True


def test_the_uniform_scenario_asks_for_lengths_up_to_its_limits(mixed):
    asked = [payload["max_tokens"] for payload in mixed.server.payloads]
    assert all(1 <= tokens <= 10 for tokens in asked)
    for record, tokens in zip(mixed.load.records, asked, strict=False):
        if record.status is RequestStatus.COMPLETED and record.output_tokens != 1:
            assert record.output_tokens == tokens


def test_the_normal_scenario_asks_for_lengths_around_its_mean(recovering):
    asked = [payload["max_tokens"] for payload in recovering.payloads]
    assert len(set(asked)) > 1
    assert 4 <= sum(asked) / len(asked) <= 8


def test_the_dataset_scenario_sends_the_prompts_as_they_are(from_dataset):
    sent = {payload["messages"][0]["content"] for payload in from_dataset.server.payloads}
    assert sent <= set(from_dataset.prompts)
    assert from_dataset.load.failure is None
    # The model decides when it has said enough.
    assert all(payload["ignore_eos"] is False for payload in from_dataset.server.payloads)
    assert all(payload.get("max_tokens") is None for payload in from_dataset.server.payloads)
    done = [r for r in from_dataset.load.records if r.status is RequestStatus.COMPLETED]
    assert {record.output_tokens for record in done} == {3}


def test_requests_beyond_the_stop_rule_are_counted_too(plain):
    completed = statuses(plain.load).count(RequestStatus.COMPLETED)
    cut = statuses(plain.load).count(RequestStatus.CUT)
    assert completed >= 10
    assert cut <= plain.load.level.concurrency
    # Every request that reached the server is in the records, and none twice.
    assert completed <= len(plain.server.payloads) <= completed + cut


def test_no_ratio_of_its_own_leaves_requests_out(plain):
    metadata = json.loads(next(plain.context.folder.glob("bench-*/out/*meta*.json")).read_text())
    assert "warmup" not in metadata["cmd"]
    assert "cooldown" not in metadata["cmd"]


# Workers


def test_levels_of_workers_end_at_their_stop_rule(side_by_side):
    for call in side_by_side:
        assert [load.failure for load in call.loads] == [None, None]
        for load in call.loads:
            completed = statuses(load).count(RequestStatus.COMPLETED)
            # Its own count of requests comes every three seconds: some hundred requests late.
            assert 12 <= completed <= 150
            assert statuses(load).count(RequestStatus.CUT) <= load.level.concurrency
            assert RequestStatus.FAILED not in statuses(load)


def test_every_request_of_a_worker_is_recorded_once(side_by_side):
    for call in side_by_side:
        records = [record for load in call.loads for record in load.records]
        completed = [r for r in records if r.status is RequestStatus.COMPLETED]
        assert len(completed) <= len(call.server.payloads) <= len(records)
        for record in completed:
            assert record.output_chunks == record.output_tokens == record.output_tokens_asked
            assert len(record.itl_s) == record.output_chunks - 1


def test_each_call_has_its_own_workers_and_no_others(side_by_side):
    processes = [
        {event["process"] for event in call.events if "process" in event} for call in side_by_side
    ]
    assert [len(group) for group in processes] == [2, 2]
    assert not processes[0] & processes[1]
    assert [len(call.loads[1].client_cpu_s) for call in side_by_side] == [2, 2]


def test_workers_do_not_draw_the_same_lengths(side_by_side):
    for call in side_by_side:
        asked: dict[int, list[int]] = {}
        for event in call.events:
            if "process" in event:
                asked.setdefault(event["process"], []).append(event["asked"])
        one, other = asked.values()
        common = min(len(one), len(other))
        assert one[:common] != other[:common]


def test_workers_give_signs_of_life_while_they_hear_tokens(side_by_side):
    for call in side_by_side:
        assert any(event["event"] == "alive" and event["tokens"] for event in call.events)


# The key


def test_the_key_reaches_the_server(plain):
    assert plain.server.keys == {f"Bearer {KEY}"}


def test_the_key_is_on_no_command_line(plain):
    assert any("genai_bench_shim.py" in line for line in plain.command_lines)
    assert not any(KEY in line for line in plain.command_lines)


def test_the_key_stays_in_a_scratch_file_and_out_of_the_logs_that_are_kept(plain):
    holders = {
        path.name
        for path in plain.context.folder.rglob("*")
        if path.is_file() and KEY.encode() in path.read_bytes()
    }
    assert holders == {"experiment_metadata.json"}
    kept = collect_logs(plain.context.folder, secrets=())
    assert not any(KEY in text for text in kept.values())


# The process


def test_it_is_never_imported_into_our_process(plain, mixed):
    assert not {"genai_bench", "locust", "gevent"} & set(sys.modules)


def test_only_the_shim_and_its_parts_import_it():
    root = Path(autotuner.__file__).parent
    importers = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            if any(name.split(".")[0] in ("genai_bench", "locust", "gevent") for name in names):
                importers.add(path.name)
    assert importers == {
        "genai_bench_shim.py",
        "genai_bench_workers.py",
        "genai_bench_levels.py",
    }


def test_spreadsheets_and_plots_cost_no_time(plain):
    written = {path.suffix for path in plain.context.folder.glob("bench-*/out/*")}
    assert written == {".json"}

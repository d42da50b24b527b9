"""The traffic of a study file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autotuner.spec.workload import Dataset, StopRule, Workload

if TYPE_CHECKING:
    from .conftest import StudyWriter

OBJECTIVE = "objective: {name: maximize_throughput, over: best}"
STOP = "stop: {seconds: 60}"


def workloads(study: StudyWriter, *items: str) -> tuple[Workload, ...]:
    text = "".join(f"\n  - {{{item}}}" for item in items)
    return study.load(workloads=f"workloads:{text}", objective=OBJECTIVE).workloads


def test_every_key_of_a_workload_is_read(study: StudyWriter) -> None:
    (workload,) = workloads(
        study,
        "name: chat, scenario: dataset, task: text-to-text, concurrency: [1, 8], "
        "dataset: {path: org/prompts, prompt_column: text}, stop: {seconds: 0.5, requests: 64}, "
        "request: {temperature: 0.0, stop: [a]}, warmup_requests: 0",
    )
    assert workload == Workload(
        name="chat",
        scenario="dataset",
        concurrency=(1, 8),
        stop=StopRule(0.5, 64),
        dataset=Dataset("org/prompts", None, "text"),
        request={"temperature": 0.0, "stop": ["a"]},
        warmup_requests=0,
    )


def test_the_name_defaults_to_the_scenario(study: StudyWriter) -> None:
    (workload,) = workloads(study, f"scenario: 'D(5,6)', concurrency: 1, {STOP}")
    assert workload.name == "D(5,6)"


@pytest.mark.parametrize(
    ("written", "scenario"),
    [
        ("D(100,200)", "D(100,200)"),
        ("D( 100, 200 )", "D(100,200)"),
        ("N(480,240)/(300,150)", "N(480,240)/(300,150)"),
        ("N(480,0)/(300,0)", "N(480,0)/(300,0)"),
        ("U(100,200)/(50,50)", "U(100,200)/(50,50)"),
        ("U(200,80)", "U(200,80)"),
    ],
)
def test_text_scenarios_are_accepted(study: StudyWriter, written: str, scenario: str) -> None:
    (workload,) = workloads(study, f"scenario: '{written}', concurrency: 1, {STOP}")
    assert workload.scenario == scenario


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("D(100)", "unknown scenario"),
        ("D(a,b)", "unknown scenario"),
        ("d(1,2)", "unknown scenario"),
        ("N(480,240)", "unknown scenario"),
        ("X(1,2)", "unknown scenario"),
        ("", "unknown scenario"),
        ("U(200,100)/(1,2)", "minimum is above"),
        ("U(1,2)/(3,2)", "minimum is above"),
        ("D(0,100)", "at least 1 token"),
        ("N(100,10)/(0,0)", "at least 1 token"),
        ("D(100", "in quotes"),
        ("E(100)", "another task"),
        ("R(10,20)", "another task"),
        ("I(256,256)", "another task"),
        ("I(256,256,2)", "another task"),
        ("A(500)", "another task"),
    ],
)
def test_a_wrong_scenario_is_explained(study: StudyWriter, written: str, words: str) -> None:
    problem = study.problem(
        workloads=f"workloads:\n  - scenario: '{written}'\n    concurrency: 1\n    {STOP}"
    )
    assert (problem.key, problem.line) == ("workloads[0].scenario", 5)
    assert words in problem.fix


def test_a_scenario_that_yaml_cuts_at_its_comma_is_to_be_quoted(study: StudyWriter) -> None:
    problems = study.problems(
        workloads=f"workloads: [{{scenario: D(100,100), concurrency: 1, {STOP}}}]"
    )
    assert any("in quotes: inside { } YAML cuts" in problem.fix for problem in problems)


@pytest.mark.parametrize("scenario", ["E(100)", "A(500)", "D(100,100)"])
def test_another_task_is_refused_once_with_what_there_is(study: StudyWriter, scenario: str) -> None:
    problem = study.problem(
        workloads=f"workloads: [{{task: text-to-embeddings, scenario: '{scenario}', "
        f"concurrency: 1, {STOP}}}]"
    )
    assert problem.key == "workloads[0].task"
    assert "text-to-text" in problem.fix


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        ("concurrency: [1, 1]", "concurrency", "remove the second 1"),
        ("concurrency: []", "concurrency", "empty"),
        ("concurrency: [0]", "concurrency[0]", "at least 1"),
        ("concurrency: 0", "concurrency[0]", "at least 1"),
        ("concurrency: ['8']", "concurrency[0]", "without quotes"),
        ("concurrency: [true]", "concurrency[0]", "true and false"),
        ("concurrency: [1.5]", "concurrency[0]", "whole number"),
        ("concurrency: '8'", "concurrency", "list"),
        ("concurrency: true", "concurrency", "list"),
        ("stop: {}", "stop.seconds", "`seconds: 60`"),
        ("stop: 60", "stop", "{seconds: 60}"),
        ("stop: {seconds: 0}", "stop.seconds", "above 0"),
        ("stop: {seconds: -1}", "stop.seconds", "above 0"),
        ("stop: {seconds: '60'}", "stop.seconds", "without quotes"),
        ("stop: {seconds: true}", "stop.seconds", "true and false"),
        ("stop: {seconds: 1m}", "stop.seconds", "a number"),
        ("stop: {seconds: 6, requests: 0}", "stop.requests", "at least 1"),
        ("stop: {seconds: 6, requests: 1.5}", "stop.requests", "whole number"),
        ("stop: {seconds: 6, max_time: 3}", "stop.max_time", "`seconds`"),
        ("stop: {seconds: 6, minutes: 3}", "stop.minutes", "`seconds: 60`"),
        ("stop: {seconds: 6, time: 3}", "stop.time", "`seconds`"),
        ("stop: {seconds: 6, max_requests: 3}", "stop.max_requests", "`requests`"),
        ("warmup_requests: -1", "warmup_requests", "at least 0"),
        ("warmup_requests: 1.5", "warmup_requests", "whole number"),
        ("request: 3", "request", "mapping"),
        ("request: [a]", "request", "mapping"),
        ("name: 3", "name", "in quotes"),
        ("num_concurrency: 3", "num_concurrency", "`concurrency`"),
        ("senario: x", "senario", "`scenario`"),
        ("dataset: prompts.csv", "dataset", "{path: prompts.csv}"),
        ("dataset: {}", "dataset", "one of"),
        ("dataset: {path: a.csv, config: b.json}", "dataset", "one of"),
        ("dataset: {config: b.json, prompt_column: c}", "dataset.prompt_column", "that file"),
        ("dataset: {file: a.csv, path: a.csv}", "dataset.file", "unknown key"),
    ],
)
def test_a_wrong_workload_is_explained(
    study: StudyWriter, change: str, key: str, words: str
) -> None:
    kept = {"scenario": "scenario: D(5,5)", "concurrency": "concurrency: 1", "stop": STOP}
    lines = {**kept, change.split(":")[0]: change}
    text = "workloads:\n  -\n" + "".join(f"    {line}\n" for line in lines.values())
    problem = study.problem(workloads=text, objective=OBJECTIVE)
    assert problem.key == f"workloads[0].{key}"
    assert problem.line == 6 + list(lines).index(change.split(":")[0])
    assert words in problem.fix


@pytest.mark.parametrize("key", ["scenario", "concurrency", "stop"])
def test_a_missing_key_of_a_workload_is_asked_for(study: StudyWriter, key: str) -> None:
    items = {"scenario": "'D(5,5)'", "concurrency": "1", "stop": "{seconds: 1}"}
    text = ", ".join(f"{name}: {value}" for name, value in items.items() if name != key)
    problem = study.problem(workloads=f"workloads:\n  - {{{text}}}")
    assert (problem.key, problem.line) == (f"workloads[0].{key}", 5)
    assert "is missing" in problem.fix


@pytest.mark.parametrize(("text", "words"), [("[]", "empty"), ("{a: 1}", "list"), ("x", "list")])
def test_workloads_are_a_list_of_at_least_one(study: StudyWriter, text: str, words: str) -> None:
    assert words in study.problem(workloads=f"workloads: {text}").fix


@pytest.mark.parametrize("name", ["", "name: chat, "])
def test_names_of_workloads_are_unique(study: StudyWriter, name: str) -> None:
    item = f"\n  - {{{name}scenario: 'D(5,5)', concurrency: 1, {STOP}}}"
    problem = study.problem(workloads=f"workloads:{item}{item}", objective=OBJECTIVE)
    assert (problem.key, problem.line) == ("workloads[1].name", 6)
    assert "on line 5" in problem.fix


def test_the_scenario_dataset_needs_a_dataset(study: StudyWriter) -> None:
    problem = study.problem(workloads=f"workloads: [{{scenario: dataset, concurrency: 1, {STOP}}}]")
    assert problem.key == "workloads[0].dataset"


@pytest.mark.parametrize(
    ("dataset", "meant"),
    [
        ("{path: prompts.csv}", Dataset(path="{folder}/prompts.csv")),
        ("{path: ../p.txt, prompt_column: c}", Dataset("{parent}/p.txt", None, "c")),
        ("{path: /data/p}", Dataset("/data/p")),
        ("{path: org/name}", Dataset("org/name")),
        ("{config: conf}", Dataset(config="{folder}/conf")),
    ],
)
def test_local_datasets_become_absolute_and_hub_ids_stay(
    study: StudyWriter, dataset: str, meant: Dataset
) -> None:
    (workload,) = workloads(study, f"scenario: dataset, concurrency: 1, {STOP}, dataset: {dataset}")
    names = {"folder": study.folder, "parent": study.folder.parent}
    assert workload.dataset == Dataset(
        meant.path and meant.path.format(**names),
        meant.config and meant.config.format(**names),
        meant.prompt_column,
    )


def test_ignore_eos_is_refused_because_genai_bench_would_ask_whether_it_may(
    study: StudyWriter,
) -> None:
    request = "request: {ignore_eos: false}"
    item = f"{{scenario: 'D(5,6)', concurrency: 1, {STOP}, {request}}}"
    problem = study.problem(workloads=f"workloads:\n  - {item}")
    assert problem.key == "workloads[0].request.ignore_eos"
    assert "remove this key" in problem.fix

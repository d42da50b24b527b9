"""What a study file optimises, and at which levels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from autotuner.spec.objective import Direction, Objective, Over, WeightedLevel

if TYPE_CHECKING:
    from .conftest import StudyWriter


def workload(name: str, levels: str) -> str:
    return f"{{name: {name}, scenario: 'D(5,5)', concurrency: {levels}, stop: {{seconds: 1}}}}"


ONE_LEVEL = f"workloads: [{workload('chat', '[8]')}]"
THREE_LEVELS = f"workloads: [{workload('chat', '[1, 4, 8]')}]"
TWO_WORKLOADS = f"workloads: [{workload('chat', '[1, 8]')}, {workload('code', '[8]')}]"


def objective(study: StudyWriter, text: str, workloads: str = ONE_LEVEL) -> Objective:
    return study.load(workloads=workloads, objective=f"objective: {text}").judging.objective


@pytest.mark.parametrize(
    ("name", "metric", "direction", "statistic"),
    [
        ("minimize_latency", "e2e_latency_s", Direction.MINIMIZE, "mean"),
        ("maximize_throughput", "output_throughput_tok_s", Direction.MAXIMIZE, None),
        ("minimize_ttft", "ttft_s", Direction.MINIMIZE, "mean"),
        ("minimize_tpot", "tpot_s", Direction.MINIMIZE, "mean"),
    ],
)
@pytest.mark.parametrize("form", ["{}", "{{name: {}}}"])
def test_each_name_stands_for_a_metric_and_a_direction(
    study: StudyWriter, name: str, metric: str, direction: Direction, statistic: str, form: str
) -> None:
    assert objective(study, form.format(name)) == Objective(
        name, metric, direction, statistic, workload="chat", concurrency=8
    )


@pytest.mark.parametrize("statistic", ["mean", "p50", "p90", "p95", "p99"])
def test_a_latency_takes_a_statistic(study: StudyWriter, statistic: str) -> None:
    found = objective(study, f"{{name: minimize_ttft, statistic: {statistic}}}")
    assert found.column == f"ttft_s_{statistic}"


def test_throughput_per_gpu_is_a_metric_of_its_own(study: StudyWriter) -> None:
    found = objective(study, "{name: maximize_throughput, per_gpu: true}")
    assert found.column == "output_throughput_tok_s_per_gpu"


@pytest.mark.parametrize(
    ("text", "workloads", "chosen"),
    [
        ("at: {concurrency: 4}", THREE_LEVELS, ("chat", 4, None)),
        ("at: {concurrency: 4, workload: chat}", THREE_LEVELS, ("chat", 4, None)),
        ("over: best", THREE_LEVELS, ("chat", None, Over.BEST)),
        ("over: worst", TWO_WORKLOADS, (None, None, Over.WORST)),
        ("over: best, at: {workload: chat}", TWO_WORKLOADS, ("chat", None, Over.BEST)),
        ("at: {workload: code}", TWO_WORKLOADS, ("code", 8, None)),
        ("at: {concurrency: 8, workload: code}", TWO_WORKLOADS, ("code", 8, None)),
    ],
)
def test_the_levels_that_count_are_named(
    study: StudyWriter, text: str, workloads: str, chosen: tuple[object, ...]
) -> None:
    found = objective(study, f"{{name: minimize_ttft, {text}}}", workloads)
    assert (found.workload, found.concurrency, found.over) == chosen


@pytest.mark.parametrize(
    ("text", "workloads", "why"),
    [
        ("minimize_ttft", THREE_LEVELS, "saturates"),
        ("{name: minimize_ttft, statistic: p99}", THREE_LEVELS, "saturates"),
        ("{name: maximize_throughput, per_gpu: true}", TWO_WORKLOADS, "mix different traffic"),
        ("{name: minimize_ttft, at: {workload: chat}}", TWO_WORKLOADS, "saturates"),
    ],
)
def test_several_levels_need_a_choice_and_the_lines_shown_for_it_are_valid(
    study: StudyWriter, text: str, workloads: str, why: str
) -> None:
    problem = study.problem(workloads=workloads, objective=f"objective: {text}")
    assert problem.key == "objective"
    assert why in problem.fix
    shown = re.findall(r"`(objective: .*?)`", problem.fix)
    assert len(shown) == 2
    at, over = (study.load(workloads=workloads, objective=line).judging.objective for line in shown)
    assert at.concurrency == 8
    assert over.over is Over.BEST
    assert at.column == over.column
    for key in ("statistic: p99", "per_gpu: true"):
        assert (key in text) == all(key in line for line in shown)


def test_a_concurrency_of_several_workloads_needs_the_workload(study: StudyWriter) -> None:
    text = "objective: {name: minimize_ttft, at: {concurrency: 8}}"
    problem = study.problem(workloads=TWO_WORKLOADS, objective=text)
    assert problem.key == "objective.at"
    (line,) = re.findall(r"objective: .*", problem.fix)
    assert study.load(workloads=TWO_WORKLOADS, objective=line).judging.objective.workload == "chat"


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("maximise_throughput", "objective.name", "`maximize_throughput`"),
        ("{}", "objective.name", "missing"),
        ("[a]", "objective", "mapping"),
        ("{name: minimize_ttft, statistic: p42, over: best}", "objective.statistic", "statistic"),
        (
            "{name: maximize_throughput, statistic: mean, over: best}",
            "objective.statistic",
            "no statistic",
        ),
        (
            "{name: minimize_ttft, per_gpu: true, over: best}",
            "objective.per_gpu",
            "maximize_throughput",
        ),
        ("{name: minimize_ttft, per_gpu: 'yes'}", "objective.per_gpu", "true or false"),
        ("{name: minimize_ttft, over: mean}", "objective.over", "best, worst"),
        ("{name: minimize_ttft, at: {concurrency: 9}}", "objective.at.concurrency", "[1, 4, 8]"),
        ("{name: minimize_ttft, at: {workload: caht}}", "objective.at.workload", "`chat`"),
        ("{name: minimize_ttft, at: 8}", "objective.at", "{concurrency: 8}"),
        ("{name: minimize_ttft, at: {concurrency: '8'}}", "objective.at.concurrency", "quotes"),
        ("{name: minimize_ttft, over: best, concurrency: 8}", "objective.concurrency", "`at:"),
        (
            "{name: minimize_ttft, over: best, at: {concurrency: 8}}",
            "objective.over",
            "remove one",
        ),
    ],
)
def test_a_wrong_objective_is_explained(
    study: StudyWriter, text: str, key: str, words: str
) -> None:
    problem = study.problem(workloads=THREE_LEVELS, objective=f"objective: {text}")
    assert (problem.key, problem.line) == (key, 5)
    assert words in problem.fix


def test_a_value_per_gpu_needs_gpus(study: StudyWriter) -> None:
    problems = study.problems(
        objective="objective: {name: maximize_throughput, per_gpu: true}",
        constraints="constraints: {output_throughput_tok_s_per_gpu: {at_least: 5}}",
        resources="resources: {gpus: 0}",
    )
    assert [problem.key for problem in problems] == [
        "objective.per_gpu",
        "constraints.output_throughput_tok_s_per_gpu",
    ]

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


GOODPUT = "goodput: {ttft_s: 0.5}"
PRICE = "usd_per_gpu_hour: 2.5"


def objective(
    study: StudyWriter, text: str, workloads: str = ONE_LEVEL, **sections: str
) -> Objective:
    sections = {"goodput": GOODPUT, "price": PRICE, **sections}
    return study.load(
        **sections, workloads=workloads, objective=f"objective: {text}"
    ).judging.objective


@pytest.mark.parametrize(
    ("name", "metric", "direction", "statistic"),
    [
        ("minimize_latency", "e2e_latency_s", Direction.MINIMIZE, "mean"),
        ("maximize_throughput", "output_throughput_tok_s", Direction.MAXIMIZE, None),
        ("minimize_ttft", "ttft_s", Direction.MINIMIZE, "mean"),
        ("minimize_tpot", "tpot_s", Direction.MINIMIZE, "mean"),
        ("minimize_itl", "itl_s", Direction.MINIMIZE, "mean"),
        ("maximize_goodput", "goodput_requests_per_s", Direction.MAXIMIZE, None),
        ("maximize_tokens_per_dollar", "output_tokens_per_usd", Direction.MAXIMIZE, None),
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
        ("over: worst", THREE_LEVELS, ("chat", None, Over.WORST)),
        ("over: seed_mean", THREE_LEVELS, (None, None, Over.SEED_MEAN)),
        ("over: seed_mean", TWO_WORKLOADS, (None, None, Over.SEED_MEAN)),
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


@pytest.mark.parametrize("section", ["constraints", "slo"])
@pytest.mark.parametrize("text", ["ttft: {p99: 1}", "error_rate: 0.1", "ttft: {threshold: 1}"])
def test_with_limits_the_best_level_that_meets_them_counts(
    study: StudyWriter, section: str, text: str
) -> None:
    found = objective(study, "maximize_throughput", THREE_LEVELS, limits=f"{section}: {{{text}}}")
    assert (found.workload, found.concurrency, found.over) == ("chat", None, Over.BEST)


def test_with_limits_a_workload_that_is_named_counts_at_its_best_level(study: StudyWriter) -> None:
    text = "{name: maximize_throughput, at: {workload: chat}}"
    found = objective(study, text, TWO_WORKLOADS, limits="slo: {ttft: {p99: 1}}")
    assert (found.workload, found.concurrency, found.over) == ("chat", None, Over.BEST)


@pytest.mark.parametrize("text", ["{}", "{steepness: 0.1}"])
def test_a_section_without_a_limit_chooses_no_level(study: StudyWriter, text: str) -> None:
    problem = study.problem(workloads=THREE_LEVELS, constraints=f"constraints: {text}")
    assert "saturates" in problem.fix


@pytest.mark.parametrize(
    ("text", "limits", "key", "lines"),
    [
        ("maximize_throughput", "", "objective", 3),
        ("maximize_throughput", "slo: {ttft: {p99: 1}}", "objective", 3),
        ("{name: minimize_ttft, statistic: p99, over: best}", "", "objective.over", 2),
        (
            "{name: minimize_ttft, over: worst}",
            "slo: {ttft: {p99: 1}}",
            "objective.over",
            2,
        ),
    ],
)
def test_scenarios_stay_apart_unless_weighted_and_the_lines_shown_are_valid(
    study: StudyWriter, text: str, limits: str, key: str, lines: int
) -> None:
    problem = study.problem(workloads=TWO_WORKLOADS, objective=f"objective: {text}", limits=limits)
    assert problem.key == key
    assert "stay apart unless weighted" in problem.fix
    shown = re.findall(r"`(objective: .*?)`", problem.fix)
    assert len(shown) == lines
    found = [
        study.load(workloads=TWO_WORKLOADS, objective=line).judging.objective for line in shown
    ]
    one, weighted = found[-2:]
    assert (one.workload, one.over) == ("chat", Over.WORST if "worst" in text else Over.BEST)
    assert weighted.weights == (WeightedLevel(1.0, "chat"), WeightedLevel(1.0, "code"))
    assert ("statistic: p99" in text) == all("statistic: p99" in line for line in shown)


@pytest.mark.parametrize(
    ("text", "workloads", "weights"),
    [
        (
            "[{concurrency: 1, weight: 0.3}, {concurrency: 8, weight: 7}]",
            THREE_LEVELS,
            (WeightedLevel(0.3, "chat", 1), WeightedLevel(7.0, "chat", 8)),
        ),
        (
            "[{workload: chat, weight: 1}, {workload: code, concurrency: 8, weight: 2}]",
            TWO_WORKLOADS,
            (WeightedLevel(1.0, "chat"), WeightedLevel(2.0, "code", 8)),
        ),
        (
            "[{workload: chat, concurrency: 1, weight: 1}, "
            "{workload: chat, concurrency: 8, weight: 1}]",
            TWO_WORKLOADS,
            (WeightedLevel(1.0, "chat", 1), WeightedLevel(1.0, "chat", 8)),
        ),
    ],
)
def test_weights_name_levels_or_workloads(
    study: StudyWriter, text: str, workloads: str, weights: tuple[WeightedLevel, ...]
) -> None:
    found = objective(study, f"{{name: minimize_ttft, weights: {text}}}", workloads)
    assert (found.over, found.weights) == (Over.WEIGHTED, weights)
    assert (found.workload, found.concurrency) == (None, None)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("[]", "weights", "empty"),
        ("{chat: 1}", "weights", "list"),
        ("[1]", "weights[0]", "mapping"),
        ("[{workload: chat}]", "weights[0].weight", "`weight: 0.5`"),
        ("[{workload: chat, weight: 0}]", "weights[0].weight", "above 0"),
        ("[{workload: chat, weight: '1'}]", "weights[0].weight", "without quotes"),
        ("[{workload: caht, weight: 1}]", "weights[0].workload", "`chat`"),
        ("[{workload: code, concurrency: 1, weight: 1}]", "weights[0].concurrency", "[8]"),
        ("[{weight: 1}]", "weights[0]", "of which workload"),
        ("[{workload: chat, level: 1, weight: 1}]", "weights[0].level", "unknown key"),
        (
            "[{workload: code, weight: 1}, {workload: chat, weight: 1}, "
            "{workload: chat, concurrency: 8, weight: 1}]",
            "weights[2]",
            "item 2 on line 5",
        ),
        (
            "[{workload: code, concurrency: 8, weight: 1}, "
            "{workload: code, concurrency: 8, weight: 1}]",
            "weights[1]",
            "name each level or workload once",
        ),
    ],
)
def test_wrong_weights_are_explained(study: StudyWriter, text: str, key: str, words: str) -> None:
    text = f"objective: {{name: minimize_ttft, weights: {text}}}"
    problem = study.problem(workloads=TWO_WORKLOADS, objective=text)
    assert (problem.key, problem.line) == (f"objective.{key}", 5)
    assert words in problem.fix


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ("weights: [{concurrency: 8, weight: 1}], at: {concurrency: 8}", "at"),
        ("weights: [{concurrency: 8, weight: 1}], over: best", "over"),
        ("over: seed_mean, at: {workload: chat}", "at"),
    ],
)
def test_weights_and_the_seeds_mean_stand_alone(study: StudyWriter, more: str, key: str) -> None:
    text = f"objective: {{name: minimize_ttft, {more}}}"
    problem = study.problem(workloads=THREE_LEVELS, objective=text)
    assert problem.key == f"objective.{key}"
    assert "remove" in problem.fix


def test_levels_are_counted_without_their_repeats(study: StudyWriter) -> None:
    found = objective(study, "maximize_throughput", repeats="repeats: 3")
    assert found.concurrency == 8


@pytest.mark.parametrize("form", ["{}", "{{name: {}}}"])
@pytest.mark.parametrize(
    ("name", "resources", "words"),
    [
        ("maximize_goodput", "", "goodput: {"),
        ("maximize_tokens_per_dollar", "", "usd_per_gpu_hour: "),
        ("maximize_tokens_per_dollar", "resources: {gpus: 0}", "GPUs to pay for"),
    ],
)
def test_an_objective_that_lacks_what_it_is_computed_from_says_so(
    study: StudyWriter, name: str, resources: str, words: str, form: str
) -> None:
    text = form.format(name)
    problem = study.problem(objective=f"objective: {text}", resources=resources)
    assert problem.key == "objective.name"
    assert words in problem.fix


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
        ("{name: minimize_ttft, over: bets}", "objective.over", "`best`"),
        ("{name: minimize_ttft, over: weighted}", "objective.over", "`weights: "),
        (
            "{name: maximize_throughput, over: best, weight: 1}",
            "objective.weight",
            "`weights`",
        ),
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

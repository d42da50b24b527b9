"""A load that is to be found, as a study file asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autotuner.spec.objective import Over
from autotuner.spec.workload import LoadRange

if TYPE_CHECKING:
    from .conftest import StudyWriter

LIMIT = "constraints: {tpot_s: {p95: 0.05}}"
OBJECTIVE = "objective: maximize_load"
STOP = "stop: {seconds: 60}"


def chat(load: str = "{find: max_concurrency}", name: str = "chat") -> str:
    return f"{{name: {name}, scenario: 'D(5,5)', load: {load}, {STOP}}}"


def workloads(*items: str) -> str:
    return f"workloads: [{', '.join(items)}]"


FIXED = f"{{name: code, scenario: 'D(5,5)', concurrency: [1, 8], {STOP}}}"


@pytest.mark.parametrize(
    ("load", "meant"),
    [
        ("{find: max_concurrency}", LoadRange(1, 512, 0.1)),
        ("{find: max_concurrency, under: slo, min: 8, max: 64}", LoadRange(8, 64, 0.1)),
        ("{find: max_concurrency, under: constraints, within: 0.05}", LoadRange(1, 512, 0.05)),
    ],
)
def test_a_load_is_found_within_a_range(study: StudyWriter, load: str, meant: LoadRange) -> None:
    (workload,) = study.load(
        workloads=workloads(chat(load)), objective=OBJECTIVE, limit=LIMIT
    ).workloads
    assert workload.find == meant
    assert workload.concurrency == meant.steps
    assert workload.repeats == 3


def test_the_best_level_counts_and_its_concurrency_can_be_the_objective(study: StudyWriter) -> None:
    spec = study.load(workloads=workloads(chat()), objective=OBJECTIVE, limit=LIMIT)
    assert spec.judging.objective.over is Over.BEST
    assert spec.judging.objective.describe() == (
        "maximize concurrency at best level, workload chat"
    )
    other = study.load(workloads=workloads(chat()), limit=LIMIT)
    assert (other.judging.objective.column, other.judging.objective.over) == (
        "output_throughput_tok_s",
        Over.BEST,
    )


def test_the_largest_of_a_list_of_loads_can_be_the_objective_too(study: StudyWriter) -> None:
    spec = study.load(workloads=workloads(FIXED), objective=OBJECTIVE, limit=LIMIT)
    assert spec.judging.objective.over is Over.BEST


def test_repeats_are_those_of_levels_in_doubt(study: StudyWriter) -> None:
    objective = "objective: {name: maximize_throughput, over: best, at: {workload: chat}}"
    spec = study.load(
        workloads=workloads(chat(), FIXED), objective=objective, limit=LIMIT, repeats="repeats: 5"
    )
    assert [workload.repeats for workload in spec.workloads] == [3, 5]


@pytest.mark.parametrize(
    ("load", "key", "words"),
    [
        ("{find: max_request_rate}", "find", "keep requests in flight"),
        ("{find: rps}", "find", "only the largest concurrency"),
        ("{min: 1}", "find", "is missing"),
        ("{find: max_concurrency, under: latency}", "under", "the study's limits"),
        ("{find: max_concurrency, min: 0}", "min", "at least 1"),
        ("{find: max_concurrency, min: 9, max: 8}", "min", "above `max`, 8"),
        ("{find: max_concurrency, within: 0}", "within", "0.01"),
        ("{find: max_concurrency, most: 8}", "most", "`max`"),
        ("max_concurrency", None, "{find: max_concurrency, max: 512}"),
    ],
)
def test_a_wrong_load_is_explained(
    study: StudyWriter, load: str, key: str | None, words: str
) -> None:
    problem = study.problem(workloads=workloads(chat(load)), objective=OBJECTIVE, limit=LIMIT)
    assert problem.key == ".".join(["workloads[0].load", *([key] if key else [])])
    assert words in problem.fix


def test_levels_are_listed_or_found_and_not_both(study: StudyWriter) -> None:
    item = f"{{scenario: 'D(5,5)', concurrency: 8, load: {{find: max_concurrency}}, {STOP}}}"
    problem = study.problem(workloads=workloads(item), objective=OBJECTIVE, limit=LIMIT)
    assert (problem.key, "remove one" in problem.fix) == ("workloads[0].load", True)


@pytest.mark.parametrize("limit", ["", "constraints: {tpot_s: {p95: {limit: 0.05, soft: true}}}"])
def test_a_load_is_found_under_a_hard_limit(study: StudyWriter, limit: str) -> None:
    problem = study.problem(workloads=workloads(chat()), limit=limit)
    assert problem.key == "workloads[0].load"
    assert "constraints: {tpot_s: {p95: 0.05}}" in problem.fix


def test_without_a_limit_the_largest_load_is_no_objective(study: StudyWriter) -> None:
    objective = "objective: {name: maximize_load, over: best}"
    problem = study.problem(workloads=workloads(FIXED), objective=objective)
    assert (problem.key, "hard limit" in problem.fix) == ("objective", True)


@pytest.mark.parametrize(
    ("objective", "key"),
    [
        ("{name: maximize_throughput, at: {concurrency: 8}}", "at.concurrency"),
        ("{name: maximize_throughput, over: worst}", "over"),
        ("{name: maximize_throughput, over: seed_mean}", "over"),
        ("{name: maximize_throughput, weights: [{weight: 1, concurrency: 8}]}", None),
    ],
)
def test_no_level_of_a_load_that_is_found_can_be_named(
    study: StudyWriter, objective: str, key: str | None
) -> None:
    problem = study.problem(
        workloads=workloads(chat()), objective=f"objective: {objective}", limit=LIMIT
    )
    assert problem.key == f"objective.{key or 'weights[0].concurrency'}"
    assert "is found" in problem.fix


def test_its_best_level_can_be_a_term_of_a_weighted_mean(study: StudyWriter) -> None:
    objective = (
        "objective: {name: maximize_throughput, weights: [{weight: 1, workload: chat}, "
        "{weight: 1, workload: code, concurrency: 8}]}"
    )
    spec = study.load(workloads=workloads(chat(), FIXED), objective=objective, limit=LIMIT)
    assert [term.concurrency for term in spec.judging.objective.weights] == [None, 8]


def test_a_found_load_leaves_no_levels_to_a_search(study: StudyWriter) -> None:
    problem = study.problem(
        workloads=workloads(chat()),
        objective=OBJECTIVE,
        limit=LIMIT,
        search="search: {strategy: random, levels: adaptive}",
    )
    assert (problem.key, "remove `levels`" in problem.fix) == ("search.levels", True)


def test_the_load_itself_is_no_limit(study: StudyWriter) -> None:
    problem = study.problem(constraints="constraints: {concurrency: 8}")
    assert problem.key == "constraints.concurrency"

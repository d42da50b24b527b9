"""The section `search` of a study file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autotuner.spec.names import STRATEGIES, STRATEGY_ALIASES
from autotuner.spec.searching import Budget, LevelChoice, Searching, StopWhen

if TYPE_CHECKING:
    from .conftest import StudyWriter

BEST = (
    "workloads: [{scenario: 'D(100,100)', concurrency: [1, 8], stop: {seconds: 60}}]\n"
    "objective: {name: maximize_throughput, over: best}"
)


def searching(study: StudyWriter, text: str) -> Searching:
    return study.load(search=f"search: {text}").searching


def test_without_the_section_everything_is_measured(study: StudyWriter) -> None:
    assert study.load().searching == Searching()
    assert study.load().searching.measures_everything


def test_every_key_is_read(study: StudyWriter) -> None:
    text = (
        "{strategy: tpe, seed: 3, first: 8, levels: adaptive, estimator: roofline, "
        "max_experiments: 40, max_gpu_hours: 12.5, max_wall_time: 90m, max_candidates: 500, "
        "stop_when: {no_improvement: 10, expected_gain_below: 0.01}, options: {a: 1}}"
    )
    spec = study.load(workloads=BEST, objective="", search=f"search: {text}")
    assert spec.searching == Searching(
        "tpe",
        3,
        8,
        LevelChoice.ADAPTIVE,
        "roofline",
        Budget(40, 12.5, 1.5),
        StopWhen(10, 0.01),
        500,
        {"a": 1},
    )


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_may_stand_alone(study: StudyWriter, name: str) -> None:
    assert searching(study, name) == Searching(name)
    assert searching(study, f"{{strategy: {name}}}") == Searching(name)


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("adaptive", LevelChoice.ADAPTIVE),
        ("{strategy: adaptive, levels: all}", LevelChoice.ALL),
        ("tpe", LevelChoice.ALL),
    ],
)
def test_the_adaptive_strategy_leaves_out_levels_where_the_best_counts_unless_told_otherwise(
    study: StudyWriter, text: str, levels: LevelChoice
) -> None:
    spec = study.load(workloads=BEST, objective="", search=f"search: {text}")
    assert spec.searching.levels is levels


def test_a_load_that_is_found_leaves_no_levels_to_the_adaptive_strategy(
    study: StudyWriter,
) -> None:
    found = (
        "workloads: [{scenario: 'D(100,100)', load: {find: max_concurrency, min: 1, max: 64}, "
        "stop: {seconds: 60}}]\n"
        "constraints: {ttft_s: {p95: 1}}\n"
        "objective: {name: maximize_load}"
    )
    spec = study.load(workloads=found, objective="", search="search: adaptive")
    assert spec.searching.levels is LevelChoice.ALL


@pytest.mark.parametrize(("alias", "name"), STRATEGY_ALIASES.items())
def test_an_alias_is_the_strategy_that_it_stands_for(
    study: StudyWriter, alias: str, name: str
) -> None:
    assert searching(study, alias) == searching(study, f"{{strategy: {alias}}}") == Searching(name)


def test_the_seed_is_that_of_the_study_unless_it_has_its_own(study: StudyWriter) -> None:
    spec = study.load(seed="seed: 7", search="search: tpe")
    assert (spec.order_seed, spec.searching.seed) == (7, 7)
    spec = study.load(seed="seed: 7", search="search: {strategy: tpe, seed: 2}")
    assert (spec.order_seed, spec.searching.seed) == (7, 2)


def test_a_seed_that_a_search_draws_with_is_used_in_plan_order_too(study: StudyWriter) -> None:
    spec = study.load(order="order: plan", seed="seed: 7", search="search: random")
    assert (spec.order_seed, spec.searching.seed, spec.warnings) == (None, 7, ())


def test_an_estimator_that_is_a_folder_starts_at_the_study_file(study: StudyWriter) -> None:
    assert searching(study, "{estimator: ../earlier}").estimator == str(
        study.folder.parent / "earlier"
    )
    assert searching(study, "{estimator: s3://bucket/earlier}").estimator == "s3://bucket/earlier"
    several = searching(study, "{estimator: roofline+results/old + s3://bucket/earlier}").estimator
    assert several == f"roofline + {study.folder}/results/old + s3://bucket/earlier"
    (study.folder / "a+b").mkdir()
    assert searching(study, "{estimator: a+b}").estimator == f"{study.folder}/a+b"


@pytest.mark.parametrize(
    ("limits", "everything"),
    [
        ("{seed: 3}", True),
        ("{max_candidates: 3}", True),
        ("{estimator: roofline}", False),
        ("{max_experiments: 3}", False),
        ("{max_wall_time: 1h}", False),
        ("{stop_when: {no_improvement: 3}}", False),
        ("{strategy: random}", False),
    ],
)
def test_a_grid_without_limits_measures_everything(
    study: StudyWriter, limits: str, everything: bool
) -> None:
    assert searching(study, limits).measures_everything is everything


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("annealing", "search", "allowed: grid, random"),
        ("radnom", "search", "did you mean `random`?"),
        ("3", "search", "mapping"),
        ("[tpe]", "search", "mapping"),
        ("{strategy: grid_search}", "search.strategy", "allowed: grid, random"),
        ("{strategy: 3}", "search.strategy", "text"),
        ("{seed: -1}", "search.seed", "at least 0"),
        ("{first: 0}", "search.first", "at least 1"),
        ("{levels: some}", "search.levels", "all, adaptive"),
        ("{levels: adaptive}", "search.levels", "`over: best`"),
        ("{max_experiments: 0}", "search.max_experiments", "at least 1"),
        ('{max_experiments: "8"}', "search.max_experiments", "without quotes"),
        ("{max_gpu_hours: 0}", "search.max_gpu_hours", "above 0"),
        ("{max_gpu_hours: 8h}", "search.max_gpu_hours", "number"),
        ("{max_wall_time: 8 hours}", "search.max_wall_time", '"8h", "90m"'),
        ("{max_wall_time: true}", "search.max_wall_time", '"8h", "90m"'),
        ("{max_candidates: 0}", "search.max_candidates", "at least 1"),
        ("{stop_when: 10}", "search.stop_when", "mapping"),
        ("{stop_when: {no_improvement: 0}}", "search.stop_when.no_improvement", "at least 1"),
        (
            "{stop_when: {expected_gain_below: 1}}",
            "search.stop_when.expected_gain_below",
            "above 0 and below 1",
        ),
        ("{options: [1]}", "search.options", "mapping"),
        ("{estimator: rofline}", "search.estimator", "did you mean `roofline`?"),
        ("{estimator: roofline + mine}", "search.estimator", "or a folder of results"),
    ],
)
def test_a_wrong_value_is_explained(study: StudyWriter, text: str, key: str, words: str) -> None:
    problem = study.problem(search=f"search: {text}")
    assert (problem.key, problem.line) == (key, 6)
    assert words in problem.fix


def test_gpu_hours_are_no_limit_where_there_are_no_gpus(study: StudyWriter) -> None:
    problem = study.problem(resources="resources: {gpus: 0}", search="search: {max_gpu_hours: 3}")
    assert problem.key == "search.max_gpu_hours"
    assert "`max_wall_time`" in problem.fix


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("algorithm", "`strategy`"),
        ("sampler", "`strategy`"),
        ("n_trials", "`max_experiments`"),
        ("max_trials", "`max_experiments`"),
        ("budget", "`max_experiments`"),
        ("max_iterations", "`max_experiments`"),
        ("n_initial_random", "`first`"),
        ("timeout", "`max_wall_time`"),
        ("gpu_hours", "`max_gpu_hours`"),
        ("no_improvement", "`stop_when: {no_improvement: 10}`"),
        ("pruner", "`levels: adaptive`"),
        ("pool", "`max_candidates`"),
        ("max_gpus", "top level"),
        ("strtegy", "`strategy`"),
    ],
)
def test_a_likely_wrong_key_is_told_its_right_one(
    study: StudyWriter, wrong: str, meant: str
) -> None:
    problem = study.problem(search=f"search: {{{wrong}: 1}}")
    assert (problem.key, problem.line) == (f"search.{wrong}", 6)
    assert meant in problem.fix


def test_a_wrong_stop_rule_is_told_its_right_name(study: StudyWriter) -> None:
    problem = study.problem(search="search: {stop_when: {patience: 3}}")
    assert problem.key == "search.stop_when.patience"
    assert "`no_improvement`" in problem.fix

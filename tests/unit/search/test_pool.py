"""What grid, random and sobol ask for; what holds for every strategy stands in the contract."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autotuner.search.base import Ended
from autotuner.search.contract import example_problem, example_told
from autotuner.search.registry import load_strategy


def order(name: str, seed: int = 0, history: int = 0) -> list[str]:
    problem = example_problem(seed)
    strategy = load_strategy(name)(problem)
    for candidate in problem.candidates[:history]:
        strategy.tell(example_told(candidate))
    return [ask.candidate for ask in strategy.ask(1000)]


def test_the_grid_is_measured_in_the_order_of_the_plan() -> None:
    assert order("grid") == [candidate.id for candidate in example_problem().candidates]


@pytest.mark.parametrize("name", ["grid", "random", "sobol"])
def test_everything_is_measured_if_nothing_ends_it(name: str) -> None:
    ids = {candidate.id for candidate in example_problem().candidates}
    assert set(order(name)) == ids
    problem = example_problem()
    assert load_strategy(name)(problem).expected_experiments() == len(ids)
    stopping = load_strategy(name)(example_problem(stop=5))
    assert stopping.expected_experiments() is None


@pytest.mark.parametrize("name", ["random", "sobol"])
def test_the_seed_decides_the_order(name: str) -> None:
    assert order(name, 1) == order(name, 1) != order(name, 2)
    assert order(name, 1) != order("grid")


@pytest.mark.parametrize("name", ["grid", "random", "sobol"])
def test_a_resumed_study_goes_on_in_the_order_it_began(name: str) -> None:
    measured = {candidate.id for candidate in example_problem().candidates[:10]}
    assert order(name, 1, history=10) == [one for one in order(name, 1) if one not in measured]


def test_candidates_that_are_added_do_not_change_a_random_order() -> None:
    problem = example_problem()
    fewer = replace(problem, candidates=problem.candidates[::2])
    strategy = load_strategy("random")(fewer)
    kept = {candidate.id for candidate in fewer.candidates}
    asked = [ask.candidate for ask in strategy.ask(1000)]
    assert asked == [one for one in order("random") if one in kept]


def test_a_baseline_that_was_measured_is_not_measured_again() -> None:
    problem = example_problem()
    last = problem.candidates[-1]
    strategy = load_strategy("grid")(replace(problem, baseline=last.id))
    strategy.tell(example_told(last))
    assert strategy.ask(1)[0].candidate == problem.candidates[0].id


def test_what_a_changed_study_no_longer_has_is_passed_over() -> None:
    problem = example_problem()
    strategy = load_strategy("grid")(replace(problem, candidates=problem.candidates[1:]))
    strategy.tell(example_told(problem.candidates[0]))
    assert len(strategy.ask(1000)) == len(problem.candidates) - 1


def test_a_finished_search_says_why() -> None:
    problem = example_problem(stop=2)
    strategy = load_strategy("grid")(problem)
    for ask in strategy.ask(3):
        strategy.tell(replace(example_told(problem.candidates[0]), candidate=ask.candidate))
    assert strategy.finished == "none of the last 2 experiments has bettered the best by 2 %"
    everything = load_strategy("grid")(example_problem())
    everything.ask(1000)
    assert everything.finished == "all 40 experiments have been asked for"


def test_a_lost_experiment_says_nothing_and_is_not_asked_for_again() -> None:
    problem = example_problem(stop=2)
    strategy = load_strategy("grid")(problem)
    for candidate in problem.candidates[:5]:
        strategy.tell(example_told(candidate, Ended.LOST))
    assert strategy.finished is None
    assert strategy.ask(1)[0].candidate == problem.candidates[5].id

from __future__ import annotations

from dataclasses import replace

import pytest
from unit.search.curves import LEVELS, THROUGHPUT, candidate, problem, rows

from autotuner.search.base import Ended, Problem, Told
from autotuner.search.climb import Climb
from autotuner.search.curves import Curves, leaves_levels_out
from autotuner.search.level_plans import AllLevels
from autotuner.search.registry import load_strategy
from autotuner.spec.objective import Over
from autotuner.spec.searching import LevelChoice, Searching, StopWhen

SPACE = [candidate(f"tp{tp}-{n}", gpus=tp, tp=tp, n=n) for tp in (1, 2, 4) for n in range(4)]


@pytest.mark.parametrize("name", ["grid", "random", "sobol", "tpe", "adaptive"])
def test_every_strategy_leaves_levels_out_where_the_study_says_so(name: str) -> None:
    def first(asked: Problem) -> object:
        return load_strategy(name)(asked).ask(1)[0].levels

    assert isinstance(first(problem(*SPACE)), Climb)
    assert first(problem(*SPACE, levels=LevelChoice.ALL)) == AllLevels(LEVELS)


@pytest.mark.parametrize("over", [Over.WORST, Over.WEIGHTED, Over.SEED_MEAN, None])
def test_levels_are_left_out_only_where_the_best_counts(over: Over | None) -> None:
    assert leaves_levels_out(problem(*SPACE))
    assert not leaves_levels_out(problem(*SPACE, objective=replace(THROUGHPUT, over=over)))


def test_a_server_climbs_by_what_others_have_shown() -> None:
    strategy = load_strategy("grid")(problem(*SPACE))
    first = strategy.ask(1)[0].levels
    assert isinstance(first, Climb)
    assert first.best is None
    strategy.tell(Told(SPACE[0].id, rows(), Ended.COMPLETED))
    second = strategy.ask(1)[0].levels
    assert isinstance(second, Climb)
    assert second.best is not None
    assert second.belief != first.belief


def test_what_is_worth_its_time_follows_from_what_the_study_wants() -> None:
    assert Curves(problem(*SPACE)).worth == pytest.approx(0.01)
    strict = Searching(stop_when=StopWhen(expected_gain_below=0.05))
    assert Curves(problem(*SPACE, searching=strict)).worth == 0.05
    asked = problem(*SPACE)
    coarse = replace(asked, judging=replace(asked.judging, minimal_effect=0.1))
    assert Curves(coarse).worth == pytest.approx(0.05)


def test_a_candidate_climbs_its_own_levels_only() -> None:
    short = replace(SPACE[0], levels=LEVELS[1:3])
    plan = Curves(problem(short, *SPACE[1:])).plan(short)
    assert plan.most == LEVELS[1:3]


def test_which_parameter_counts_is_learned_once_enough_have_been_measured() -> None:
    curves = Curves(problem(*SPACE))
    even = curves.model.relevance
    for count, one in enumerate(SPACE[:8], start=1):
        speed = 200.0 if int(str(one.parameters["n"])) % 2 else 50.0
        curves.tell(one, Told(one.id, rows(speed, one.gpus), Ended.COMPLETED))
        curves.learn()
        assert (curves.model.relevance is even) == (count < 6)

"""What TPE and NSGA-II are told, and what becomes of what they suggest."""

from __future__ import annotations

import itertools
import random
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping

import optuna
import pytest
from optuna.trial import TrialState

from autotuner.search.base import Candidate, Ended, Problem, Told
from autotuner.search.contract import example_problem, example_told
from autotuner.search.modelled import SampledStrategy
from autotuner.search.random_order import RandomStrategy
from autotuner.search.tpe import TpeStrategy
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Direction, Objective
from autotuner.spec.searching import Searching
from autotuner.spec.server import Value
from autotuner.spec.workload import Level

LEVEL = Level("chat", "D(1,1)", 8)
JUDGING = Judging(Objective("o", "output_throughput_tok_s", Direction.MAXIMIZE))
RANKS, FLAGS = range(6), ("a", "b", "c", "d")


def problem(seed: int, first: int | None = None) -> Problem:
    """144 servers: two numbers, of which one on a scale that doubles, and a word."""
    candidates = tuple(
        Candidate(f"{x}-{y}-{word}", {"x": x, "y": 2**y, "word": word}, 1, (LEVEL,))
        for x, y, word in itertools.product(RANKS, RANKS, FLAGS)
    )
    return Problem(candidates, JUDGING, Searching("tpe", seed=seed, first=first))


def hill(parameters: Mapping[str, Value]) -> float:
    x, y = int(parameters["x"] or 0), int(parameters["y"] or 0)
    return 100 - 4 * (x - 4) ** 2 - 4 * (y.bit_length() - 2) ** 2 + 9 * (parameters["word"] == "c")


def completed(candidate: str, value: float) -> Told:
    return Told(candidate, {LEVEL: {"output_throughput_tok_s": value}}, Ended.COMPLETED)


def asks_until_the_best(strategy: TpeStrategy | RandomStrategy, slots: int) -> int:
    parameters = {one.id: one.parameters for one in strategy.problem.candidates}
    best = max(parameters, key=lambda one: hill(parameters[one]))
    running: list[str] = []
    for asked in itertools.count(1):
        (ask,) = strategy.ask(1)
        if ask.candidate == best:
            return asked
        running.append(ask.candidate)
        if len(running) == slots:
            done = running.pop(0)
            strategy.tell(completed(done, hill(parameters[done])))
    raise AssertionError


@pytest.mark.parametrize("slots", [1, 8])
def test_the_best_is_found_in_half_the_experiments_that_chance_takes(slots: int) -> None:
    seeds = range(8)
    tpe = [asks_until_the_best(TpeStrategy(problem(seed)), slots) for seed in seeds]
    chance = [asks_until_the_best(RandomStrategy(problem(seed)), slots) for seed in seeds]
    assert statistics.fmean(tpe) < statistics.fmean(chance) / 2


Crashes = Callable[[Mapping[str, Value]], bool]


def into_the_corner(parameters: Mapping[str, Value]) -> float:
    x, y = int(parameters["x"] or 0), int(parameters["y"] or 0)
    return x * y.bit_length()


@pytest.mark.parametrize("value", [hill, into_the_corner])
@pytest.mark.parametrize(
    "crashes",
    [
        pytest.param(lambda parameters: parameters["word"] == "c", id="a word"),
        pytest.param(lambda parameters: parameters["x"] < 2, id="small numbers"),
        pytest.param(lambda parameters: parameters["x"] > 2 and parameters["y"] > 4, id="a corner"),
    ],
)
def test_after_ten_crashes_where_servers_crash_is_asked_for_less_than_by_chance(
    crashes: Crashes, value: Callable[[Mapping[str, Value]], float]
) -> None:
    asked, seeds, more = 0, 5, 20
    candidates = problem(0).candidates
    by_id = {one.id: one for one in candidates}
    bad = [one for one in candidates if crashes(one.parameters)]
    good = [one for one in candidates if not crashes(one.parameters)]
    for seed in range(seeds):
        strategy, draw = TpeStrategy(problem(seed)), random.Random(seed)
        for one in draw.sample(bad, 10):
            strategy.tell(Told(one.id, {}, Ended.FAILED))
        for one in draw.sample(good, 10):
            strategy.tell(completed(one.id, value(one.parameters)))
        for _ in range(more):
            one = by_id[strategy.ask(1)[0].candidate]
            asked += crashes(one.parameters)
            failed = Told(one.id, {}, Ended.FAILED)
            strategy.tell(
                failed if crashes(one.parameters) else completed(one.id, value(one.parameters))
            )
    by_chance = seeds * more * (len(bad) - 10) / (len(candidates) - 20)
    assert asked < by_chance / 2


def test_what_may_crash_is_asked_for_when_nothing_else_is_left() -> None:
    searched = problem(0)
    strategy = TpeStrategy(searched)
    for one in searched.candidates:
        if one.parameters["word"] != "c":
            strategy.tell(completed(one.id, 1.0))
        elif one.parameters["x"] != 3:
            strategy.tell(Told(one.id, {}, Ended.FAILED))
    left = {one.id for one in searched.candidates if one.id.endswith("c") and one.id[0] == "3"}
    assert {ask.candidate for ask in strategy.ask(100)} == left


def trials(strategy: SampledStrategy) -> list[optuna.trial.FrozenTrial]:
    assert strategy._study is not None
    return strategy._study._study.get_trials(deepcopy=False)


def places(strategy: SampledStrategy, *states: TrialState) -> Counter[tuple[object, ...]]:
    """Ranks and kind in Optuna's parameters, of the trials in these states."""
    found = (trial.params for trial in trials(strategy) if trial.state in states)
    return Counter((one["rank 0"], one["rank 1"], one["kind 2"]) for one in found)


def expected(ids: list[str]) -> Counter[tuple[object, ...]]:
    split = [one.split("-") for one in ids]
    return Counter((int(x), int(y), 1 + FLAGS.index(word)) for x, y, word in split)


def test_optuna_is_told_exactly_what_is_measured_and_what_runs() -> None:
    strategy = TpeStrategy(problem(0, first=4))
    running: list[str] = []
    done: list[str] = []
    for _ in range(20):
        running += [ask.candidate for ask in strategy.ask(3 - len(running))]
        done.append(running.pop(0))
        strategy.tell(completed(done[-1], 1.0))
    assert places(strategy, TrialState.COMPLETE) == expected(done)
    assert places(strategy, TrialState.RUNNING) == expected(running)


def test_what_was_lost_teaches_nothing_and_runs_no_more() -> None:
    strategy = TpeStrategy(problem(0, first=2))
    for _ in range(6):
        (ask,) = strategy.ask(1)
        strategy.tell(completed(ask.candidate, 1.0))
    before = places(strategy, TrialState.COMPLETE)
    (lost,) = strategy.ask(1)
    assert places(strategy, TrialState.RUNNING) == expected([lost.candidate])
    strategy.tell(Told(lost.candidate, {}, Ended.LOST))
    assert not places(strategy, TrialState.RUNNING)
    assert places(strategy, TrialState.COMPLETE) == before


def test_failures_are_told_as_further_from_the_limits_than_any_other() -> None:
    strategy = TpeStrategy(problem(0, first=2))
    for end in (Ended.COMPLETED, Ended.FAILED, Ended.COMPLETED):
        (ask,) = strategy.ask(1)
        strategy.tell(Told(ask.candidate, {}, end) if end is Ended.FAILED else
                      completed(ask.candidate, 5.0))  # fmt: skip
    strategy.ask(1)
    told = [trial for trial in trials(strategy) if trial.state is TrialState.COMPLETE]
    assert [trial.constraints["limits"] for trial in told] == [0, 100, 0]
    assert [trial.value for trial in told if trial.constraints["limits"] == 0] == [5.0, 5.0]


def test_optuna_forgets_what_is_told_otherwise_later() -> None:
    strategy = TpeStrategy(problem(0, first=2))
    asked = []
    for _ in range(4):
        (ask,) = strategy.ask(1)
        asked.append(ask.candidate)
        strategy.tell(completed(ask.candidate, 1.0))
    strategy.tell(completed(asked[0], 7.0))
    (running,) = strategy.ask(1)
    values = [one.value for one in trials(strategy) if one.state is TrialState.COMPLETE]
    assert values == [7.0, 1.0, 1.0, 1.0]
    assert places(strategy, TrialState.RUNNING) == expected([running.candidate])


def test_so_many_are_spread_over_the_space_as_the_study_wants() -> None:
    strategy = TpeStrategy(problem(0, first=6))
    reasons = []
    for _ in range(8):
        (ask,) = strategy.ask(1)
        reasons.append(ask.why)
        strategy.tell(completed(ask.candidate, 1.0))
    assert reasons[:6] == ["spread over the space"] * 6
    assert reasons[6:] == [f"suggested by TPE after {n} experiments" for n in (6, 7)]


def test_with_many_slots_nothing_is_modelled_before_something_is_known() -> None:
    strategy = TpeStrategy(problem(0, first=4))
    assert {ask.why for ask in strategy.ask(20)} == {"spread over the space"}


def test_experiments_of_an_earlier_run_count_among_the_first() -> None:
    strategy = TpeStrategy(problem(0, first=4))
    for candidate in strategy.problem.candidates[:4]:
        strategy.tell(completed(candidate.id, 1.0))
    assert strategy.ask(1)[0].why == "suggested by TPE after 4 experiments"


def test_optunas_settings_are_left_as_they_were(caplog: pytest.LogCaptureFixture) -> None:
    before = optuna.logging.get_verbosity()
    optuna.logging.enable_propagation()
    try:
        strategy = TpeStrategy(example_problem())
        for candidate in strategy.problem.candidates[:10]:
            strategy.tell(example_told(candidate))
        strategy.ask(3)
    finally:
        optuna.logging.disable_propagation()
    assert optuna.logging.get_verbosity() == before
    assert caplog.records == []


def test_optuna_is_imported_only_for_a_strategy_that_needs_it() -> None:
    program = (
        "import sys; from autotuner.search.registry import load_strategy;"
        "[load_strategy(name) for name in ('grid', 'random', 'sobol')];"
        "print('optuna' in sys.modules, 'scipy' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout.split() == [b"False", b"False"]

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from unit.search.curves import LEVELS, THROUGHPUT, TPOT, candidate, problem, row

from autotuner.search.adaptive import AdaptiveStrategy
from autotuner.search.base import Ask, Candidate, Ended, Problem, Told
from autotuner.search.climb import Climb
from autotuner.search.contract import StrategyContract, example_problem
from autotuner.search.estimators.base import Estimate
from autotuner.search.level_plans import AllLevels, NoMore, Seen
from autotuner.search.registry import load_strategy
from autotuner.spec.objective import Direction, Objective, Over
from autotuner.spec.searching import LevelChoice, Searching, StopWhen
from autotuner.spec.workload import Level

Speed = Callable[[Candidate], float]


class TestContract(StrategyContract):
    strategy = AdaptiveStrategy


class TestContractWithClimbs(StrategyContract):
    """The same where servers choose their levels."""

    strategy = AdaptiveStrategy

    def make(self, problem: Problem) -> AdaptiveStrategy:
        searching = replace(problem.searching, levels=LevelChoice.ADAPTIVE)
        return AdaptiveStrategy(replace(problem, searching=searching))


SPACE = [
    candidate(f"{engine}-tp{tp}-s{seqs}", gpus=tp, engine=engine, tp=tp, seqs=seqs)
    for engine, tp, seqs in itertools.product(("a", "b"), (1, 2, 4), (16, 64, 256))
]


def speed_of(one: Candidate) -> float:
    """Engine a is the quicker one; 64 sequences are best."""
    seqs = {16: 0.6, 64: 1.0, 256: 0.8}[int(str(one.parameters["seqs"]))]
    return 100 * seqs * one.gpus**0.4 * (1.5 if one.parameters["engine"] == "a" else 1.0)


def play(ask: Ask, one: Candidate, speed: float) -> Told:
    """What a server of this speed shows under the plan."""
    seen: list[Seen] = []
    while not isinstance(level := ask.levels.next(seen), NoMore):
        seen.append(Seen(level, row(level, speed, gpus=one.gpus), ok=True))
    ended = Ended.PRUNED if level.pruned else Ended.COMPLETED
    return Told(one.id, {each.level: each.row for each in seen}, ended)


def search(asked: Problem, speed: Speed = speed_of, slots: int = 1) -> dict[str, Told]:
    """Everything that is measured until it stops, in the order of the ends."""
    strategy = AdaptiveStrategy(asked)
    by_id = {one.id: one for one in asked.candidates}
    running: list[Ask] = []
    told: dict[str, Told] = {}
    while True:
        running += strategy.ask(slots - len(running))
        if not running:
            assert strategy.finished
            return told
        ask = running.pop(0)
        one = by_id[ask.candidate]
        told[one.id] = play(ask, one, speed(one))
        strategy.tell(told[one.id])


def value(told: Told) -> float:
    return max(float(str(one[THROUGHPUT.column])) for one in told.rows.values())


def test_it_is_known_by_its_name_and_by_what_it_can_tell() -> None:
    assert load_strategy("adaptive") is AdaptiveStrategy
    assert AdaptiveStrategy.tells_expected_gain


@pytest.mark.parametrize("floor", [None, 40.0, 120.0])
@pytest.mark.parametrize("slots", [1, 4])
def test_the_best_is_found_without_measuring_everything(floor: float | None, slots: int) -> None:
    told = search(problem(*SPACE, floor_tok_s=floor), slots=slots)
    measured = sum(len(one.rows) for one in told.values())
    assert measured < 0.4 * len(SPACE) * len(LEVELS)

    def kept(one: Candidate) -> list[float]:
        found = [row(level, speed_of(one), gpus=one.gpus) for level in LEVELS]
        return [
            float(str(each[THROUGHPUT.column]))
            for each in found
            if floor is None or float(str(each["tpot_s_mean"])) <= 1 / floor
        ]

    best = max(itertools.chain.from_iterable(kept(one) for one in SPACE))
    found = [
        float(str(each[THROUGHPUT.column]))
        for one in told.values()
        for each in one.rows.values()
        if floor is None or float(str(each["tpot_s_mean"])) <= 1 / floor
    ]
    assert max(found) >= 0.95 * best


def test_where_less_is_better_less_is_found() -> None:
    tpot = Objective("tpot", "tpot_s", Direction.MINIMIZE, statistic="mean", over=Over.BEST)
    told = search(problem(*SPACE, objective=tpot))
    quickest = max(SPACE, key=speed_of)
    assert quickest.id in told
    assert LEVELS[0] in told[quickest.id].rows


def test_the_server_that_carries_the_largest_load_is_found() -> None:
    """``concurrency`` is known before; which of it keeps the limits is not."""
    largest = Objective("load", "concurrency", Direction.MAXIMIZE, over=Over.BEST)
    asked = problem(*SPACE, objective=largest, floor_tok_s=40, levels=LevelChoice.ALL)
    told = search(asked)
    kept = [
        level.concurrency
        for one in told.values()
        for level, shown in one.rows.items()
        if float(str(shown["tpot_s_mean"])) <= 1 / 40
    ]
    assert max(kept) == 256, "only the widest servers carry as much"
    assert len(told) < len(SPACE) / 2


def test_cheap_servers_come_first_where_nothing_is_known() -> None:
    first = AdaptiveStrategy(problem(*SPACE)).ask(1)[0]
    assert first.candidate.split("-")[1] == "tp1"
    assert first.why == "promises the most per GPU-second"


def test_levels_are_chosen_only_where_the_best_level_counts_and_the_study_allows_it() -> None:
    chosen = AdaptiveStrategy(problem(*SPACE)).ask(1)[0].levels
    assert isinstance(chosen, Climb)
    everything = AllLevels(LEVELS)
    assert AdaptiveStrategy(problem(*SPACE, levels=LevelChoice.ALL)).ask(1)[0].levels == everything
    assert AdaptiveStrategy(problem(*SPACE, objective=TPOT)).ask(1)[0].levels == everything
    named = replace(THROUGHPUT, over=None, concurrency=16)
    assert AdaptiveStrategy(problem(*SPACE, objective=named)).ask(1)[0].levels == everything


@pytest.mark.parametrize("over", [Over.WORST, Over.SEED_MEAN, None])
def test_objectives_over_all_levels_are_searched_too(over: Over | None) -> None:
    told = search(problem(*SPACE, objective=replace(THROUGHPUT, over=over)))
    assert len(told) < len(SPACE)
    assert {one.split("-")[0] for one in told} == {"a", "b"}
    assert "a-tp1-s64" in told


def test_so_much_runs_at_once_as_leaves_something_to_learn() -> None:
    assert len(AdaptiveStrategy(problem(*SPACE)).ask(100)) == 2
    many = [candidate(f"c{i}", number=i) for i in range(80)]
    assert len(AdaptiveStrategy(problem(*many)).ask(100)) == 10


def test_what_runs_is_taken_into_account() -> None:
    """The second is not the twin of the first, which would teach the same."""
    twins = [candidate(f"{kv}{n}", kv=kv, n=n) for kv in ("x", "y", "z") for n in range(8)]
    asked = AdaptiveStrategy(problem(*twins)).ask(3)
    assert len({one.candidate[0] for one in asked}) > 1


def test_the_search_ends_when_nothing_promises_enough_and_says_so() -> None:
    lenient = Searching(levels=LevelChoice.ADAPTIVE, stop_when=StopWhen(expected_gain_below=0.5))
    strict = replace(lenient, stop_when=StopWhen(expected_gain_below=0.001))
    few, many = (search(problem(*SPACE, searching=one)) for one in (lenient, strict))
    assert len(few) < len(many)
    strategy = AdaptiveStrategy(problem(*SPACE, searching=lenient))
    for told in few.values():
        strategy.tell(told)
    assert strategy.finished is not None
    assert strategy.finished.startswith("no experiment left is expected to gain more than")


def test_a_search_is_not_finished_while_a_server_runs_that_may_change_its_mind() -> None:
    strategy = AdaptiveStrategy(problem(*SPACE))
    strategy.ask(1)
    assert strategy.finished is None


def test_while_nothing_keeps_the_limits_the_search_goes_on_towards_them() -> None:
    told = search(problem(*SPACE, floor_tok_s=240.0))
    assert any(one.ended is Ended.COMPLETED for one in told.values())


def test_limits_that_nothing_can_keep_are_given_up_after_a_quarter_of_the_space() -> None:
    strategy = AdaptiveStrategy(problem(*SPACE, floor_tok_s=100_000.0))
    count = 0
    while asks := strategy.ask(1):
        count += 1
        one = next(each for each in SPACE if each.id == asks[0].candidate)
        strategy.tell(play(asks[0], one, speed_of(one)))
    assert max(4, len(SPACE) // 4) <= count < len(SPACE)
    assert strategy.finished is not None
    assert "keeps the limits" in strategy.finished


def test_configurations_like_those_that_crashed_are_tried_last() -> None:
    strategy = AdaptiveStrategy(problem(*SPACE, levels=LevelChoice.ALL))
    asked = []
    while asks := strategy.ask(1):
        one = next(each for each in SPACE if each.id == asks[0].candidate)
        asked.append(one.parameters["engine"])
        crashed = one.parameters["engine"] == "a"
        told = Told(one.id, {}, Ended.FAILED) if crashed else play(asks[0], one, speed_of(one))
        strategy.tell(told)
    assert asked.count("a") < len(SPACE) / 4
    assert asked.count("b") >= 1


def test_also_while_nothing_keeps_the_limits_what_crashes_is_tried_last() -> None:
    """Before all of those that run have missed the limits."""
    narrow = [one for one in SPACE if one.gpus == 1]
    strategy = AdaptiveStrategy(problem(*narrow, floor_tok_s=200.0, levels=LevelChoice.ALL))
    asked = []
    for _ in range(4):
        (ask,) = strategy.ask(1)
        one = next(each for each in narrow if each.id == ask.candidate)
        asked.append(one.parameters["engine"])
        crashed = one.parameters["engine"] == "a"
        told = Told(one.id, {}, Ended.FAILED) if crashed else play(ask, one, speed_of(one))
        strategy.tell(told)
    assert asked.count("b") == 3


def test_the_first_so_many_are_spread_over_the_space_if_the_study_says_so() -> None:
    searching = Searching(first=6, levels=LevelChoice.ADAPTIVE)
    asked = AdaptiveStrategy(problem(*SPACE, searching=searching))
    first = [one for _ in range(6) for one in told_at_once(asked)]
    assert {one.why for one in first} == {"one of the first 6, spread over the space"}
    assert {one.candidate.split("-")[1] for one in first} == {"tp1", "tp2", "tp4"}
    assert next(iter(told_at_once(asked))).why != first[0].why


def told_at_once(strategy: AdaptiveStrategy) -> list[Ask]:
    asks = list(strategy.ask(1))
    for ask in asks:
        one = next(each for each in SPACE if each.id == ask.candidate)
        strategy.tell(play(ask, one, speed_of(one)))
    return asks


def test_what_runs_though_not_on_its_word_counts_as_running() -> None:
    """A second one is asked for beside it, and its levels are what has to be beaten."""
    best = max(SPACE, key=lambda one: speed_of(one) / one.gpus)
    strategy = AdaptiveStrategy(problem(*SPACE))
    shown = {level: row(level, speed_of(best), gpus=best.gpus) for level in LEVELS[-2:]}
    strategy.tell(Told(best.id, shown))
    asked = strategy.ask(10)
    assert len(asked) == 1
    assert "better the best so far" in asked[0].why


def estimate(one: Candidate, level: Level) -> Estimate:
    numbers = {k: float(str(v)) for k, v in row(level, speed_of(one), gpus=one.gpus).items()}
    throughput = numbers["output_throughput_tok_s"]
    return Estimate(numbers["ttft_s_mean"], numbers["tpot_s_mean"], throughput, 0.5, 0.3, 0.3)


def test_an_estimator_says_where_to_begin() -> None:
    informed = search(replace(problem(*SPACE), estimate=estimate))
    assert next(iter(informed)) == "a-tp1-s64"
    assert len(informed) <= len(search(problem(*SPACE)))


def test_nine_of_ten_searches_find_the_best_though_the_estimator_errs_by_a_quarter() -> None:
    """On each server by itself, so that none tells of another's error."""
    assert sum(found_despite_errors(seed) for seed in range(50)) >= 45


def found_despite_errors(seed: int) -> bool:
    errors = np.exp(np.random.default_rng(seed).normal(0, 0.25, len(SPACE)))
    speeds = {one.id: speed_of(one) * error for one, error in zip(SPACE, errors, strict=True)}
    told = search(replace(problem(*SPACE), estimate=estimate), lambda one: speeds[one.id])
    best = max(
        float(str(row(level, speeds[one.id], gpus=one.gpus)[THROUGHPUT.column]))
        for one, level in itertools.product(SPACE, LEVELS)
    )
    return max(value(one) for one in told.values()) >= 0.95 * best


@pytest.mark.parametrize(("candidates", "expected"), [(1, 1), (8, 4), (16, 6), (432, 62)])
def test_the_cost_of_a_search_is_told_before_it_starts(candidates: int, expected: int) -> None:
    many = [candidate(f"c{i}", number=i) for i in range(candidates)]
    assert AdaptiveStrategy(problem(*many)).expected_experiments() == expected


def test_a_space_too_large_to_weigh_at_once_is_searched_too() -> None:
    many = [candidate(f"c{i}", number=i, other=i % 7) for i in range(2100)]
    strategy = AdaptiveStrategy(problem(*many))
    assert len({ask.candidate for ask in strategy.ask(2)}) == 2


def test_an_objective_without_levels_does_not_break_it() -> None:
    lost = replace(THROUGHPUT, workload="no such workload")
    assert AdaptiveStrategy(problem(*SPACE, objective=lost)).ask(1)


def test_the_example_space_is_searched_with_few_servers() -> None:
    asked = example_problem()
    searching = replace(asked.searching, levels=LevelChoice.ADAPTIVE)
    assert AdaptiveStrategy(replace(asked, searching=searching)).ask(5)

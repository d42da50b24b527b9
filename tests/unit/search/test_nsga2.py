from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest

from autotuner.search.base import Candidate, Ended, Problem, Told
from autotuner.search.findings import CRASHED, Point
from autotuner.search.level_plans import AllLevels
from autotuner.search.nsga2 import Nsga2Strategy
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Constraint, Direction, Objective, Over
from autotuner.spec.searching import LevelChoice, Searching, StopWhen
from autotuner.spec.workload import Level

LOW, HIGH = (Level("chat", "D(1,1)", concurrency) for concurrency in (1, 8))
SHORT, LONG = (Level("batch", "D(9,9)", concurrency) for concurrency in (2, 16))
OBJECTIVE = Objective("o", "ttft_s", Direction.MINIMIZE, "p99")


def row(per_gpu: float | None, tpot_s: float = 0.1, ttft_s: float = 0.5) -> Mapping[str, object]:
    return {
        "output_throughput_tok_s": 1000.0,
        "output_throughput_tok_s_per_gpu": per_gpu,
        "tpot_s_p50": tpot_s,
        "ttft_s_p50": ttft_s,
        "ttft_s_p99": ttft_s,
    }


def points(
    rows: Mapping[Level, Mapping[str, object]],
    levels: tuple[Level, ...] = (LOW, HIGH),
    ended: Ended = Ended.COMPLETED,
    limit_s: float = 9.0,
) -> tuple[Point, ...]:
    candidate = Candidate("a", {}, 1, levels)
    judging = Judging(OBJECTIVE, (Constraint("ttft_s", "p99", limit_s),))
    strategy = Nsga2Strategy(Problem((candidate,), judging, Searching("nsga2")))
    return strategy.points(candidate, Told("a", rows, ended))


def test_every_level_is_a_point_with_the_axes_of_the_front() -> None:
    found = points({LOW: row(10, 0.1, 0.25), HIGH: row(50, 0.5, 1.0)})
    assert [point.values for point in found] == [(10, 10, -0.25), (50, 2, -1)]


def test_without_gpus_the_throughput_is_the_servers() -> None:
    assert points({LOW: row(None)})[0].values[0] == 1000.0


def test_a_level_beyond_a_limit_is_told_with_how_far_it_is() -> None:
    kept, near, far = (points({LOW: row(9, ttft_s=t)}, limit_s=1.0)[0] for t in (1.0, 1.1, 3.0))
    assert kept.feasible
    assert 0 < near.violation < far.violation < 1


def test_of_several_workloads_a_point_serves_all_of_them() -> None:
    (low, high) = points(
        {LOW: row(10), HIGH: row(50), SHORT: row(40), LONG: row(200, ttft_s=3.0)},
        (LOW, HIGH, SHORT, LONG),
        limit_s=2.0,
    )
    assert low.values[0] == pytest.approx(20.0)
    assert not high.feasible


def test_what_failed_is_infeasible_and_what_was_lost_says_nothing() -> None:
    assert points({}, ended=Ended.FAILED) == (Point(violation=CRASHED),)
    assert points({LOW: row(1)}, ended=Ended.LOST) == ()
    assert points({}, ended=Ended.PRUNED) == ()
    assert not points({}, ended=Ended.COMPLETED)[0].feasible
    assert [point.feasible for point in points({LOW: row(5)}, ended=Ended.PRUNED)] == [True]


def test_a_search_goes_on_while_its_front_grows_whatever_the_objective_says() -> None:
    candidates = tuple(Candidate(str(x), {"x": x}, 1, (LOW,)) for x in range(20))
    searching = Searching("nsga2", first=20, stop_when=StopWhen(no_improvement=3))
    strategy = Nsga2Strategy(Problem(candidates, Judging(OBJECTIVE), searching))
    for throughput in (10, 20, 30, 40, 50, 60):
        (ask,) = strategy.ask(1)
        rows = {LOW: row(throughput, tpot_s=throughput)}
        strategy.tell(Told(ask.candidate, rows, Ended.COMPLETED))
    assert strategy.finished is None
    for _ in range(3):
        (ask,) = strategy.ask(1)
        strategy.tell(Told(ask.candidate, {LOW: row(5, tpot_s=90)}, Ended.COMPLETED))
    assert strategy.finished is not None


def test_every_level_is_measured_also_where_the_objective_needs_one_alone() -> None:
    objective = Objective("o", "ttft_s", Direction.MINIMIZE, "p99", over=Over.BEST)
    searching = Searching("nsga2", levels=LevelChoice.ADAPTIVE)
    candidates = tuple(Candidate(str(x), {"x": x}, 1, (LOW, HIGH)) for x in range(3))
    strategy = Nsga2Strategy(Problem(candidates, Judging(objective), searching))
    assert [ask.levels for ask in strategy.ask(3)] == [AllLevels((LOW, HIGH))] * 3


def test_it_seeks_the_front_and_not_the_middle_of_the_space() -> None:
    """y trades throughput for interactivity; x and z cost both."""

    def cost(seed: int) -> float:
        triples = itertools.product(range(6), range(6), range(6))
        candidates = tuple(
            Candidate(f"{x}-{y}-{z}", {"x": x, "y": y, "z": z}, 1, (LOW,)) for x, y, z in triples
        )
        searching = Searching("nsga2", seed=seed)
        strategy = Nsga2Strategy(Problem(candidates, Judging(OBJECTIVE), searching))
        costs = []
        for _ in range(72):
            (ask,) = strategy.ask(1)
            x, y, z = map(int, ask.candidate.split("-"))
            costs.append(x + z)
            shown = row((1 + y) * (12 - x - z), (1 + y) * (1 + x + z) / 100)
            strategy.tell(Told(ask.candidate, {LOW: shown}, Ended.COMPLETED))
        return sum(costs[-36:]) / 36

    found = [cost(seed) for seed in range(5)]
    by_chance = 5.0
    assert sum(found) / len(found) < 0.8 * by_chance

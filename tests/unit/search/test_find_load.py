"""A search for the largest load on curves of which it is known."""

from __future__ import annotations

import math
import pickle
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autotuner.results.found_load import FoundLoad
from autotuner.search.find_load import FindLoads, LoadSearch, find_loads
from autotuner.search.level_plans import NoMore, Seen
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Constraint, Direction, Objective, Over
from autotuner.spec.workload import Level, LoadRange, StopRule, Workload

LIMIT = 0.05
CONSTRAINTS = (Constraint("tpot_s", "p95", LIMIT),)
JUDGING = Judging(Objective("load", "concurrency", Direction.MAXIMIZE, over=Over.BEST), CONSTRAINTS)


@dataclass
class Server:
    """Keeps the limit up to ``capacity``; how far it is from it grows with a power of the load."""

    capacity: float
    power: float = 1.0
    noise: float = 0.0
    fails_above: float = math.inf
    random: random.Random = field(default_factory=lambda: random.Random(0))
    loads: list[int] = field(default_factory=list)

    def value(self, concurrency: int) -> float:
        return LIMIT * (concurrency / self.capacity) ** self.power

    def load(self, level: Level) -> Seen:
        self.loads.append(level.concurrency)
        value = self.value(level.concurrency) * math.exp(self.random.gauss(0.0, self.noise))
        return Seen(level, {"tpot_s_p95": value}, ok=level.concurrency <= self.fails_above)

    def search(self, span: LoadRange, start: int | None = None) -> FoundLoad:
        search = LoadSearch("chat", "D(1,1)", span, CONSTRAINTS, start)
        seen: list[Seen] = []
        while (level := search.next(seen)) is not None:
            assert level not in {one.level for one in seen}
            assert level.repeat < span.times
            assert level.concurrency in span.steps
            seen.append(self.load(level))
        return search.found(seen)


def contains(load: FoundLoad, capacity: float) -> bool:
    return (load.low or 0) <= capacity < (load.high or math.inf)


@given(
    capacity=st.floats(0.5, 700.0),
    power=st.floats(0.3, 4.0),
    most=st.integers(1, 600),
    start=st.none() | st.integers(1, 1000),
    within=st.sampled_from((0.02, 0.1, 0.5)),
)
@example(capacity=1.0, power=1.0, most=475, start=475, within=0.5)  # coarse steps
@example(capacity=474.5, power=1.0, most=475, start=None, within=0.5)
def test_without_noise_the_bracket_is_as_narrow_as_asked_and_holds_the_truth(
    capacity: float, power: float, most: int, start: int | None, within: float
) -> None:
    span, server = LoadRange(1, most, within), Server(capacity, power)
    load = server.search(span, start)
    assert contains(load, capacity)
    keeps = [step for step in span.steps if server.value(step) <= LIMIT]
    assert load.largest == (keeps[-1] if keeps else None)
    assert len(server.loads) <= span.most_levels


@given(
    seed=st.integers(0, 10**6),
    capacity=st.floats(1.0, 500.0),
    power=st.floats(0.3, 3.0),
    noise=st.floats(0.0, 0.2),
    start=st.none() | st.integers(1, 512),
)
def test_never_more_levels_are_measured_than_the_range_allows(
    seed: int, capacity: float, power: float, noise: float, start: int | None
) -> None:
    span = LoadRange(1, 512)
    server = Server(capacity, power, noise, random=random.Random(seed))
    server.search(span, start)
    assert len(server.loads) <= math.log2(512) + 9


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("power", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("noise", [0.01, 0.02])
def test_with_noise_the_bracket_holds_the_truth_in_nine_of_ten_cases(
    noise: float, power: float, start: bool
) -> None:
    draws, cases = random.Random(7), 300
    held = 0
    for _ in range(cases):
        capacity = math.exp(draws.uniform(0.1, math.log(400)))
        expected = max(1, round(capacity * math.exp(draws.gauss(0, 0.3)))) if start else None
        server = Server(capacity, power, noise, random=draws)
        held += contains(server.search(LoadRange(), expected), capacity)
    assert held / cases >= 0.9


def test_the_load_doubles_until_a_limit_is_missed_and_is_bisected_then() -> None:
    server = Server(37.5)
    load = server.search(LoadRange())
    assert server.loads == [1, 2, 4, 8, 16, 33, 66, 46, 39, 36]
    assert str(load) == "36..39 (tpot_s_p95 limits)"


def test_from_where_the_answer_is_expected_few_levels_are_enough() -> None:
    server = Server(37.5)
    assert str(server.search(LoadRange(), 33)) == "36..39 (tpot_s_p95 limits)"
    assert server.loads == [33, 36, 39]
    downwards = Server(37.5)
    downwards.search(LoadRange(), 60)
    assert downwards.loads == [60, 55, 50, 42, 30, 36, 39]


def test_a_level_whose_requests_fail_is_too_much() -> None:
    server = Server(1000.0, fails_above=20)
    load = server.search(LoadRange())
    assert (load.low, load.high, load.limit) == (20, 22, "failed requests")


def test_a_level_within_noise_of_the_limit_is_measured_again() -> None:
    # Its 16 is 0.8 % above the limit; its 15 and 17 are 5 % away.
    server = Server(15.87)
    server.search(LoadRange(1, 64))
    assert server.loads.count(16) == 3
    assert server.loads.count(8) == 1


def test_doubt_that_stays_is_narrowed_from_beside() -> None:
    server = Server(16.0, power=0.3)
    load = server.search(LoadRange(1, 64))
    assert contains(load, 16.0)
    assert {load.low, load.high} != {15, 17}
    assert max(server.loads.count(c) for c in set(server.loads)) <= 3


@pytest.mark.parametrize(
    ("capacity", "loads", "text"),
    [(99.0, [4, 8], "at least 8"), (0.4, [4], "below 4 (tpot_s_p95 limits)")],
)
def test_at_an_end_of_the_range_it_stops(capacity: float, loads: list[int], text: str) -> None:
    server = Server(capacity)
    assert str(server.search(LoadRange(4, 8))) == text
    assert server.loads == loads


def test_a_range_of_one_load_is_measured_once() -> None:
    server = Server(99.0)
    server.search(LoadRange(4, 4))
    assert server.loads == [4]


# The plan of an attempt


CHAT = Workload(
    "chat", "D(1,1)", LoadRange(1, 8).steps, StopRule(1), repeats=3, find=LoadRange(1, 8)
)
CODE = Workload("code", "D(2,2)", (1, 4), StopRule(1), repeats=2)


def planned(*workloads: Workload) -> FindLoads:
    plan = find_loads(workloads, JUDGING, {"chat": 2})
    assert plan is not None
    return plan


def test_where_every_level_is_listed_there_is_nothing_to_find() -> None:
    assert find_loads([CODE], JUDGING, {}) is None


def test_levels_that_are_listed_come_first_in_the_order_of_the_attempt() -> None:
    plan = planned(CHAT, CODE).in_order([*CHAT.levels, *CODE.levels[::-1]])
    seen: list[Seen] = []
    while isinstance(level := plan.next(seen), Level) and level.workload == "code":
        seen.append(Seen(level, {}, ok=True))
    assert [one.level for one in seen] == [*CODE.levels[::-1]]
    assert level == Level("chat", "D(1,1)", 2)


def test_the_end_of_the_search_says_where_the_load_lies() -> None:
    plan, server, seen = planned(CHAT), Server(4.5), []
    while isinstance(level := plan.next(seen), Level):
        seen.append(server.load(level))
    assert level == NoMore("chat: load 4..5 (tpot_s_p95 limits)")


def test_only_where_a_load_is_found_a_failed_level_is_an_answer() -> None:
    plan = planned(CHAT, CODE)
    assert plan.tolerates(CHAT.levels[0])
    assert not plan.tolerates(CODE.levels[0])


def test_the_levels_of_a_plan_are_bounded_by_workload() -> None:
    plan = planned(CHAT, CODE)
    assert plan.most_of("code") == 4
    assert plan.most_of("chat") == LoadRange(1, 8).most_levels
    assert {level.workload for level in plan.most} == {"chat", "code"}


def test_a_plan_travels_to_its_node() -> None:
    plan = planned(CHAT, CODE)
    assert pickle.loads(pickle.dumps(plan)) == plan  # noqa: S301 - our own

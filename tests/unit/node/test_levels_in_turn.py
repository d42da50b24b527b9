from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from autotuner.node.levels_in_turn import LevelsInTurn
from autotuner.results.level_rows import level_result
from autotuner.results.levels import RequestRecord, RequestStatus
from autotuner.search.level_plans import AllLevels, LevelPlan, NoMore
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Direction, Objective, Over

JUDGING = Judging(Objective("t", "output_throughput_tok_s", Direction.MAXIMIZE, over=Over.BEST))


@dataclass(frozen=True)
class Climb(LevelPlan):
    """Doubles the concurrency while more requests complete."""

    levels: tuple
    pruned: bool = False

    def next(self, seen):
        rows = [one.row["requests_completed"] for one in seen]
        if len(rows) == len(self.levels):
            return NoMore("")
        if len(rows) > 1 and rows[-1] <= rows[-2]:
            return NoMore("no more requests complete", pruned=self.pruned)
        return self.levels[len(rows)]

    @property
    def most(self):
        return self.levels


@dataclass(frozen=True)
class Stubborn(LevelPlan):
    level: object
    decides_repeats: ClassVar[bool] = True

    def next(self, seen):
        return self.level

    @property
    def most(self):
        return (self.level,)


@pytest.fixture
def order(make_order, make_workload):
    workloads = (make_workload("a", concurrency=(1, 2, 4)), make_workload("b", concurrency=(1,)))
    return make_order(workloads=workloads)


def result(order, level, completed=3, ok=True):
    records = [
        RequestRecord(
            index,
            RequestStatus.COMPLETED,
            float(index),
            ttft_s=0.1 * (index + 1),
            e2e_latency_s=1.0,
            output_tokens=5,
        )
        for index in range(completed)
    ]
    return level_result(
        level,
        records,
        attempt=order.attempt,
        started_at=None,
        gpus=0,
        failure=None if ok else "it broke",
        simulated=True,
    )


def loaded(turn, order, counts):
    """Load whatever is next with so many completed requests each; the levels by workload."""
    groups, left = [], iter(counts)
    for workload, levels in turn.groups():
        own = []
        groups.append((workload.name, own))
        for level in levels:
            own.append((level.concurrency, level.repeat))
            turn.saw(result(order, level, next(left, 3)))
    return groups


def test_without_a_plan_the_levels_of_a_workload_are_known_ahead(order):
    turn = LevelsInTurn(order)
    workload, levels = turn.known_ahead
    assert (workload.name, levels) == ("a", order.levels_of(workload))
    assert loaded(turn, order, []) == [("a", [(1, 0), (2, 0), (4, 0)]), ("b", [(1, 0)])]
    assert turn.at_end
    assert list(turn.left_out()) == []
    assert turn.pruned is None


def test_a_plan_s_first_level_alone_is_known_ahead(order):
    planned = replace(order, plan=Climb(order.levels))
    workload, levels = LevelsInTurn(planned).known_ahead
    assert (workload.name, [level.concurrency for level in levels]) == ("a", [1])


def test_each_level_decides_whether_there_is_another(order):
    turn = LevelsInTurn(replace(order, plan=Climb(order.levels)))
    assert loaded(turn, order, [2, 3, 3]) == [("a", [(1, 0), (2, 0), (4, 0)])]
    assert turn.at_end
    left = list(turn.left_out())
    assert [(level.workload, reason) for level, reason in left] == [
        ("b", "no more requests complete")
    ]
    assert turn.pruned is None


def test_a_plan_may_give_the_experiment_up(order):
    turn = LevelsInTurn(replace(order, plan=Climb(order.levels, pruned=True)))
    loaded(turn, order, [3, 2])
    assert turn.pruned == "no more requests complete"
    assert turn.loaded == 2
    assert len(list(turn.left_out())) == 2


def test_a_plan_that_changes_workloads_gets_a_call_for_each_stretch(order):
    a, b = order.levels[:3], order.levels[3]
    plan = AllLevels((a[0], b, a[2], a[1]))
    turn = LevelsInTurn(replace(order, plan=plan))
    assert loaded(turn, order, []) == [
        ("a", [(1, 0)]),
        ("b", [(1, 0)]),
        ("a", [(4, 0), (2, 0)]),
    ]


def test_before_the_end_nothing_is_left_out(order):
    turn = LevelsInTurn(replace(order, plan=Climb(order.levels)))
    _, levels = next(turn.groups())
    turn.saw(result(order, next(levels)))
    assert not turn.at_end
    assert list(turn.left_out()) == []


def test_a_plan_with_nothing_to_load_loads_nothing(order):
    turn = LevelsInTurn(replace(order, plan=AllLevels(())))
    assert turn.known_ahead is None
    assert loaded(turn, order, []) == []
    assert len(list(turn.left_out())) == 4


@pytest.fixture
def repeated(make_order, make_workload):
    return make_order(workloads=(make_workload("a", concurrency=(1, 2), repeats=3),))


@pytest.fixture
def watching():
    """A class of plans, and what each of them was shown, call by call."""
    seen = []

    @dataclass(frozen=True)
    class Watching(Climb):
        def next(self, so_far):
            seen.append(tuple(so_far))
            return super().next(so_far)

    return Watching, seen


def test_a_plan_that_leaves_repeats_to_us_sees_them_as_one(repeated, watching):
    plan_class, seen = watching
    plan = plan_class(tuple(dict.fromkeys(level.of_all_repeats for level in repeated.levels)))
    turn = LevelsInTurn(replace(repeated, plan=plan))
    assert loaded(turn, repeated, [2, 3, 4, 5, 5, 5]) == [
        ("a", [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)])
    ]
    (first, second) = seen[-1]
    assert (first.level.repeat, first.row["requests_completed"]) == (0, 9)
    assert first.row["ttft_s_count"] == 9
    assert second.row["requests_completed"] == 15


def test_a_repeat_that_failed_fails_its_level(repeated, watching):
    plan_class, seen = watching
    turn = LevelsInTurn(replace(repeated, plan=plan_class(repeated.levels[:1])))
    _, levels = next(turn.groups())
    for number, level in enumerate(levels):
        turn.saw(result(repeated, level, ok=number != 1))
    assert [one.ok for one in seen[-1]] == [False]


def test_a_plan_that_tells_repeats_apart_gets_what_it_gives(repeated):
    plan = AllLevels((repeated.levels[1], repeated.levels[3]))
    turn = LevelsInTurn(replace(repeated, plan=plan))
    assert loaded(turn, repeated, []) == [("a", [(2, 0), (2, 1)])]
    assert len(list(turn.left_out())) == 4


def test_a_level_that_is_given_twice_is_a_fault_of_the_plan(order):
    turn = LevelsInTurn(replace(order, plan=Stubborn(order.levels[0])))
    with pytest.raises(ValueError, match="a second time"):
        loaded(turn, order, [])


def test_a_level_of_no_workload_is_a_fault_of_the_plan(order):
    foreign = replace(order.levels[0], concurrency=3)
    with pytest.raises(ValueError, match="none of the experiment's"):
        list(LevelsInTurn(replace(order, plan=Stubborn(foreign))).groups())


def test_a_load_generator_that_asks_ahead_is_found_out(order):
    _, levels = next(LevelsInTurn(replace(order, plan=Climb(order.levels))).groups())
    next(levels)
    with pytest.raises(ValueError, match="asked for before"):
        next(levels)


# Orders with a plan


def test_a_plan_of_all_levels_is_none(order):
    assert order.with_plan(AllLevels(order.levels[::-1]), JUDGING) == order
    assert order.with_plan(None, JUDGING) == order


def test_some_of_the_levels_run_in_the_drawn_order_with_their_repeats(repeated):
    drawn = replace(repeated, order_seed=3)
    level = repeated.levels[1]
    planned = drawn.with_plan(AllLevels((level,), "too slow"), JUDGING)
    assert [own.repeat for own in planned.levels] == [0, 1, 2]
    assert planned.known_levels == planned.levels
    turn = LevelsInTurn(planned)
    loaded(turn, planned, [])
    assert {reason for _, reason in turn.left_out()} == {"too slow"}


def test_a_plan_that_decides_keeps_its_own_order_and_knows_how_levels_are_judged(order):
    plan = Climb(order.levels)
    planned = order.with_plan(plan, JUDGING)
    assert (planned.plan, planned.judging) == (plan, JUDGING)
    assert planned.known_levels == ()


def test_the_deadline_counts_the_levels_that_the_plan_may_give(order):
    some = replace(order, plan=Climb(order.levels[:1]))
    assert some.longest_s < order.longest_s
    assert replace(order, plan=Climb(order.levels)).longest_s == order.longest_s

"""When a study stops by itself: a false stop costs a night, and so does a stop that is missed."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotuner.driver.failures.policy import FailurePolicy
from autotuner.execution.base import Node
from autotuner.spec.experiment import (
    Cancelled,
    Completed,
    Experiment,
    Failed,
    FailureKind,
    Phase,
)
from autotuner.spec.server import CpuPlan, Footprint, Model, ServerConfig

SERVER = ServerConfig("sim", Model("/m", "/m"), {})
A, B, C = (Node(name, f"host-{name}", gpus=8, cpus=64) for name in "abc")
HEAD = Node("head", "host-head", gpus=0, cpus=64)

SHARED = {
    FailureKind.LAUNCH_FAILED,
    FailureKind.BENCH_FAILED,
    FailureKind.DISK_FULL,
    FailureKind.ACTOR_LOST,
    FailureKind.NODE_LOST,
    FailureKind.INTERNAL_ERROR,
}
"""Kinds that no value of a parameter explains."""
OF_CONFIGURATIONS = (
    set(FailureKind)
    - SHARED
    - {
        FailureKind.DIRTY_GPU,
        FailureKind.UNSCHEDULABLE,
    }
)
MINUTE = 60.0


def grid(**axes):
    """Every combination, the last axis fastest, as a plan has them."""
    return points(
        dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())
    )


def points(all_parameters):
    footprint = Footprint(1, cpus=CpuPlan(1))
    return [
        Experiment(f"e{index}", index, parameters, SERVER, (), footprint)
        for index, parameters in enumerate(all_parameters)
    ]


def failed(kind, phase=Phase.SERVER_START, message="it broke"):
    return Failed(kind, phase, message)


class Story:
    """Failures and completions of one study, a minute apart."""

    def __init__(self, plan, *, nodes=(A,), give_up_after=3, any_completed=False):
        self.plan = plan
        self.nodes = nodes
        self.policy = FailurePolicy(
            plan, max_attempts=2, give_up_after=give_up_after, any_completed=any_completed
        )
        self.now = 0.0

    def fail(self, who, kind, *, node=A, after=MINUTE, **how):
        self.now += after
        self.policy.record(self.plan[who], node, failed(kind, **how), self.now)
        return self.stop

    def complete(self, who, *, node=A):
        self.policy.record(self.plan[who], node, Completed(), self.now)

    @property
    def stop(self):
        return self.policy.study.systemic(self.nodes)


@pytest.fixture
def story():
    return lambda plan=None, **options: Story(plan or grid(a=range(10)), **options)


class TestStop:
    def test_a_study_begins_without_a_reason_to_stop(self, story):
        assert story().stop is None

    @pytest.mark.parametrize("kind", sorted(SHARED))
    @pytest.mark.parametrize("count", [1, 3, 5])
    def test_so_many_experiments_that_fail_alike_stop_it(self, story, kind, count):
        it = story(give_up_after=count)
        stops = [it.fail(i, kind) is not None for i in range(count)]
        assert stops == [False] * (count - 1) + [True]

    def test_it_says_what_failed_where_why_and_what_to_do(self, story):
        it = story()
        for i in range(3):
            it.fail(i, FailureKind.DISK_FULL, phase=Phase.SERVER_START, message="no space on /x.")
        assert it.stop == (
            "the last 3 experiments all failed in the same way, disk_full at server start: no "
            "space on /x. Make room on the nodes' disks; then the same command goes on. "
            "(give_up_after: 0 in the study file goes on regardless)"
        )

    @pytest.mark.parametrize("kind", sorted(set(FailureKind) - {FailureKind.DIRTY_GPU}))
    def test_every_kind_comes_with_advice(self, story, kind):
        it = story(grid(a=range(3)))
        for i in range(3):
            it.fail(i, kind)
        assert kind.value in it.stop
        assert "server start: it broke. " in it.stop
        assert "; then the same command goes on" in it.stop

    def test_zero_never_stops_it(self, story):
        it = story(give_up_after=0)
        for i in range(10):
            assert it.fail(i, FailureKind.LAUNCH_FAILED) is None

    def test_one_experiment_is_one_however_often_it_is_tried(self, story):
        it = story()
        for i in (0, 0, 0, 1, 1):
            assert it.fail(i, FailureKind.BENCH_FAILED) is None
        assert it.fail(2, FailureKind.BENCH_FAILED) is not None

    def test_a_completion_in_between_begins_the_count_anew(self, story):
        it = story()
        for i in range(2):
            it.fail(i, FailureKind.BENCH_FAILED)
        it.complete(2)
        for i in (3, 4):
            assert it.fail(i, FailureKind.BENCH_FAILED) is None
        assert it.fail(5, FailureKind.BENCH_FAILED) is not None

    def test_a_completion_after_them_takes_the_reason_away(self, story):
        it = story()
        for i in range(3):
            it.fail(i, FailureKind.BENCH_FAILED)
        it.complete(3)
        assert it.stop is None

    def test_a_cancelled_attempt_changes_nothing(self, story):
        it = story()
        for i in range(2):
            it.fail(i, FailureKind.BENCH_FAILED)
        it.policy.record(it.plan[5], A, Cancelled("enough"), it.now)
        assert it.fail(2, FailureKind.BENCH_FAILED) is not None

    @pytest.mark.parametrize(
        "other", [(FailureKind.LAUNCH_FAILED, Phase.LOAD), (FailureKind.BENCH_FAILED, Phase.WARMUP)]
    )
    def test_failures_of_another_kind_or_phase_are_not_alike(self, story, other):
        it = story()
        kind, phase = other
        it.fail(0, FailureKind.BENCH_FAILED, phase=Phase.LOAD)
        it.fail(1, FailureKind.BENCH_FAILED, phase=Phase.LOAD)
        assert it.fail(2, kind, phase=phase) is None
        assert it.fail(3, FailureKind.BENCH_FAILED, phase=Phase.LOAD) is None

    def test_dirty_devices_never_stop_it_nor_hide_what_does(self, story):
        it = story(grid(a=range(3)))
        for i in range(3):
            assert it.fail(i, FailureKind.DIRTY_GPU) is None
        it.fail(0, FailureKind.LAUNCH_FAILED)
        it.fail(1, FailureKind.LAUNCH_FAILED)
        it.fail(0, FailureKind.DIRTY_GPU)
        assert it.fail(2, FailureKind.LAUNCH_FAILED) is not None


class TestPodsWithoutPlace:
    def fail_all(self, it, count=3, node=A):
        return [it.fail(i, FailureKind.UNSCHEDULABLE, node=node) for i in range(count)][-1]

    def test_a_study_in_which_none_finds_a_place_stops_and_says_what_to_mend(self, story):
        told = self.fail_all(story(grid(a=range(3))))
        assert "unschedulable at server start" in told
        assert "Free GPUs in the Kubernetes cluster" in told

    def test_so_it_does_whichever_nodes_have_asked_and_which_are_busy(self, story):
        it = story(grid(a=range(3)), nodes=(A, B))
        assert self.fail_all(it) is not None
        assert it.policy.study.systemic(it.nodes, [B.id, C.id]) is not None

    def test_not_while_one_runs_that_may_take_the_place(self, story):
        it = story(grid(a=range(3)))
        self.fail_all(it)
        assert it.policy.study.systemic(it.nodes, [A.id], outlived=True) is None
        assert it.policy.study.systemic(it.nodes, [A.id], outlived=False) is not None

    @pytest.mark.parametrize(("narrowest", "stops"), [(2, True), (1, False)])
    def test_not_before_the_narrowest_has_found_none(self, story, narrowest, stops):
        widths = [4, 8, 2, narrowest]
        plan = [
            replace(one, footprint=Footprint(width, quota="pods"))
            for one, width in zip(grid(a=range(4)), widths, strict=True)
        ]
        assert (self.fail_all(story(plan)) is not None) is stops

    def test_not_once_any_has_found_a_place(self, story):
        assert self.fail_all(story(grid(a=range(3)), any_completed=True)) is None


class TestNodes:
    def test_where_there_are_several_one_node_is_not_the_study(self, story):
        it = story(nodes=(A, B))
        for i in range(6):
            assert it.fail(i, FailureKind.LAUNCH_FAILED, node=A) is None
        assert it.fail(6, FailureKind.LAUNCH_FAILED, node=B) is not None

    def test_a_node_that_could_hold_none_of_them_is_no_other(self, story):
        it = story(nodes=(HEAD, A))
        for i in range(2):
            it.fail(i, FailureKind.LAUNCH_FAILED)
        assert it.fail(2, FailureKind.LAUNCH_FAILED) is not None

    def test_one_blow_that_takes_a_node_with_all_its_attempts_is_one_loss(self, story):
        it = story(nodes=())
        for i in range(8):
            assert it.fail(i, FailureKind.NODE_LOST, after=0.1) is None

    def test_so_is_one_that_takes_the_actors_only(self, story):
        it = story()
        for i in range(8):
            assert it.fail(i, FailureKind.ACTOR_LOST, after=0.1) is None

    def test_a_node_that_loses_one_after_the_other_stops_it(self, story):
        it = story(grid(a=range(100)))
        seconds = [i for i in range(100) if it.fail(i, FailureKind.ACTOR_LOST, after=1.0)]
        assert 60 <= seconds[0] <= 70

    def test_one_experiment_lost_again_and_again_does_not(self, story):
        it = story()
        for _ in range(5):
            assert it.fail(0, FailureKind.ACTOR_LOST) is None


class TestConfigurations:
    """What the values of the parameters may explain."""

    @pytest.mark.parametrize("kind", sorted(OF_CONFIGURATIONS))
    def test_it_goes_on_as_long_as_a_value_has_not_failed(self, story, kind):
        it = story(grid(a=range(10)))
        stops = [it.fail(i, kind) is not None for i in range(10)]
        assert stops == [False] * 9 + [True]

    @pytest.mark.parametrize("kind", sorted(OF_CONFIGURATIONS))
    def test_it_goes_on_once_anything_has_completed(self, story, kind):
        it = story(grid(a=range(4)))
        it.complete(0)
        for i in range(4):
            assert it.fail(i, kind) is None

    @pytest.mark.parametrize("kind", sorted(OF_CONFIGURATIONS))
    def test_it_goes_on_where_an_earlier_run_has_completed_one(self, story, kind):
        it = story(grid(a=range(3)), any_completed=True)
        for i in range(3):
            assert it.fail(i, kind) is None

    @pytest.mark.parametrize("kind", sorted(SHARED))
    def test_what_they_do_not_explain_stops_it_all_the_same(self, story, kind):
        it = story(any_completed=True)
        for i in range(3):
            it.fail(i, kind)
        assert it.stop is not None

    def test_a_single_configuration_is_no_study_in_which_all_fail(self, story):
        it = story(points([{}]))
        assert it.fail(0, FailureKind.CONFIG_REJECTED) is None

    def test_a_true_is_not_a_one(self, story):
        it = story(points([{"a": True, "b": 1}, {"a": 1, "b": 2}, {"a": True, "b": 2}]))
        for i in (0, 2):
            it.fail(i, FailureKind.CONFIG_REJECTED)
        assert it.policy.study.in_order(it.plan)[0] is it.plan[1]

    def test_none_is_a_value_among_others(self, story):
        it = story(grid(a=[None, "x", 0.5, False]))
        stops = [it.fail(i, FailureKind.CONFIG_REJECTED) is not None for i in range(4)]
        assert stops == [False] * 3 + [True]

    def test_combinations_that_are_excluded_need_not_fail(self, story):
        plan = points([{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 1}])
        it = story(plan)
        stops = [it.fail(i, FailureKind.CONFIG_REJECTED) is not None for i in range(3)]
        assert stops == [False, False, True]

    def test_parameters_that_change_together_count_together(self, story):
        tied = [{"tp": n, "pp": 8 // n, "b": b} for n in (1, 2, 4, 8) for b in (1, 2)]
        it = story(points(tied))
        ends = [0, 1, 2, 4, 6, 7]  # each of the four, and the first and last with both
        stops = [it.fail(i, FailureKind.CONFIG_REJECTED) is not None for i in ends]
        assert stops == [False] * 5 + [True]

    def test_a_point_may_lack_a_parameter_of_another(self, story):
        it = story(points([{"a": 1}, {"a": 2, "b": 1}, {"a": 3}]))
        stops = [it.fail(i, FailureKind.CONFIG_REJECTED) is not None for i in range(3)]
        assert stops == [False, False, True]

    def test_the_only_combination_of_two_by_two_that_works_is_reached(self, story):
        it = story(grid(batched=[2048, 4096], context=[4096, 8192]))
        for i in (0, 3, 1):
            assert it.fail(i, FailureKind.CONFIG_REJECTED) is None


class TestOrder:
    def test_it_is_the_plan_s_before_anything_has_failed(self, story):
        it = story(grid(a=range(3), b=range(3)))
        assert it.policy.study.in_order(it.plan[2:]) == it.plan[2:]

    def test_it_is_the_plan_s_once_anything_has_completed(self, story):
        it = story(grid(a=range(3), b=range(3)))
        it.complete(0)
        it.fail(1, FailureKind.CONFIG_REJECTED)
        assert it.policy.study.in_order(it.plan[2:]) == it.plan[2:]

    def test_while_all_fail_what_differs_most_comes_first(self, story):
        it = story(grid(a=range(4), b=range(4)))
        it.fail(0, FailureKind.OUT_OF_MEMORY_AT_LOAD)
        first, *_ = it.policy.study.in_order(it.plan[1:])
        assert first.parameters == {"a": 3, "b": 3}

    def test_dirty_devices_have_tried_nothing(self, story):
        it = story(grid(a=range(4), b=range(4)))
        it.fail(0, FailureKind.DIRTY_GPU)
        assert it.policy.study.in_order(it.plan) == it.plan

    def test_what_has_nothing_new_keeps_its_order_at_the_end(self, story):
        it = story(grid(a=range(40)))
        for i in range(20):
            it.fail(i, FailureKind.SERVER_CRASHED)
        again, new = it.plan[19::-1], it.plan[20:]
        mixed = [e for pair in zip(again, new, strict=True) for e in pair]
        assert it.policy.study.in_order(mixed) == [*new, *again]

    def test_what_was_chosen_before_is_not_new_any_more(self, story):
        it = story(points({"a": a, "b": b} for a, b in [(0, 0), (1, 2), (1, 1), (2, 2)]))
        it.fail(0, FailureKind.CONFIG_REJECTED)
        # The last has most that is new; of the others the second value of b is its own then.
        assert it.policy.study.in_order(it.plan[1:]) == [it.plan[i] for i in (3, 2, 1)]

    def test_what_runs_is_being_tried(self, story):
        it = story(grid(a=range(3), b=range(3)))
        it.fail(0, FailureKind.CONFIG_REJECTED)
        runs = it.plan[-1]
        first, *_ = it.policy.study.in_order([e for e in it.plan[1:] if e is not runs])
        # All others share a value with the one that failed or with the one that runs.
        assert first.parameters == {"a": 1, "b": 1}

    @given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
    def test_nobody_is_lost_and_nobody_comes_twice(self, sizes, data):
        plan = grid(**{f"p{i}": range(size) for i, size in enumerate(sizes)})
        it = Story(plan)
        it.fail(data.draw(st.integers(0, len(plan) - 1)), FailureKind.CONFIG_REJECTED)
        waiting = data.draw(st.permutations(plan))
        ordered = it.policy.study.in_order(waiting)
        assert sorted(e.index for e in ordered) == [e.index for e in plan]

    def test_a_large_plan_is_ordered_many_times_a_minute(self, story):
        """Each looks at some: by looking at all for each, this test would take minutes."""
        it = story(grid(**{f"p{i}": range(5) for i in range(5)}))
        it.fail(0, FailureKind.CONFIG_REJECTED)
        for _ in range(10):
            assert len(it.policy.study.in_order(it.plan)) == 3125


def carry_out(plan, works, *, slots, kind=FailureKind.OUT_OF_MEMORY_AT_LOAD):
    """Run the plan on one node; those that have been at it longest end first.

    Returns how many ended before the first that completed, or before the study stopped, and
    whether it did.
    """
    it = Story(plan)
    waiting, running = list(plan), []
    for ended in itertools.count(1):
        while waiting and len(running) < slots:
            running.append(it.policy.study.in_order(waiting)[0])
            waiting.remove(running[-1])
        who = running.pop(0)
        if works(**who.parameters):
            return ended, False
        if it.fail(who.index, kind):
            return ended, True
        if not running and not waiting:
            return ended, False
    return None


class TestWholeStudies:
    @pytest.mark.parametrize("slots", [1, 8])
    def test_where_only_the_last_value_of_the_first_axis_fits_it_is_found(self, slots):
        plan = grid(tp=[1, 2, 4, 8], seqs=[8, 16, 32, 64, 128, 256, 512, 1024])
        ended, stopped = carry_out(plan, lambda tp, seqs: tp == 8, slots=slots)
        assert not stopped
        assert ended <= slots + 3

    @pytest.mark.parametrize("slots", [1, 8])
    def test_where_nothing_fits_it_stops_long_before_the_end(self, slots):
        plan = grid(tp=[1, 2, 4, 8], seqs=range(10), context=range(10), eager=[True, False])
        ended, stopped = carry_out(plan, lambda **_: False, slots=slots)
        assert stopped
        assert ended <= 25 + slots

    @given(
        sizes=st.tuples(st.integers(1, 6), st.integers(1, 6)),
        least=st.tuples(st.integers(0, 5), st.integers(0, 5)),
        rising=st.tuples(st.booleans(), st.booleans()),
        slots=st.integers(1, 8),
    )
    def test_no_study_stops_of_which_something_fits(self, sizes, least, rising, slots):
        """What fits has enough of one parameter and little enough, or enough, of another."""
        plan = grid(a=range(sizes[0]), b=range(sizes[1]))

        def works(a, b):
            pairs = zip((a, b), least, rising, strict=True)
            return all(value >= bound if up else value <= bound for value, bound, up in pairs)

        ended, stopped = carry_out(plan, works, slots=slots)
        assert not (stopped and any(works(**e.parameters) for e in plan))
        assert ended <= len(plan)


def test_a_few_broken_nodes_do_not_stop_a_study_while_the_others_are_busy(story):
    """They fail first: the others load their models for minutes."""
    many = tuple(Node(f"n{i}", f"host-{i}", gpus=8, cpus=64) for i in range(8))
    told = story(nodes=many)
    told.fail(0, FailureKind.LAUNCH_FAILED, node=many[0])
    told.fail(1, FailureKind.LAUNCH_FAILED, node=many[1])
    told.fail(2, FailureKind.LAUNCH_FAILED, node=many[1])
    assert told.policy.study.systemic(many, {node.id for node in many}) is None
    assert told.policy.study.systemic(many, {"n0", "n1", "n7"}) is not None
    for number in range(3, 6):
        told.fail(number, FailureKind.LAUNCH_FAILED, node=many[number])
    assert told.policy.study.systemic(many, {node.id for node in many}) is not None

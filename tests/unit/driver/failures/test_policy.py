"""What a failure means for the experiment and for the node. For the study: the module beside."""

import pytest

from autotuner.driver.failures.policy import FailurePolicy
from autotuner.execution.base import Node
from autotuner.spec.experiment import (
    Cancelled,
    Completed,
    Experiment,
    Failed,
    FailureKind,
    Phase,
    Pruned,
    Retry,
)
from autotuner.spec.server import CpuPlan, Footprint, Model, ServerConfig

SERVER = ServerConfig("sim", Model("/m", "/m"), {})
A, B, C = (Node(name, f"host-{name}", gpus=8, cpus=64) for name in "abc")
SMALL = Node("small", "host-small", gpus=0, cpus=64)
HALF_AN_HOUR = 1800.0

AT_ONCE = {
    FailureKind.LAUNCH_FAILED,
    FailureKind.MODEL_NOT_FOUND,
    FailureKind.BENCH_FAILED,
    FailureKind.DISK_FULL,
    FailureKind.ACTOR_LOST,
    FailureKind.NODE_LOST,
    FailureKind.INTERNAL_ERROR,
}
"""Kinds for which the node is blamed without further ado."""
LATER = set(FailureKind) - AT_ONCE - {FailureKind.DIRTY_GPU, FailureKind.UNSCHEDULABLE}


def experiment(name, gpus=1):
    return Experiment(name, 0, {}, SERVER, (), Footprint(gpus, cpus=CpuPlan(1)))


E1, E2, E3, E4 = (experiment(f"e{i}") for i in range(1, 5))
EVERYONE = [experiment(f"e{i}") for i in range(1, 20)]


def failed(kind):
    return Failed(kind, Phase.SERVER_START, "it broke")


def policy(*, max_attempts=2):
    return FailurePolicy(EVERYONE, max_attempts=max_attempts, give_up_after=3, any_completed=False)


def fails(judge, who, node, kind, now=0.0):
    return judge.record(who, node, failed(kind), now)


def completes(judge, who, node, now=0.0):
    return judge.record(who, node, Completed(), now)


def retried(judge, kind, nodes=(A, B), who=E1):
    return judge.may_retry(who, failed(kind), nodes)


def ids(nodes):
    return [node.id for node in nodes]


class TestRetry:
    @pytest.mark.parametrize("kind", FailureKind)
    def test_where_a_kind_is_retried_decides_whether_it_is(self, kind):
        judge = policy()
        fails(judge, E1, A, kind)
        assert retried(judge, kind, [A, B]) is (kind.retry is not Retry.NEVER)
        assert retried(judge, kind, [A]) is (kind.retry is Retry.ANYWHERE)

    @pytest.mark.parametrize("outcome", [Completed(), Pruned("behind"), Cancelled("enough")])
    def test_what_has_not_failed_is_not_retried(self, outcome):
        judge = policy()
        judge.record(E1, A, outcome, 0.0)
        assert not judge.may_retry(E1, outcome, [A, B])

    def test_elsewhere_is_a_node_that_is_large_enough(self):
        judge = policy()
        fails(judge, E1, A, FailureKind.LAUNCH_FAILED)
        assert not retried(judge, FailureKind.LAUNCH_FAILED, [A, SMALL])

    def test_elsewhere_is_a_node_on_which_it_has_not_failed_in_any_way(self):
        judge = policy(max_attempts=5)
        fails(judge, E1, A, FailureKind.SERVER_CRASHED)
        fails(judge, E1, B, FailureKind.LAUNCH_FAILED)
        assert not retried(judge, FailureKind.LAUNCH_FAILED, [A, B])
        assert retried(judge, FailureKind.LAUNCH_FAILED, [A, B, C])

    def test_a_slot_that_was_dirty_is_no_failure_on_its_node(self):
        judge = policy()
        fails(judge, E1, A, FailureKind.DIRTY_GPU)
        fails(judge, E1, B, FailureKind.LAUNCH_FAILED)
        assert retried(judge, FailureKind.LAUNCH_FAILED, [A, B])

    @pytest.mark.parametrize("most", [1, 2, 4])
    def test_there_are_so_many_attempts_and_no_more(self, most):
        judge = policy(max_attempts=most)
        for number in range(1, most + 1):
            fails(judge, E1, A, FailureKind.SERVER_CRASHED)
            assert retried(judge, FailureKind.SERVER_CRASHED) is (number < most)

    def test_attempts_are_counted_by_experiment(self):
        judge = policy(max_attempts=2)
        for who in (E1, E2):
            fails(judge, who, A, FailureKind.SERVER_CRASHED)
        assert retried(judge, FailureKind.SERVER_CRASHED, who=E1)
        assert retried(judge, FailureKind.SERVER_CRASHED, who=E2)

    def test_a_cancelled_attempt_is_no_try(self):
        judge = policy(max_attempts=2)
        judge.record(E1, A, Cancelled("enough"), 0.0)
        fails(judge, E1, A, FailureKind.SERVER_CRASHED)
        assert retried(judge, FailureKind.SERVER_CRASHED)

    def test_dirty_devices_are_no_try_and_yet_not_tried_for_ever(self):
        judge = policy(max_attempts=1)
        answers = []
        for _ in range(6):
            fails(judge, E1, A, FailureKind.DIRTY_GPU)
            answers.append(retried(judge, FailureKind.DIRTY_GPU))
        assert answers == [True] * 5 + [False]

    def test_dirty_devices_take_no_try_from_those_that_follow(self):
        judge = policy(max_attempts=2)
        fails(judge, E1, A, FailureKind.DIRTY_GPU)
        fails(judge, E1, A, FailureKind.SERVER_CRASHED)
        assert retried(judge, FailureKind.SERVER_CRASHED)


class TestSuspicion:
    @pytest.mark.parametrize(
        "kinds",
        [
            (FailureKind.ACTOR_LOST, FailureKind.ACTOR_LOST),
            (FailureKind.NODE_LOST, FailureKind.ACTOR_LOST),
        ],
    )
    def test_losses_on_two_hosts_make_an_experiment_suspect(self, kinds):
        judge = policy(max_attempts=9)
        for node, kind in zip((A, B), kinds, strict=True):
            assert not judge.is_suspect(E1)
            fails(judge, E1, node, kind)
        assert judge.is_suspect(E1)
        assert not retried(judge, kinds[-1], [A, B, C])
        assert not judge.is_suspect(E2)

    def test_losses_on_one_host_do_not_even_if_its_node_came_back_as_another(self):
        judge = policy(max_attempts=9)
        again = Node("a2", A.host, 8, 64)
        for node in (A, A, again):
            fails(judge, E1, node, FailureKind.NODE_LOST)
        assert not judge.is_suspect(E1)
        assert retried(judge, FailureKind.NODE_LOST)

    def test_other_failures_on_two_hosts_do_not(self):
        judge = policy(max_attempts=9)
        fails(judge, E1, A, FailureKind.ACTOR_LOST)
        fails(judge, E1, B, FailureKind.SERVER_CRASHED)
        assert not judge.is_suspect(E1)


def set_aside(judge, node, now=0.0, *, who=(E2, E3, E4)):
    """By what it fails, and not before the last of them."""
    told = [fails(judge, one, node, FailureKind.LAUNCH_FAILED, now) for one in who]
    assert told == [*[frozenset()] * (len(who) - 1), {node.id}]


class TestNodesFor:
    def test_all_nodes_at_first(self):
        assert policy().nodes_for(policy().choice(E1), [A, B], 0.0) == (A, B)

    @pytest.mark.parametrize("kind", sorted(set(FailureKind) - {FailureKind.UNSCHEDULABLE}))
    def test_not_the_one_on_which_it_has_failed(self, kind):
        judge = policy()
        fails(judge, E1, A, kind)
        assert judge.nodes_for(judge.choice(E1), [A, B, C], 0.0) == (B, C)
        assert judge.nodes_for(judge.choice(E2), [A, B, C], 0.0) == (A, B, C)

    def test_the_one_whose_pod_found_no_place_as_well_as_any_other(self):
        judge = policy()
        fails(judge, E1, A, FailureKind.UNSCHEDULABLE)
        assert judge.nodes_for(judge.choice(E1), [A, B], 0.0) == (A, B)

    @pytest.mark.parametrize("others", [[], [SMALL]])
    def test_that_one_too_where_no_other_could_ever_hold_it(self, others):
        judge = policy()
        fails(judge, E1, A, FailureKind.SERVER_CRASHED)
        assert A in judge.nodes_for(judge.choice(E1), [A, *others], 0.0)

    def test_not_one_that_is_set_aside(self):
        judge = policy()
        set_aside(judge, A)
        assert judge.nodes_for(judge.choice(E1), [A, B], 0.0) == (B,)

    def test_one_that_is_set_aside_too_where_no_other_could_ever_hold_it(self):
        judge = policy()
        set_aside(judge, A)
        assert A in judge.nodes_for(judge.choice(E1), [A, SMALL], 0.0)
        assert judge.nodes_for(judge.choice(E1), [A], 0.0) == (A,)

    def test_rather_the_one_on_which_it_has_failed_than_one_set_aside(self):
        judge = policy()
        fails(judge, E1, A, FailureKind.SERVER_CRASHED)
        set_aside(judge, B)
        assert judge.nodes_for(judge.choice(E1), [A, B], 0.0) == (A,)

    def test_rather_one_set_aside_than_the_one_that_lacks_what_it_needs(self):
        judge = policy()
        fails(judge, E1, A, FailureKind.MODEL_NOT_FOUND)
        set_aside(judge, B)
        assert judge.nodes_for(judge.choice(E1), [A, B], 0.0) == (B,)

    def test_where_all_are_set_aside_still_not_the_one_on_which_it_has_failed(self):
        judge = policy()
        fails(judge, E1, A, FailureKind.SERVER_CRASHED)
        set_aside(judge, A)
        set_aside(judge, B)
        assert judge.nodes_for(judge.choice(E1), [A, B], 0.0) == (B,)

    def test_where_all_are_set_aside_and_tried_none_that_lacks_what_it_needs(self):
        judge = policy(max_attempts=9)
        fails(judge, E1, A, FailureKind.SERVER_CRASHED)
        fails(judge, E1, B, FailureKind.LAUNCH_FAILED)
        set_aside(judge, A)
        set_aside(judge, B, who=(E2, E3))
        assert judge.nodes_for(judge.choice(E1), [A, B], 0.0) == (A,)

    def test_with_every_node_tried_any_of_them(self):
        judge = policy(max_attempts=9)
        for node in (A, B):
            fails(judge, E1, node, FailureKind.LAUNCH_FAILED)
        assert judge.nodes_for(judge.choice(E1), [A, B], 0.0) == (A, B)

    def test_none_of_no_nodes(self):
        assert policy().nodes_for(policy().choice(E1), [], 0.0) == ()


class TestNodeSetAside:
    @pytest.mark.parametrize("kind", sorted(AT_ONCE))
    def test_a_node_that_fails_three_experiments_is_set_aside(self, kind):
        judge = policy()
        told = [fails(judge, who, A, kind) for who in (E1, E2, E3)]
        assert told == [frozenset(), frozenset(), {"a"}]

    @pytest.mark.parametrize("kind", sorted(LATER))
    def test_for_what_may_be_the_experiment_s_fault_only_when_they_complete_elsewhere(self, kind):
        judge = policy()
        for who in (E1, E2, E3):
            assert fails(judge, who, A, kind) == frozenset()
        assert judge.nodes_for(judge.choice(E4), [A, B], 0.0) == (A, B)
        told = [completes(judge, who, B) for who in (E1, E2, E3)]
        assert told == [frozenset(), frozenset(), {"a"}]
        assert judge.nodes_for(judge.choice(E4), [A, B], 0.0) == (B,)

    def test_a_node_is_not_to_blame_for_what_completes_on_it_at_last(self):
        judge = policy()
        for who in (E1, E2, E3):
            fails(judge, who, A, FailureKind.SERVER_CRASHED)
        assert {completes(judge, who, A) for who in (E1, E2, E3)} == {frozenset()}
        # Nor does anything of it count with what comes.
        for who in EVERYONE[5:7]:
            assert fails(judge, who, A, FailureKind.LAUNCH_FAILED) == frozenset()

    def test_a_dirty_slot_is_held_and_its_node_not_to_blame(self):
        judge = policy()
        for who in (E1, E2, E3):
            assert fails(judge, who, A, FailureKind.DIRTY_GPU) == frozenset()
            assert completes(judge, who, B) == frozenset()

    def test_a_node_is_never_to_blame_for_pods_that_find_no_place(self):
        judge = policy()
        for who in (E1, E2, E3, E4):
            assert fails(judge, who, A, FailureKind.UNSCHEDULABLE) == frozenset()
            assert completes(judge, who, B) == frozenset()

    def test_one_experiment_that_fails_again_and_again_is_one(self):
        judge = policy(max_attempts=9)
        for _ in range(5):
            assert fails(judge, E1, A, FailureKind.BENCH_FAILED) == frozenset()

    def test_a_failure_that_was_blamed_at_once_is_not_blamed_again_on_completion(self):
        judge = policy()
        for who in (E1, E2):
            fails(judge, who, A, FailureKind.LAUNCH_FAILED)
        completes(judge, E4, A)  # the node is well again
        for who in (E1, E2):
            completes(judge, who, B)
        assert fails(judge, E3, A, FailureKind.LAUNCH_FAILED) == frozenset()

    def test_a_completion_on_the_node_forgives_all_failures_before_it(self):
        judge = policy()
        for who in (E1, E2):
            fails(judge, who, A, FailureKind.LAUNCH_FAILED)
        completes(judge, E4, A)
        set_aside(judge, A)

    def test_a_completion_on_the_node_brings_it_back_at_once(self):
        judge = policy()
        set_aside(judge, A)
        completes(judge, E1, A)  # it was on its way already
        assert judge.nodes_for(judge.choice(E2), [A, B], 0.0) == (B,)
        assert judge.nodes_for(judge.choice(EVERYONE[9]), [A, B], 0.0) == (A, B)

    def test_what_was_given_up_on_the_node_worked_there_too(self):
        judge = policy()
        set_aside(judge, A)
        judge.record(E4, A, Pruned("behind by 40 %"), 0.0)
        assert judge.nodes_for(judge.choice(EVERYONE[9]), [A, B], 0.0) == (A, B)

    def test_a_completion_on_another_node_forgives_nothing(self):
        judge = policy()
        for who in (E1, E2):
            fails(judge, who, A, FailureKind.LAUNCH_FAILED)
        completes(judge, E4, B)
        assert fails(judge, E3, A, FailureKind.LAUNCH_FAILED) == {"a"}

    def test_it_returns_after_half_an_hour(self):
        judge = policy()
        set_aside(judge, A, 1000.0)
        later = 1000.0 + HALF_AN_HOUR
        assert judge.nodes_for(judge.choice(E1), [A, B], later - 1.0) == (B,)
        assert judge.nodes_for(judge.choice(E1), [A, B], later) == (A, B)

    def test_it_is_set_aside_again_after_three_more(self):
        judge = policy()
        set_aside(judge, A)
        set_aside(judge, A, HALF_AN_HOUR, who=EVERYONE[5:8])

    def test_what_it_had_already_does_not_count_and_is_not_told_again(self):
        judge = policy()
        set_aside(judge, A)
        for who in EVERYONE[5:12]:
            assert fails(judge, who, A, FailureKind.LAUNCH_FAILED, 10.0) == frozenset()
        assert A in judge.nodes_for(judge.choice(E1), [A, B], HALF_AN_HOUR)

    def test_nodes_are_told_apart(self):
        judge = policy()
        told = [
            fails(judge, who, node, FailureKind.LAUNCH_FAILED)
            for who, node in [(E1, A), (E2, B), (E3, A), (E4, B)]
        ]
        assert told == [frozenset()] * 4

    def test_a_cancelled_attempt_says_nothing(self):
        judge = policy()
        for who in (E1, E2, E3):
            assert judge.record(who, A, Cancelled("enough"), 0.0) == frozenset()

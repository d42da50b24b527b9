"""What the dispatcher starts, on executors that carry nothing out."""

from collections import Counter
from dataclasses import dataclass, field

import pytest

from autotuner.driver.failures.policy import FailurePolicy
from autotuner.driver.placing.dispatching import Dispatcher
from autotuner.driver.resume import Past
from autotuner.driver.running import Running
from autotuner.errors import ClusterError
from autotuner.execution.base import Executor, Node, Slot
from autotuner.node.events import AttemptOrder
from autotuner.planning import plan
from autotuner.spec.experiment import Attempt, Completed, Failed, FailureKind, Phase
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Direction, Objective
from autotuner.spec.server import Footprint, Model
from autotuner.spec.study import Axis, BenchConfig, EngineConfig, Resources, StudySpec
from autotuner.spec.workload import StopRule, Workload

A = Node("a", "host-a", gpus=8, cpus=64)
B = Node("b", "host-b", gpus=8, cpus=64)
TP = "tensor-parallel-size"


@dataclass
class Cluster(Executor):
    """Nodes, those that may come, and what has been asked for."""

    here: tuple = (A,)
    can_grow: bool = False
    others: tuple = ()
    asked: int = 0
    wanted: list = field(default_factory=list)

    def nodes(self):
        self.asked += 1
        return self.here

    def held_by_others(self):
        return self.others

    def want(self, demand):
        self.wanted.append(dict(demand))

    def ask_nodes(self, calls, **limits):
        raise AssertionError

    def submit(self, order, slot):
        raise AssertionError

    def poll(self, timeout_s):
        raise AssertionError

    def stop(self, attempt_id, reason):
        raise AssertionError

    def kill(self, attempt_id):
        raise AssertionError

    def close(self):
        raise AssertionError


def study(*widths, tmp="/nowhere", **more):
    spec = StudySpec(
        name="s",
        engine=EngineConfig("vllm"),
        model=Model("m", "m"),
        axes=(Axis("tp", tuple({TP: width, "seed": i} for i, width in enumerate(widths))),),
        workloads=(Workload("chat", "D(10,10)", (1,), StopRule(60.0)),),
        judging=Judging(Objective("t", "output_throughput_tok_s", Direction.MAXIMIZE)),
        bench=BenchConfig("closed-loop"),
        baseline=None,
        **{"order_seed": None, **more},
    )
    return plan(spec)


class Desk:
    """A dispatcher with what it needs around it."""

    def __init__(self, planned, cluster=None, seconds=()):
        self.plan, self.cluster = planned, cluster or Cluster()
        self.policy = FailurePolicy(
            planned.experiments, max_attempts=2, give_up_after=0, any_completed=False
        )
        past = Past(planned.in_order, 0, 0, dict(seconds))
        self.dispatcher = Dispatcher(planned, self.cluster, self.policy, past)
        self.running = {}

    def start(self, now, lost=()):
        """Begin what the dispatcher chooses; returns its widths."""
        chosen = self.dispatcher.next(self.running.values(), lost, now)
        for experiment, slot in chosen:
            attempt = Attempt("study", experiment, 1)
            spec = self.plan.spec
            order = AttemptOrder(attempt, spec.bench, spec.timeouts)
            one = Running(order, slot, 0, submitted_at=now)
            one.first_event_at = now
            self.running[experiment.id] = one
        return [experiment.footprint.gpus for experiment, _ in chosen]

    def end(self, id_, now, outcome=None):
        one = self.running.pop(id_)
        outcome = outcome or Completed()
        self.policy.record(one.attempt.experiment, one.slot.node, outcome, now)
        self.dispatcher.ended(one, now, completed=isinstance(outcome, Completed))
        return one.attempt.experiment


def test_the_widest_start_first_and_all_that_fits():
    desk = Desk(study(1, 8, 2, 1), Cluster((A, B)))
    assert desk.start(0.0) == [8, 2, 1, 1]
    assert desk.dispatcher.count == 0


def test_where_nothing_has_changed_no_round_is_made_within_a_second():
    desk = Desk(study(8, 8))
    assert desk.start(0.0) == [8]
    del desk.running[next(iter(desk.running))]  # unknown to the dispatcher
    assert desk.start(0.5) == []
    assert desk.start(1.5) == [8]


def test_an_end_is_followed_by_a_round_at_once():
    desk = Desk(study(8, 8))
    desk.start(0.0)
    desk.end(next(iter(desk.running)), 0.1)
    assert desk.start(0.1) == [8]


def test_a_node_that_joins_is_used_within_a_second():
    desk = Desk(study(8, 8))
    desk.start(0.0)
    desk.cluster.here = (A, B)
    assert desk.start(1.0) == [8]


def test_the_cluster_is_asked_for_its_nodes_once_a_second_and_after_an_end():
    desk = Desk(study(*[8] * 5))
    for tenth in range(10):
        desk.start(tenth / 10)
    assert desk.cluster.asked == 1
    desk.end(next(iter(desk.running)), 0.95)
    desk.start(0.95)
    assert desk.cluster.asked == 2


def test_slots_that_nobody_can_use_are_not_given_out():
    desk = Desk(study(8, 8), Cluster((A, B)))
    lost = Desk(study(4)).dispatcher.next((), (), 0.0)[0][1]
    assert desk.start(0.0, [lost]) == [8]


def test_what_failed_on_a_node_waits_for_another_one():
    desk = Desk(study(8), Cluster((A, B)))
    desk.start(0.0)
    (id_, first), *_ = desk.running.items()
    failed = Failed(FailureKind.SERVER_CRASHED, Phase.LOAD, "it broke")
    desk.dispatcher.retry(desk.end(id_, 1.0, failed))
    desk.start(1.0)
    assert desk.running[id_].slot.node != first.slot.node


def test_what_is_tried_again_starts_before_the_rest_also_when_the_order_is_renewed():
    planned = study(8, 8, 8, order_seed=0)
    desk = Desk(planned, Cluster((A, B)))
    desk.start(0.0)
    first, second = desk.running
    failed = Failed(FailureKind.SERVER_CRASHED, Phase.LOAD, "it broke")
    desk.end(second, 5.0)
    desk.dispatcher.retry(desk.end(first, 5.0, failed))
    desk.start(5.0)
    assert first in desk.running


def test_where_it_should_go_it_goes():
    desk = Desk(study(1), Cluster((A, B)))
    (only,) = desk.plan.experiments
    desk.start(0.0)
    desk.end(only.id, 1.0)
    desk.dispatcher.add([only], "host-b")
    desk.start(1.0)
    assert desk.running[only.id].slot.node == B


def test_what_took_longest_before_starts_first():
    planned = study(8, 8, 8, order_seed=0)
    slow = planned.in_order[-1]
    desk = Desk(planned, seconds={e.id: 5000.0 if e is slow else 50.0 for e in planned.in_order})
    desk.start(0.0)
    assert list(desk.running) == [slow.id]


def test_in_plan_order_nothing_is_moved_for_its_length():
    planned = study(8, 8, 8)
    seconds = {e.id: 50.0 * (1 + e.index) for e in planned.experiments}
    desk = Desk(planned, seconds=seconds)
    desk.start(0.0)
    assert list(desk.running) == [planned.experiments[0].id]


def test_no_more_gpus_are_held_than_max_gpus():
    desk = Desk(study(4, 4, 4, max_gpus=8), Cluster((A, B)))
    assert desk.start(0.0) == [4, 4]


@pytest.mark.parametrize(
    ("planned", "cluster", "message"),
    [
        (study(16), Cluster((A,)), "needs 16 GPUs"),
        (study(8, max_gpus=4), Cluster((A,)), "max_gpus is 4"),
        (study(1, resources=Resources(gpu_type="H100")), Cluster((A,)), "of type H100"),
        (study(16, resources=Resources(gpus_per_node=8)), Cluster((A,)), "each of 2 nodes"),
    ],
)
def test_a_study_of_which_a_part_could_never_start_is_refused(planned, cluster, message):
    with pytest.raises(ClusterError, match=message):
        Desk(planned, cluster).dispatcher.check_fit()


def test_a_study_may_begin_on_a_cluster_that_can_grow_to_hold_it():
    Desk(study(8), Cluster((), can_grow=True)).dispatcher.check_fit()


def test_what_others_hold_is_not_given_out_and_counts_nothing_of_max_gpus():
    desk = Desk(study(4, 4, max_gpus=4), Cluster(others=(Slot(A, 4, 1),)))
    assert desk.start(0.0) == [4]


def test_a_study_for_which_others_leave_no_room_waits_for_them():
    desk = Desk(study(8), Cluster(others=(Slot(A, 1, 1),)))
    assert desk.start(0.0) == []
    assert desk.dispatcher.fits_without_others((), 0.0)
    assert not Desk(study(16), Cluster()).dispatcher.fits_without_others((), 0.0)


def test_the_cluster_is_told_what_runs_and_what_waits_together():
    desk = Desk(study(8, 8, 1))
    desk.start(0.0)
    assert desk.cluster.wanted[-1] == {Footprint(8): 2, Footprint(1): 1}


def test_no_more_is_asked_of_a_cluster_than_the_study_may_hold():
    desk = Desk(study(8, 8, 8, 1, max_gpus=17))
    desk.start(0.0)
    assert desk.cluster.wanted[-1] == {Footprint(8): 2, Footprint(1): 1}


def test_what_has_ended_is_asked_for_no_more():
    desk = Desk(study(8, 8))
    desk.start(0.0)
    desk.end(next(iter(desk.running)), 1.0)
    desk.start(1.0)
    assert desk.cluster.wanted[-1] == {Footprint(8): 1}


def test_the_demand_is_repeated_since_others_may_have_asked_since():
    desk = Desk(study(8, 8))
    desk.start(0.0)
    desk.start(5.0)
    assert len(desk.cluster.wanted) == 1
    desk.start(11.0)
    assert Counter(map(str, desk.cluster.wanted)).most_common(1)[0][1] == 2

from dataclasses import replace

from autotuner.node.events import AttemptOrder


def test_an_attempt_has_all_its_time_outs_before_it_is_overdue(make_order, make_workload):
    workloads = (
        make_workload("a", concurrency=(1, 2), seconds=30.0),
        make_workload("b", concurrency=(4,), seconds=50.0),
    )
    order = make_order(workloads=workloads)
    times = order.timeouts
    load_s = 2 * 30.0 + 50.0 + 3 * times.level_grace_s
    assert order.longest_s >= times.start_s + 2 * times.warmup_s + load_s + times.stop_s


def test_each_time_out_counts(make_order):
    order = make_order()
    for name in ("start_s", "warmup_s", "level_grace_s", "stop_s"):
        longer = replace(order.timeouts, **{name: 10_000.0})
        assert AttemptOrder(order.attempt, order.bench, longer).longest_s > order.longest_s


def test_without_a_seed_levels_run_in_plan_order(make_order, make_workload):
    order = make_order(workloads=(make_workload("a", concurrency=(1, 2, 4)), make_workload("b")))
    assert order.levels == order.attempt.experiment.levels


def test_levels_run_in_an_order_drawn_for_each_attempt(make_order, make_workload):
    order = make_order(workloads=(make_workload(concurrency=range(1, 9)),))
    first = replace(order, order_seed=1)
    again = replace(first, attempt=replace(order.attempt, number=2))
    assert first.levels == replace(order, order_seed=1).levels
    assert first.levels != again.levels
    assert set(first.levels) == set(again.levels) == set(order.attempt.experiment.levels)


def test_no_repeat_begins_before_each_level_has_had_the_one_before(make_order, make_workload):
    workload = replace(make_workload(concurrency=(1, 2, 4)), repeats=3)
    order = replace(make_order(workloads=(workload,)), order_seed=1)
    assert [level.repeat for level in order.levels] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_workloads_are_not_mixed(make_order, make_workload):
    workloads = tuple(make_workload(name, concurrency=(1, 2, 4)) for name in "abcd")
    order = replace(make_order(workloads=workloads), order_seed=1)
    names = [level.workload for level in order.levels]
    assert names != sorted(names)
    assert [names[i] for i in range(0, 12, 3)] == [names[i] for i in range(2, 12, 3)]

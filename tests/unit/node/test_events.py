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

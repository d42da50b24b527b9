from autotuner.execution.base import Node, Slot
from autotuner.execution.books import NodeUse, fits, slot_of, use_of, without
from autotuner.spec.server import Footprint

QUOTA = "kubernetes_gpus"
A = Node("n1", "h1", gpus=8, cpus=16)
B = Node("n2", "h2", gpus=8, cpus=16)


def test_nodes_are_smaller_by_the_slots_that_nobody_can_use():
    lost = [Slot(A, gpus=2, cpus=1), Slot(A, gpus=1, cpus=1)]
    smaller = without((A, B), lost)
    assert [(node.gpus, node.cpus) for node in smaller] == [(5, 14), (8, 16)]
    assert without((A, B), []) == (A, B)


def test_slots_that_nobody_can_use_take_of_the_quota_too():
    one = Node("a", "host-a", 8, 64, quotas={QUOTA: 8})
    lost = [Slot(one, 0, 1, quota=QUOTA, quota_share=3)]
    (smaller,) = without((one,), lost)
    assert smaller.quotas == {QUOTA: 5}
    assert one.quotas == {QUOTA: 8}


def test_a_slot_that_spans_nodes_is_lost_on_all_of_them():
    assert [node.gpus for node in without((A, B), [Slot(A, 3, 1, others=(B,))])] == [5, 5]


def test_a_slot_takes_its_share_of_each_of_its_nodes():
    use = use_of((A, B), [Slot(A, 3, 1, others=(B,)), Slot(B, 2, 1)])
    assert (use["n1"].gpus, use["n2"].gpus, use["n2"].attempts) == (3, 5, 2)


def test_what_is_held_on_a_node_that_is_gone_is_kept_apart():
    assert use_of((A,), [Slot(B, 3, 1)])["n1"] == NodeUse()


def test_who_wants_a_whole_node_shares_it_with_nobody():
    whole = Footprint(1, whole_nodes=True)
    assert fits(whole, A, NodeUse())
    assert not fits(whole, A, NodeUse(attempts=1))
    assert not fits(Footprint(1), A, NodeUse(attempts=1, exclusive=True))


def test_a_whole_node_without_gpus_is_a_slot_without_gpus():
    slot = slot_of(Footprint(0, whole_nodes=True), Node("c", "h", gpus=0, cpus=4))
    assert (slot.gpus, slot.exclusive) == (0, True)

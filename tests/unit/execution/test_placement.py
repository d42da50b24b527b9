from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotuner.execution.base import Node, Slot
from autotuner.execution.placement import does_not_fit, fits_some_node, place, without
from autotuner.spec.experiment import Experiment
from autotuner.spec.server import CpuPlan, Footprint, Model, ServerConfig

SERVER = ServerConfig("sim", Model("/m", "/m"), {})


QUOTA = "kubernetes_gpus"


def experiment(index, gpus, cpus=1, *, pinned=False, nodes=1, quota=None):
    plan = CpuPlan(cpus, server=(0,) if pinned else ())
    footprint = Footprint(gpus, nodes, plan, quota)
    return Experiment(f"e{index}", index, {}, SERVER, (), footprint)


def waiting(*gpus, **options):
    return [experiment(index, size, **options) for index, size in enumerate(gpus)]


def node(name, gpus=8, cpus=64, **quotas):
    return Node(name, f"host-{name}", gpus, cpus, quotas=quotas)


def placed(chosen):
    return {e.id: slot.node.id for e, slot in chosen}


@st.composite
def clusters(draw):
    """Waiting experiments, nodes, and slots that a first round has taken on them."""
    nodes = [
        node(
            str(i),
            draw(st.integers(0, 8)),
            draw(st.integers(1, 16)),
            **draw(st.dictionaries(st.sampled_from([QUOTA, "other"]), st.integers(0, 8))),
        )
        for i in range(draw(st.integers(0, 4)))
    ]
    sizes = st.builds(
        experiment,
        index=st.just(0),
        gpus=st.integers(0, 8),
        cpus=st.integers(1, 8),
        pinned=st.booleans(),
        quota=st.sampled_from([None, QUOTA, "other"]),
    )
    drawn = draw(st.lists(sizes, max_size=12))
    everyone = [
        Experiment(f"e{i}", i, {}, SERVER, (), one.footprint) for i, one in enumerate(drawn)
    ]
    split = draw(st.integers(0, len(everyone)))
    taken = [slot for _, slot in place(everyone[:split], nodes, [])]
    return everyone[split:], nodes, taken


@given(clusters())
def test_no_node_is_asked_for_more_than_it_has(cluster):
    wanted, nodes, taken = cluster
    slots = taken + [slot for _, slot in place(wanted, nodes, taken)]
    for one in nodes:
        here = [slot for slot in slots if slot.node == one]
        assert sum(slot.gpus for slot in here) <= one.gpus
        assert sum(slot.cpus for slot in here) <= one.cpus


@given(clusters())
def test_no_node_gives_out_more_of_a_quota_than_it_has(cluster):
    wanted, nodes, taken = cluster
    slots = taken + [slot for _, slot in place(wanted, nodes, taken)]
    for one in nodes:
        for quota in (QUOTA, "other"):
            here = [slot for slot in slots if slot.node == one and slot.quota == quota]
            assert sum(slot.quota_share for slot in here) <= one.quotas.get(quota, 0)


@given(clusters())
def test_what_takes_of_a_quota_takes_no_gpu_of_a_node(cluster):
    wanted, nodes, taken = cluster
    for e, slot in place(wanted, nodes, taken):
        assert (slot.gpus == 0) or (slot.quota is None)
        assert slot.quota == e.footprint.quota


@given(clusters())
def test_experiments_with_a_quota_take_no_gpu_from_those_without(cluster):
    wanted, nodes, _ = cluster
    roomy = [Node(n.id, n.host, n.gpus, 1000, quotas=n.quotas) for n in nodes]
    unpinned = [
        Experiment(e.id, e.index, {}, SERVER, (), replace(e.footprint, cpus=CpuPlan(1)))
        for e in wanted
    ]
    on_gpus = [e for e in unpinned if e.footprint.quota is None]
    among_others = {e.id for e, slot in place(unpinned, roomy, []) if slot.quota is None}
    assert among_others == {e.id for e, _ in place(on_gpus, roomy, [])}


@given(clusters())
def test_a_pinned_experiment_has_its_node_to_itself(cluster):
    wanted, nodes, taken = cluster
    chosen = place(wanted, nodes, taken)
    assert all(slot.exclusive == e.footprint.cpus.pinned for e, slot in chosen)
    slots = taken + [slot for _, slot in chosen]
    for one in nodes:
        here = [slot for slot in slots if slot.node == one]
        assert len(here) <= 1 or not any(slot.exclusive for slot in here)


@given(clusters())
def test_a_slot_reserves_what_the_experiment_needs(cluster):
    wanted, nodes, taken = cluster
    for e, slot in place(wanted, nodes, taken):
        need = e.footprint
        assert (slot.gpus, slot.cpus) == (need.reserved_gpus, need.cpus.reserve)
        assert (slot.quota, slot.quota_share) == (need.quota, need.quota_share)


@given(clusters())
def test_an_experiment_is_placed_at_most_once_and_only_if_it_waits(cluster):
    wanted, nodes, taken = cluster
    counts = Counter(e.id for e, _ in place(wanted, nodes, taken))
    assert set(counts) <= {e.id for e in wanted}
    assert set(counts.values()) <= {1}


@given(clusters())
def test_wider_experiments_are_chosen_before_narrower_ones(cluster):
    chosen = place(*cluster)
    widths = [e.footprint.gpus for e, _ in chosen]
    assert widths == sorted(widths, reverse=True)


@given(clusters())
def test_nothing_waits_that_would_still_fit(cluster):
    wanted, nodes, taken = cluster
    chosen = place(wanted, nodes, taken)
    after = taken + [slot for _, slot in chosen]
    left = [e for e in wanted if e not in [one for one, _ in chosen]]
    assert place(left, nodes, after) == []


@given(clusters())
def test_what_fits_no_idle_node_is_never_placed_and_all_else_is_alone_on_the_cluster(cluster):
    wanted, nodes, _ = cluster
    for e in wanted:
        assert bool(place([e], nodes, [])) == fits_some_node(e.footprint, nodes)


def test_a_wide_one_is_not_left_over_because_narrow_ones_came_first():
    assert placed(place(waiting(1, 1, 8), [node("a"), node("b", gpus=2)], [])) == {
        "e2": "a",
        "e0": "b",
        "e1": "b",
    }


def test_equally_wide_ones_go_in_the_order_given():
    chosen = place(list(reversed(waiting(1, 1, 1))), [node("a", gpus=2)], [])
    assert [e.id for e, _ in chosen] == ["e2", "e1"]


def test_an_experiment_goes_to_the_node_that_it_fills_best():
    nodes = [node("large", 8), node("small", 2)]
    assert placed(place(waiting(2), nodes, [])) == {"e0": "small"}
    busy = [Slot(nodes[0], 7, 1)]
    assert placed(place(waiting(1), nodes, busy)) == {"e0": "large"}


def test_without_gpus_the_fewest_free_cpus_decide():
    nodes = [node("large", 0, 16), node("small", 0, 4)]
    assert placed(place(waiting(0, cpus=4), nodes, [])) == {"e0": "small"}


def test_an_experiment_goes_only_where_it_is_allowed():
    nodes = [node("large", 8), node("small", 2)]
    chosen = place(waiting(2), nodes, [], allowed=lambda _: [nodes[0]])
    assert placed(chosen) == {"e0": "large"}


def test_it_waits_where_the_allowed_node_is_full_though_another_is_free():
    nodes = [node("a", 1), node("b", 1)]
    assert place(waiting(1), nodes, [Slot(nodes[0], 1, 1)], allowed=lambda _: [nodes[0]]) == []


def test_what_is_allowed_nowhere_is_not_placed():
    assert place(waiting(1), [node("a")], [], allowed=lambda _: []) == []


def test_each_experiment_has_allowed_nodes_of_its_own_and_all_share_what_is_free():
    nodes = [node("a", 1), node("b", 1)]
    allowed = {"e0": [nodes[0]], "e1": nodes, "e2": [nodes[0]]}
    chosen = place(waiting(1, 1, 1), nodes, [], allowed=lambda e: allowed[e.id])
    assert placed(chosen) == {"e0": "a", "e1": "b"}


@given(clusters(), st.data())
def test_whatever_is_allowed_no_node_is_asked_for_more_than_it_has(cluster, data):
    wanted, nodes, taken = cluster
    some = st.lists(st.sampled_from(nodes), unique=True) if nodes else st.just([])
    allowed = {e.id: data.draw(some) for e in wanted}
    chosen = place(wanted, nodes, taken, allowed=lambda e: allowed[e.id])
    assert all(slot.node in allowed[e.id] for e, slot in chosen)
    slots = taken + [slot for _, slot in chosen]
    for one in nodes:
        here = [slot for slot in slots if slot.node == one]
        assert sum(slot.gpus for slot in here) <= one.gpus
        assert sum(slot.cpus for slot in here) <= one.cpus


@given(clusters())
def test_all_nodes_allowed_is_the_same_as_no_rule(cluster):
    wanted, nodes, taken = cluster
    assert place(wanted, nodes, taken, allowed=lambda _: nodes) == place(wanted, nodes, taken)


def test_a_slot_on_a_node_that_has_left_takes_nothing_of_the_others():
    gone = Slot(node("gone"), 8, 64, exclusive=True)
    assert placed(place(waiting(8), [node("a")], [gone])) == {"e0": "a"}


@pytest.mark.parametrize(
    ("footprint", "fits"),
    [
        (Footprint(4, cpus=CpuPlan(8)), True),
        (Footprint(5), False),
        (Footprint(0, cpus=CpuPlan(9)), False),
        (Footprint(1, nodes=2), False),
    ],
)
def test_a_footprint_fits_if_one_idle_node_holds_all_of_it(footprint, fits):
    assert fits_some_node(footprint, [node("a", 4, 8), node("b", 2, 8)]) is fits


def test_nothing_fits_a_cluster_without_nodes():
    assert not fits_some_node(Footprint(0), [])


def test_nodes_are_smaller_by_the_slots_that_nobody_can_use():
    nodes = (Node("n1", "h1", gpus=8, cpus=16), Node("n2", "h2", gpus=8, cpus=16))
    lost = [Slot(nodes[0], gpus=2, cpus=1), Slot(nodes[0], gpus=1, cpus=1)]
    smaller = without(nodes, lost)
    assert [(node.gpus, node.cpus) for node in smaller] == [(5, 14), (8, 16)]
    assert without(nodes, []) == nodes


def test_slots_that_nobody_can_use_take_of_the_quota_too():
    (one,) = nodes = (node("a", kubernetes_gpus=8),)
    lost = [Slot(one, 0, 1, quota=QUOTA, quota_share=3)]
    (smaller,) = without(nodes, lost)
    assert smaller.quotas == {QUOTA: 5}
    assert one.quotas == {QUOTA: 8}


def test_wide_and_narrow_share_a_quota_widest_first():
    chosen = place(waiting(1, 4, 2, 2, quota=QUOTA), [node("a", 0, kubernetes_gpus=7)], [])
    assert [e.id for e, _ in chosen] == ["e1", "e2", "e0"]


def test_a_server_without_gpus_counts_as_one_of_the_quota():
    chosen = place(waiting(0, 0, 0, quota=QUOTA), [node("a", kubernetes_gpus=2)], [])
    assert [slot.quota_share for _, slot in chosen] == [1, 1]


def test_of_nodes_with_a_quota_the_one_that_it_fills_best_is_taken():
    nodes = [node("large", kubernetes_gpus=8), node("none"), node("small", kubernetes_gpus=2)]
    assert placed(place(waiting(2, quota=QUOTA), nodes, [])) == {"e0": "small"}


def test_a_node_with_a_quota_is_a_key_like_any_other():
    one, same = node("a", kubernetes_gpus=8), node("a", kubernetes_gpus=8)
    assert {one: 1}[same] == 1
    assert one != node("a", kubernetes_gpus=4)


@pytest.mark.parametrize(
    ("nodes", "has"),
    [
        ([], "the cluster has none"),
        ([node("a")], "the cluster has none"),
        ([node("a", kubernetes_gpus=2), node("b", kubernetes_gpus=3)], "no node has more than 3"),
    ],
)
def test_who_finds_too_little_of_a_quota_is_told_how_a_node_comes_by_it(nodes, has):
    told = does_not_fit(experiment(0, 4, quota=QUOTA), nodes)
    assert f"needs 4 of the Ray resource kubernetes_gpus on one node, but {has}: " in told
    assert """`ray start --resources '{"kubernetes_gpus": 4}'`""" in told


def test_with_enough_of_a_quota_the_lack_of_cpus_is_told():
    told = does_not_fit(experiment(0, 4, 9, quota=QUOTA), [node("a", 8, 8, kubernetes_gpus=4)])
    assert "needs 0 GPUs and 9 CPUs on one node, but the largest node (host-a) has" in told

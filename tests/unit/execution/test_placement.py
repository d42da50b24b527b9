"""Rounds of placement on small clusters, and whole studies played with them."""

import heapq
import math
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotuner.execution.base import Node, Slot
from autotuner.execution.books import Held
from autotuner.execution.fitting import fits_idle
from autotuner.execution.placement import Group, place, places
from autotuner.spec.experiment import Experiment
from autotuner.spec.server import CpuPlan, Footprint, Model, ServerConfig

SERVER = ServerConfig("sim", Model("/m", "/m"), {})
QUOTA = "kubernetes_gpus"
A_MINUTE = 60.0


def experiment(index, gpus, cpus=1, *, pinned=False, nodes=1, quota=None, **more):
    plan = CpuPlan(cpus, server=(0,) if pinned else ())
    footprint = Footprint(gpus, nodes, plan, quota, **more)
    return Experiment(f"e{index}", index, {}, SERVER, (), footprint)


def waiting(*gpus, **options):
    return [experiment(index, size, **options) for index, size in enumerate(gpus)]


def node(name, gpus=8, cpus=64, gpu_model=None, **quotas):
    return Node(name, f"host-{name}", gpus, cpus, gpu_model, quotas=quotas)


def grouped(wanted, nodes, *, allowed=None, each_s=A_MINUTE, waited_s=0.0):
    """Groups as the driver makes them: by footprint and by the nodes that are allowed."""
    lines = {}
    for one in wanted:
        choice = tuple(nodes if allowed is None else allowed(one))
        lines.setdefault((one.footprint, choice), []).append(one)
    return [
        Group(footprint, same, choice, each_s * len(same), waited_s)
        for (footprint, choice), same in lines.items()
    ]


def held_of(taken, left_s=A_MINUTE):
    return [one if isinstance(one, Held) else Held(one, left_s) for one in taken]


def chosen(wanted, nodes, taken=(), *, most_gpus=None, drained=(), **options):
    groups = grouped(wanted, nodes, **options)
    held = held_of(taken)
    return list(place(groups, nodes, held, most_gpus=most_gpus, drained=drained).chosen)


def placed(pairs):
    return {e.id: slot.node.id for e, slot in pairs}


@st.composite
def clusters(draw):
    """Waiting experiments, nodes, and slots that a first round has taken on them."""
    nodes = [
        node(
            str(i),
            draw(st.integers(0, 8)),
            draw(st.integers(1, 16)),
            draw(st.sampled_from([None, "H100", "A100"])),
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
        nodes=st.integers(1, 3),
        quota=st.sampled_from([None, None, QUOTA, "other"]),
        gpu_type=st.sampled_from([None, None, "H100"]),
        whole_nodes=st.booleans(),
    )
    drawn = draw(st.lists(sizes, max_size=12))
    everyone = [
        Experiment(f"e{i}", i, {}, SERVER, (), one.footprint) for i, one in enumerate(drawn)
    ]
    split = draw(st.integers(0, len(everyone)))
    taken = [slot for _, slot in chosen(everyone[:split], nodes)]
    return everyone[split:], nodes, taken


@given(clusters())
def test_no_node_is_asked_for_more_than_it_has(cluster):
    wanted, nodes, taken = cluster
    slots = taken + [slot for _, slot in chosen(wanted, nodes, taken)]
    for one in nodes:
        here = [slot for slot in slots if one in slot.nodes]
        assert sum(slot.gpus for slot in here) <= one.gpus
        assert sum(slot.cpus for slot in here) <= one.cpus
        for quota in (QUOTA, "other"):
            shares = [slot.quota_share for slot in here if slot.quota == quota]
            assert sum(shares) <= one.quotas.get(quota, 0)


@given(clusters())
def test_what_takes_of_a_quota_takes_no_gpu_of_a_node(cluster):
    for e, slot in chosen(*cluster):
        assert (slot.gpus == 0) or (slot.quota is None)
        assert slot.quota == e.footprint.quota


@given(clusters())
def test_an_exclusive_experiment_has_its_nodes_to_itself(cluster):
    wanted, nodes, taken = cluster
    pairs = chosen(wanted, nodes, taken)
    assert all(slot.exclusive == e.footprint.exclusive for e, slot in pairs)
    slots = taken + [slot for _, slot in pairs]
    for one in nodes:
        here = [slot for slot in slots if one in slot.nodes]
        assert len(here) <= 1 or not any(slot.exclusive for slot in here)


@given(clusters())
def test_a_slot_reserves_what_the_experiment_needs_on_different_nodes(cluster):
    for e, slot in chosen(*cluster):
        need = e.footprint
        assert len({one.id for one in slot.nodes}) == need.nodes
        assert slot.cpus == need.cpus.reserve
        assert (slot.quota, slot.quota_share) == (need.quota, need.quota_share)
        if need.whole_nodes and need.quota is None:
            assert slot.gpus == min(one.gpus for one in slot.nodes)
        else:
            assert slot.gpus == need.reserved_gpus


@given(clusters())
def test_an_experiment_goes_to_nodes_of_its_gpu_type_alone(cluster):
    for e, slot in chosen(*cluster):
        if e.footprint.gpu_type is not None:
            assert {one.gpu_model for one in slot.nodes} == {e.footprint.gpu_type}


@given(clusters())
def test_an_experiment_is_placed_at_most_once_and_only_if_it_waits(cluster):
    counts = Counter(e.id for e, _ in chosen(*cluster))
    assert set(counts) <= {e.id for e in cluster[0]}
    assert set(counts.values()) <= {1}


@given(clusters())
def test_wider_experiments_are_chosen_before_narrower_ones(cluster):
    widths = [e.footprint.gpus for e, _ in chosen(*cluster)]
    assert widths == sorted(widths, reverse=True)


@given(clusters())
def test_where_no_node_is_drained_nothing_waits_that_would_still_fit(cluster):
    wanted, nodes, taken = cluster
    turn = place(grouped(wanted, nodes), nodes, held_of(taken))
    if turn.drained:
        return
    after = taken + [slot for _, slot in turn.chosen]
    left = [e for e in wanted if e not in [one for one, _ in turn.chosen]]
    assert chosen(left, nodes, after) == []


@given(clusters())
def test_the_widest_that_waits_would_not_fit_whatever_is_drained(cluster):
    wanted, nodes, taken = cluster
    pairs = chosen(wanted, nodes, taken)
    left = [e for e in wanted if e not in [one for one, _ in pairs]]
    widest = max((e.footprint.gpus for e in left), default=0)
    for e in left:
        if e.footprint.gpus == widest:
            assert chosen([e], nodes, taken + [slot for _, slot in pairs]) == []


@given(clusters())
def test_what_fits_no_idle_cluster_is_never_placed_and_all_else_is_alone_on_it(cluster):
    wanted, nodes, _ = cluster
    for e in wanted:
        assert bool(chosen([e], nodes)) == fits_idle(e.footprint, nodes)


@given(clusters(), st.integers(0, 20))
def test_no_more_gpus_are_held_than_the_study_may(cluster, most_gpus):
    wanted, nodes, _ = cluster
    pairs = chosen(wanted, nodes, most_gpus=most_gpus)
    assert sum(slot.held_gpus for _, slot in pairs) <= most_gpus


def test_a_limit_counts_what_is_held_already():
    nodes = [node("a")]
    pairs = chosen(waiting(1, 1, 1), nodes, [Slot(nodes[0], 2, 1)], most_gpus=4)
    assert len(pairs) == 2


def test_a_wide_one_is_not_left_over_because_narrow_ones_came_first():
    pairs = chosen(waiting(1, 1, 8), [node("a"), node("b", gpus=2)])
    assert placed(pairs) == {"e2": "a", "e0": "b", "e1": "b"}


def test_equally_wide_ones_go_in_the_order_given():
    pairs = chosen(list(reversed(waiting(1, 1, 1))), [node("a", gpus=2)])
    assert [e.id for e, _ in pairs] == ["e2", "e1"]


def test_of_equally_wide_ones_those_with_fewer_nodes_to_choose_from_go_first():
    nodes = [node("a", 2, gpu_model="H100"), node("b", 2)]
    free = experiment(0, 2)
    bound = experiment(1, 2, gpu_type="h100")
    assert placed(chosen([free, bound], nodes)) == {"e1": "a", "e0": "b"}


def test_an_experiment_goes_to_the_node_that_it_fills_best():
    nodes = [node("large", 8), node("small", 2)]
    assert placed(chosen(waiting(2), nodes)) == {"e0": "small"}
    busy = [Slot(nodes[0], 7, 1)]
    assert placed(chosen(waiting(1), nodes, busy)) == {"e0": "large"}


def test_narrow_ones_leave_whole_nodes_empty_for_wide_ones_or_to_be_given_back():
    pairs = chosen(waiting(*[1] * 8), [node(name) for name in "abc"])
    assert len(set(placed(pairs).values())) == 1


def test_without_gpus_the_fewest_free_cpus_decide():
    nodes = [node("large", 0, 16), node("small", 0, 4)]
    assert placed(chosen(waiting(0, cpus=4), nodes)) == {"e0": "small"}


def test_an_experiment_goes_only_where_it_is_allowed():
    nodes = [node("large", 8), node("small", 2)]
    assert placed(chosen(waiting(2), nodes, allowed=lambda _: nodes[:1])) == {"e0": "large"}


def test_it_waits_where_the_allowed_node_is_full_though_another_is_free():
    nodes = [node("a", 1), node("b", 1)]
    taken = [Slot(nodes[0], 1, 1)]
    assert chosen(waiting(1), nodes, taken, allowed=lambda _: nodes[:1]) == []


def test_what_is_allowed_nowhere_is_not_placed():
    assert chosen(waiting(1), [node("a")], allowed=lambda _: []) == []


def test_each_experiment_has_allowed_nodes_of_its_own_and_all_share_what_is_free():
    nodes = [node("a", 1), node("b", 1)]
    allowed = {"e0": nodes[:1], "e1": nodes, "e2": nodes[:1]}
    pairs = chosen(waiting(1, 1, 1), nodes, allowed=lambda e: allowed[e.id])
    assert placed(pairs) == {"e0": "a", "e1": "b"}


def test_a_slot_on_a_node_that_has_left_takes_nothing_of_the_others():
    gone = Slot(node("gone"), 8, 64, exclusive=True)
    assert placed(chosen(waiting(8), [node("a")], [gone])) == {"e0": "a"}


def test_a_server_that_spans_nodes_gets_all_of_them_at_once():
    nodes = [node(name) for name in "abc"]
    ((_, slot),) = chosen([experiment(0, 8, nodes=2)], nodes, [Slot(nodes[0], 1, 1)])
    assert {one.id for one in slot.nodes} == {"b", "c"}
    assert slot.held_gpus == 16


def test_a_server_that_spans_nodes_waits_while_one_of_them_is_missing():
    nodes = [node("a"), node("b")]
    assert chosen([experiment(0, 8, nodes=2)], nodes, [Slot(nodes[0], 1, 1)]) == []


def test_whole_nodes_are_taken_with_all_their_gpus():
    (_, slot), (_, other) = chosen(waiting(2, 2, whole_nodes=True), [node("a"), node("b")])
    assert (slot.gpus, other.gpus, slot.node.id == other.node.id) == (8, 8, False)


def test_wide_and_narrow_share_a_quota_widest_first():
    pairs = chosen(waiting(1, 4, 2, 2, quota=QUOTA), [node("a", 0, kubernetes_gpus=7)])
    assert [e.id for e, _ in pairs] == ["e1", "e2", "e0"]


def test_a_server_without_gpus_counts_as_one_of_the_quota():
    pairs = chosen(waiting(0, 0, 0, quota=QUOTA), [node("a", kubernetes_gpus=2)])
    assert [slot.quota_share for _, slot in pairs] == [1, 1]


def test_of_nodes_with_a_quota_the_one_that_it_fills_best_is_taken():
    nodes = [node("large", kubernetes_gpus=8), node("none"), node("small", kubernetes_gpus=2)]
    assert placed(chosen(waiting(2, quota=QUOTA), nodes)) == {"e0": "small"}


def test_an_idle_cluster_has_as_many_places_as_fit_it_together():
    assert places(waiting(8, 4, 4, 1), [node("a"), node("b")]) == 3


# Draining


def narrow_everywhere(nodes, left_s):
    """Every GPU of the nodes is held by an attempt of its own."""
    return [Held(Slot(one, 1, 1), left_s(one, index)) for one in nodes for index in range(one.gpus)]


def test_a_node_is_drained_for_a_wide_one_that_waits_behind_narrow_ones():
    nodes = [node("a", 2), node("b", 2)]
    held = [Held(Slot(nodes[0], 1, 1), 5.0), Held(Slot(nodes[1], 1, 1), 500.0)]
    turn = place(grouped(waiting(1, 2), nodes), nodes, held)
    assert placed(turn.chosen) == {"e0": "b"}
    assert turn.drained == {"a"}


def test_a_node_that_is_drained_is_lent_to_who_will_be_gone_in_time():
    nodes = [node("a", 3)]
    held = [Held(Slot(nodes[0], 2, 1), 500.0)]
    wide, short = grouped([experiment(0, 3)], nodes, each_s=500.0), experiment(1, 1)
    for each_s, starts in ((100.0, True), (501.0, False)):
        turn = place([*wide, *grouped([short], nodes, each_s=each_s)], nodes, held)
        assert [e.id for e, _ in turn.chosen] == (["e1"] if starts else [])


def test_who_has_waited_long_gets_a_node_drained_without_exception():
    nodes = [node("a", 3)]
    held = [Held(Slot(nodes[0], 2, 1), 500.0)]
    wide = grouped([experiment(0, 3)], nodes, each_s=500.0, waited_s=1801.0)
    turn = place([*wide, *grouped([experiment(1, 1)], nodes, each_s=1.0)], nodes, held)
    assert turn.chosen == ()


def test_a_node_that_is_being_drained_is_not_given_up_for_another():
    nodes = [node("a", 2), node("b", 2)]
    held = narrow_everywhere(nodes, lambda one, index: 10.0 if one.id == "b" else 11.0)
    groups = grouped(waiting(1, 2), nodes)
    assert place(groups, nodes, held).drained == {"b"}
    assert place(groups, nodes, held, drained={"a"}).drained == {"a"}


def test_nothing_is_drained_where_as_wide_ones_leave_their_places():
    nodes = [node("a", 8), node("b", 2)]
    held = [Held(Slot(nodes[0], 8, 1), 60.0), Held(Slot(nodes[1], 1, 1), 5.0)]
    turn = place(grouped(waiting(8, 1), nodes), nodes, held)
    assert (placed(turn.chosen), turn.drained) == ({"e1": "b"}, frozenset())


def test_more_nodes_are_drained_where_one_would_keep_wide_ones_running_to_the_end():
    nodes = [node(name) for name in "abcd"]
    held = narrow_everywhere(nodes, lambda one, index: 60.0)
    many = [experiment(index, 8) for index in range(40)]
    few = [experiment(index, 1) for index in range(40, 48)]
    turn = place([*grouped(many, nodes), *grouped(few, nodes)], nodes, held)
    assert len(turn.drained) == 4


def test_a_node_on_which_it_may_not_run_is_not_drained_for_it():
    nodes = [node("a", 2), node("b", 2)]
    held = narrow_everywhere(nodes, lambda one, index: 5.0 if one.id == "a" else 50.0)
    wide = grouped([experiment(0, 2)], nodes, allowed=lambda _: nodes[1:])
    assert place(wide, nodes, held).drained == {"b"}


def test_nodes_are_drained_together_for_a_server_that_spans_them():
    nodes = [node(name, 2) for name in "abc"]
    held = narrow_everywhere(nodes, lambda one, index: {"a": 5.0, "b": 50.0, "c": 10.0}[one.id])
    turn = place(grouped([experiment(0, 2, nodes=2)], nodes), nodes, held)
    assert turn.drained == {"a", "c"}


def test_of_a_limit_what_becomes_free_is_kept_for_the_wide_one():
    nodes = [node("a"), node("b")]
    held = [Held(Slot(nodes[0], 1, 1), 1000.0)] * 2
    turn = place(grouped(waiting(1, 8), nodes, each_s=2000.0), nodes, held, most_gpus=8)
    assert turn.chosen == ()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=2).filter(lambda sizes: max(sizes) >= 2),
    st.lists(st.floats(30.0, 100.0), min_size=1, max_size=5),
    st.floats(0.1, 10.0),
)
def test_a_wide_experiment_is_not_starved_by_narrow_ones(sizes, durations_s, misjudged):
    """Narrow ones never cease to come; the wide one starts all the same, however wrong the
    estimates are."""
    nodes = [node(str(i), size) for i, size in enumerate(sizes)]
    wide, running, now, made = experiment(0, max(sizes)), [], 0.0, 0
    drained = frozenset()
    while now < 1800.0 + 4 * max(durations_s):
        narrow = [experiment(made + i + 1, 1) for i in range(sum(sizes))]
        each_s = misjudged * sum(durations_s) / len(durations_s)
        # From the second round on: at the start everything is free.
        lone = grouped([wide], nodes, each_s=each_s, waited_s=now) if made else []
        held = [Held(slot, max(0.0, misjudged * (ends - now))) for ends, _, slot in running]
        turn = place([*lone, *grouped(narrow, nodes, each_s=each_s)], nodes, held, drained=drained)
        drained = turn.drained
        for e, slot in turn.chosen:
            if e is wide:
                return
            made += 1
            heapq.heappush(running, (now + durations_s[made % len(durations_s)], made, slot))
        now = heapq.heappop(running)[0]
    pytest.fail("it never started")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_a_mixed_study_ends_near_the_earliest_possible_time(seed):
    """Widths and times as they come, on four nodes of eight."""
    draw = random.Random(seed)
    nodes = [node(name) for name in "abcd"]
    left = {}
    for index in range(200):
        e = experiment(index, draw.choice([1, 2, 4, 8]))
        left[e.id] = (e, draw.uniform(60.0, 300.0))
    work = sum(e.footprint.gpus * seconds for e, seconds in left.values())
    ends = play(nodes, left)
    assert ends <= 1.1 * max(work / 32, 300.0)


def play(nodes, left):
    """Run the experiments with exact estimates; returns when the last one ends."""
    running, now, drained = [], 0.0, frozenset()
    while left or running:
        wanted = sorted(left.values(), key=lambda one: -one[1])
        groups = grouped([e for e, _ in wanted], nodes)
        groups = [replace(g, work_s=sum(left[e.id][1] for e in g.experiments)) for g in groups]
        held = [Held(slot, ends - now) for ends, _, slot in running]
        turn = place(groups, nodes, held, drained=drained)
        drained = turn.drained
        for e, slot in turn.chosen:
            heapq.heappush(running, (now + left.pop(e.id)[1], e.id, slot))
        if not running:
            return math.inf
        now = heapq.heappop(running)[0]
    return now

from collections import Counter

from autotuner.driver.placing.waiting import Choice, Waiting
from autotuner.execution.base import Node
from autotuner.spec.experiment import Experiment
from autotuner.spec.server import Footprint, Model, ServerConfig

SERVER = ServerConfig("sim", Model("/m", "/m"), {})
A, B = Node("a", "host-a", 8, 64), Node("b", "host-b", 8, 64)


def experiment(name, gpus=1):
    return Experiment(name, 0, {}, SERVER, (), Footprint(gpus))


E1, E2, E3 = (experiment(name) for name in ("e1", "e2", "e3"))
WIDE = experiment("wide", 8)


def line_up(*experiments, choice=lambda e: Choice(e.footprint), expected_s=lambda e: 10.0):
    waiting = Waiting(choice, expected_s)
    waiting.add(experiments)
    return waiting


def groups(waiting, now_s=0.0, nodes_for=lambda choice: (A, B)):
    return {
        group.footprint.gpus: group for group in waiting.groups(nodes_for, now_s) if group.nodes
    }


def test_experiments_that_need_the_same_stand_in_one_line_in_the_order_given():
    found = groups(line_up(E1, WIDE, E2))
    assert [e.id for e in found[1].experiments] == ["e1", "e2"]
    assert [e.id for e in found[8].experiments] == ["wide"]


def test_experiments_that_may_go_to_different_nodes_stand_in_different_lines():
    avoided = {"e2": frozenset({"a"})}
    waiting = line_up(E1, E2, choice=lambda e: Choice(e.footprint, avoided.get(e.id, frozenset())))
    lines = waiting.groups(lambda choice: (B,) if choice.avoided else (A, B), 0.0)
    assert sorted([e.id for e in line.experiments] for line in lines) == [["e1"], ["e2"]]


def test_who_starts_waits_no_longer():
    waiting = line_up(E1, E2)
    waiting.remove(E1)
    assert (len(waiting), [e.id for e in waiting]) == (1, ["e2"])
    waiting.remove(E2)
    assert (len(waiting), waiting.groups(lambda choice: (A,), 0.0)) == (0, ())


def test_who_comes_later_stands_behind():
    waiting = line_up(E1, E2)
    waiting.remove(E1)
    waiting.add([E3, E1])
    assert [e.id for e in waiting] == ["e2", "e3", "e1"]


def test_who_is_tried_again_stands_before_the_others():
    waiting = line_up(E1, E2)
    waiting.remove(E1)
    waiting.add_first(E1)
    waiting.add_first(E3)
    assert [e.id for e in waiting] == ["e3", "e1", "e2"]
    assert [e.id for e in groups(waiting)[1].experiments] == ["e3", "e1", "e2"]
    waiting.remove(E1)
    assert [e.id for e in waiting] == ["e3", "e2"]


def test_an_order_given_later_replaces_the_first():
    waiting = line_up(E1, WIDE, E2)
    waiting.reorder([E2, E1, WIDE])
    assert [e.id for e in groups(waiting)[1].experiments] == ["e2", "e1"]
    assert [e.id for e in waiting] == ["e2", "e1", "wide"]


def test_the_work_of_a_line_is_what_its_experiments_are_expected_to_take():
    waiting = line_up(E1, E2, expected_s=lambda e: {"e1": 30.0, "e2": 12.0}[e.id])
    assert groups(waiting)[1].work_s == 42.0
    waiting.remove(E1)
    assert groups(waiting)[1].work_s == 12.0


def test_a_line_waits_since_the_last_of_it_has_started():
    waiting = line_up(E1, E2)
    assert groups(waiting, now_s=100.0)[1].waited_s == 0.0
    assert groups(waiting, now_s=160.0)[1].waited_s == 60.0
    waiting.remove(E1)
    assert groups(waiting, now_s=170.0)[1].waited_s == 0.0


def test_what_is_asked_of_a_cluster_is_counted_by_footprint_whatever_the_nodes():
    avoided = {"e2": frozenset({"a"})}
    waiting = line_up(
        E1, E2, WIDE, choice=lambda e: Choice(e.footprint, avoided.get(e.id, frozenset()))
    )
    assert waiting.demand == Counter({Footprint(1): 2, Footprint(8): 1})

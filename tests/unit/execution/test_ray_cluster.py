import pytest

from autotuner.execution import ray_cluster
from autotuner.execution.base import Slot
from autotuner.execution.ray_cluster import ClusterView

GPUS, CPUS = 8.0, 16.0


def described(id_="a", *, alive=True, **resources):
    return {
        "NodeID": id_,
        "NodeManagerHostname": f"host-{id_}",
        "Alive": alive,
        "Resources": {"GPU": GPUS, "CPU": CPUS, **resources},
    }


@pytest.fixture
def cluster(monkeypatch):
    """Ray as these tests want it: nodes, what is free of them, and the time."""

    class Cluster:
        def __init__(self):
            self.nodes = [described()]
            self.free = {"a": {"GPU": GPUS, "CPU": CPUS}}
            self.leaving = frozenset()
            self.now = 0.0
            self.view = ClusterView(lambda: self.now)

        def others(self, *own):
            self.view.nodes()
            return [(slot.gpus, slot.cpus) for slot in self.view.held_by_others(own)]

    one = Cluster()
    monkeypatch.setattr(ray_cluster, "raylet_nodes", lambda: one.nodes)
    monkeypatch.setattr(ray_cluster, "_available", lambda: one.free)
    monkeypatch.setattr(ray_cluster, "_draining", lambda: one.leaving)
    return one


def test_nodes_have_what_ray_says_and_custom_resources_are_quotas(cluster):
    resources = {"accelerator_type:H100": 1.0, "kubernetes_gpus": 4.0, "node:10.0.0.1": 1.0}
    cluster.nodes = [described(**resources)]
    (node,) = cluster.view.nodes()
    assert (node.gpus, node.cpus, node.gpu_model) == (8, 16, "H100")
    assert node.quotas == {"kubernetes_gpus": 4}


def test_neither_a_dead_node_nor_one_that_is_about_to_leave_takes_work(cluster):
    cluster.nodes = [described("a"), described("b", alive=False), described("c")]
    cluster.leaving = frozenset({"c"})
    assert [node.id for node in cluster.view.nodes()] == ["a"]


def test_what_is_reserved_and_not_ours_is_others(cluster):
    cluster.free = {"a": {"GPU": 3.0, "CPU": 10.0}}
    (node,) = cluster.view.nodes()
    assert cluster.others(Slot(node, 4, 5)) == [(1, 1)]


def test_a_share_of_a_device_takes_all_of_it(cluster):
    cluster.free = {"a": {"GPU": 7.5, "CPU": CPUS}}
    assert cluster.others() == [(1, 0)]


def test_a_resource_of_which_nothing_is_left_is_taken_whole(cluster):
    cluster.free = {"a": {"CPU": CPUS}}
    assert cluster.others() == [(8, 0)]


def test_what_we_have_just_let_go_is_nobody_elses(cluster):
    """Ray's books follow ours: for a moment it looks as if somebody else held it."""
    (node,) = cluster.view.nodes()
    cluster.free = {"a": {"GPU": 4.0, "CPU": CPUS}}
    assert cluster.others(Slot(node, 4, 0)) == []
    cluster.now = 1.0
    assert cluster.others() == []
    cluster.now, cluster.free = 2.0, {"a": {"GPU": GPUS, "CPU": CPUS}}
    assert cluster.others() == []


def test_who_holds_it_for_longer_is_another(cluster):
    cluster.others()
    cluster.free = {"a": {"GPU": 4.0, "CPU": CPUS}}
    told = []
    for cluster.now in (1.0, 3.0, 5.5, 7.0):
        told.append(cluster.others())
    assert told == [[], [], [(4, 0)], [(4, 0)]]


def test_where_ray_does_not_say_what_is_free_nobody_else_is_there(cluster):
    cluster.free = {}
    assert cluster.others() == []

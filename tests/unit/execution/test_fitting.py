import pytest

from autotuner.execution.base import Node
from autotuner.execution.fitting import able_nodes, does_not_fit, exceeds_limit, fits_idle
from autotuner.spec.experiment import Experiment
from autotuner.spec.server import CpuPlan, Footprint, Model, ServerConfig

SERVER = ServerConfig("sim", Model("/m", "/m"), {})
QUOTA = "kubernetes_gpus"


def experiment(footprint):
    return Experiment("e0", 0, {}, SERVER, (), footprint)


def node(name, gpus=8, cpus=64, gpu_model=None, **quotas):
    return Node(name, f"host-{name}", gpus, cpus, gpu_model, quotas=quotas)


@pytest.mark.parametrize(
    ("footprint", "fits"),
    [
        (Footprint(4, cpus=CpuPlan(8)), True),
        (Footprint(5), False),
        (Footprint(0, cpus=CpuPlan(9)), False),
        (Footprint(2, nodes=2), True),
        (Footprint(3, nodes=2), False),
        (Footprint(2, nodes=3), False),
        (Footprint(1, gpu_type="h100"), True),
        (Footprint(3, gpu_type="H100"), False),
        (Footprint(1, gpu_type="A100"), False),
    ],
)
def test_a_footprint_fits_if_as_many_idle_nodes_hold_its_share_as_it_spans(footprint, fits):
    nodes = [node("a", 4, 8), node("b", 2, 8, "H100")]
    assert fits_idle(footprint, nodes) is fits


def test_nothing_fits_a_cluster_without_nodes():
    assert not fits_idle(Footprint(0), [])


def test_able_nodes_are_those_that_could_hold_a_share():
    nodes = [node("a", 4), node("b", 2)]
    assert able_nodes(Footprint(3), nodes) == (nodes[0],)


def test_who_needs_more_than_the_largest_node_is_told_both_and_how_a_server_may_span_nodes():
    told = does_not_fit(experiment(Footprint(16)), [node("a"), node("b", 4)])
    assert "needs 16 GPUs and 1 CPUs on one node" in told
    assert "the largest node (host-a) has 8 GPUs" in told
    assert "resources.gpus_per_node" in told


def test_who_needs_more_nodes_than_there_are_is_told_how_many_could_be_one():
    told = does_not_fit(experiment(Footprint(8, nodes=3)), [node("a"), node("b"), node("c", 4)])
    assert "8 GPUs and 1 CPUs on each of 3 nodes at once (2 of the cluster's 3" in told


def test_who_asks_for_a_gpu_type_that_is_not_there_is_told_those_that_are():
    told = does_not_fit(experiment(Footprint(1, gpu_type="H100")), [node("a", gpu_model="L40S")])
    assert "GPUs of type H100, but the cluster's are L40S" in told
    assert "resources.gpu_type" in told


def test_who_is_wider_than_the_limit_is_told_the_limit():
    told = exceeds_limit(experiment(Footprint(8, nodes=2)), 8)
    assert "needs 16 GPUs, but max_gpus is 8" in told


@pytest.mark.parametrize(
    ("nodes", "has"),
    [
        ([], "the cluster has none"),
        ([node("a")], "the cluster has none"),
        ([node("a", kubernetes_gpus=2), node("b", kubernetes_gpus=3)], "no node has more than 3"),
    ],
)
def test_who_finds_too_little_of_a_quota_is_told_how_a_node_comes_by_it(nodes, has):
    told = does_not_fit(experiment(Footprint(4, quota=QUOTA)), nodes)
    assert f"needs 4 of the Ray resource kubernetes_gpus on one node, but {has}: " in told
    assert """`ray start --resources '{"kubernetes_gpus": 4}'`""" in told


def test_with_enough_of_a_quota_the_lack_of_cpus_is_told():
    need = Footprint(4, cpus=CpuPlan(9), quota=QUOTA)
    told = does_not_fit(experiment(need), [node("a", 8, 8, kubernetes_gpus=4)])
    assert "needs 0 GPUs and 9 CPUs on one node, but the largest node (host-a) has" in told


def test_a_node_with_a_quota_is_a_key_like_any_other():
    one, same = node("a", kubernetes_gpus=8), Node("a", "host-a", 8, 64, quotas={QUOTA: 8})
    assert {one: 1}[same] == 1
    assert one != node("a", kubernetes_gpus=4)

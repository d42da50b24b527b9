from dataclasses import replace

import pytest

from autotuner.engines.base import Rank
from autotuner.engines.spans import command_of_rank, refuse_span
from autotuner.errors import PlanError
from autotuner.spec.server import Footprint, Model, ServerConfig

SERVER = ServerConfig("vllm", Model("/models/m", "/models/m"), {"tensor-parallel-size": 16})
WIDE = Footprint(8, nodes=2)


def words(nodes):
    rank = Rank(0, nodes, "10.0.0.1", 2345)
    return command_of_rank(SERVER, rank, host="127.0.0.1", port=8000, served_name="mine")


def test_a_server_on_one_node_hears_nothing_of_ranks():
    assert "--nnodes" not in words(1)
    assert "--nnodes" in words(2)


@pytest.mark.parametrize("launcher", ["docker", "kubernetes", "ome"])
def test_only_processes_span_nodes(launcher):
    elsewhere = replace(SERVER, launcher=launcher)
    said = rf"launcher: {launcher} .*16 GPUs are 2 nodes of 8 \(resources\.gpus_per_node\)"
    with pytest.raises(PlanError, match=said):
        refuse_span(elsewhere, WIDE)
    refuse_span(elsewhere, Footprint(8))
    refuse_span(SERVER, WIDE)


def test_a_flag_that_cannot_span_nodes_is_refused_only_where_it_would_have_to():
    ray = replace(SERVER, flags={"distributed-executor-backend": "ray"})
    with pytest.raises(PlanError, match="distributed-executor-backend"):
        refuse_span(ray, WIDE)
    refuse_span(ray, Footprint(8))

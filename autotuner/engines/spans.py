"""Command lines of servers on one node and on several alike, and which cannot be on several."""

from __future__ import annotations

from autotuner.engines.base import Rank
from autotuner.engines.registry import load_engine
from autotuner.errors import PlanError
from autotuner.spec.server import Footprint, ServerConfig

__all__ = ["command_of_rank", "refuse_span"]

_SPANNING_LAUNCHER = "process"
"""Containers and pods on several nodes would have to be kept, and ended, as one."""


def command_of_rank(
    server: ServerConfig, rank: Rank, *, host: str, port: int | str, served_name: str
) -> list[str]:
    """Argument list of one rank; of a server on a single node, its command.

    Raises:
        PlanError: the configuration says something that the engine cannot take.
    """
    engine = load_engine(server.engine)
    if rank.nodes == 1:
        return engine.command(server, host=host, port=port, served_name=served_name)
    return engine.rank_command(server, rank, host=host, port=port, served_name=served_name)


def refuse_span(server: ServerConfig, footprint: Footprint) -> None:
    """Refuse a server that spans nodes, where nobody could start it so.

    Raises:
        PlanError: its launcher, its engine or a flag of it cannot do that.
    """
    if footprint.nodes == 1:
        return
    if server.launcher != _SPANNING_LAUNCHER:
        raise PlanError(
            f"launcher: {server.launcher} starts servers on one node, but {footprint.gpus} GPUs "
            f"are {footprint.nodes} nodes of {footprint.gpus_per_node} (resources.gpus_per_node): "
            "set launcher: process, raise resources.gpus_per_node, or exclude the wide parallel "
            "sizes under 'exclude'"
        )
    rank = Rank(0, footprint.nodes, "rank0", 1)
    command_of_rank(server, rank, host="rank0", port=1, served_name="refused")

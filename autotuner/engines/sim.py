"""The simulated engine: our own server, for trying a study out and for testing the product."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import ClassVar

from autotuner.engines import symptoms as known
from autotuner.engines.base import Engine, Rank, flag_arguments, parallel_size, refuse_flags
from autotuner.spec.server import ServerConfig, Value

__all__ = ["SimEngine"]

_MODULE = "autotuner.engines.sim_server"
_OURS = frozenset({"nnodes", "node-rank", "master-addr", "master-port"})


class SimEngine(Engine):
    """Serves made-up tokens at the pace of a queueing model (`autotuner.engines.sim_model`)."""

    name: ClassVar[str] = "sim"
    takes_underscores: ClassVar[bool] = False
    version_path: ClassVar[str | None] = "/version"
    bench_backend: ClassVar[str] = "vllm"
    simulated: ClassVar[bool] = True
    symptoms = (*known.MEMORY, *known.START, *known.DISKS, *known.CRASHES)

    def command(
        self, server: ServerConfig, *, host: str, port: int | str, served_name: str
    ) -> list[str]:
        self.refuse_command(server)
        return [
            _program(server),
            "-m",
            _MODULE,
            "--model",
            server.model.path,
            "--served-model-name",
            served_name,
            "--host",
            host,
            "--port",
            str(port),
            *flag_arguments(server.flags),
        ]

    def rank_command(
        self, server: ServerConfig, rank: Rank, *, host: str, port: int | str, served_name: str
    ) -> list[str]:
        refuse_flags(self.name, server.flags, _OURS, "it is worked out for each node")
        return [
            *self.command(server, host=host, port=port, served_name=served_name),
            *("--nnodes", str(rank.nodes), "--node-rank", str(rank.number)),
            *("--master-addr", rank.master_address, "--master-port", str(rank.master_port)),
        ]

    def gpus(self, flags: Mapping[str, Value]) -> int:
        return parallel_size(flags, "tensor-parallel-size")

    def version_command(self, server: ServerConfig) -> list[str] | None:
        code = "import importlib.metadata; print(importlib.metadata.version('autotuner'))"
        return [_program(server), "-c", code]

    def help_commands(self, server: ServerConfig) -> Sequence[list[str]]:
        return [[_program(server), "-m", _MODULE, "--help"]]


def _program(server: ServerConfig) -> str:
    # Our own interpreter means nothing inside an image.
    own = sys.executable if server.launcher == "process" else "python3"
    return server.executable or own

"""Any OpenAI-compatible server, started by the user's own command template."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from autotuner.engines import symptoms as known
from autotuner.engines.base import Engine, Rank, flag_arguments
from autotuner.errors import PlanError
from autotuner.spec.server import ServerConfig, Value

__all__ = ["CustomEngine"]

_PLACEHOLDER = re.compile(r"\{(host|port|model|served_name)\}")
_OF_RANKS = ("{nodes}", "{rank}", "{master_addr}", "{master_port}")
_ANY_PLACEHOLDER = re.compile(
    r"\{(host|port|model|served_name|nodes|rank|master_addr|master_port)\}"
)


class CustomEngine(Engine):
    """A command template with ``{host}``, ``{port}``, ``{model}`` and ``{served_name}``.

    Where the server spans nodes, also with ``{nodes}``, ``{rank}`` (from 0), ``{master_addr}``
    and ``{master_port}``, which are then all required. Other braces are left as they are. The
    server must answer on ``/v1/chat/completions`` to the name it is given; its flags are appended
    to the template.
    """

    name: ClassVar[str] = "custom"
    bench_backend: ClassVar[str] = "vllm"
    symptoms = (
        *known.MEMORY,
        *known.DISKS,
        *known.MODEL_FILES,
        *known.START,
        *known.CRASHES,
    )

    def command(
        self, server: ServerConfig, *, host: str, port: int | str, served_name: str
    ) -> list[str]:
        values = {
            "host": host,
            "port": str(port),
            "model": server.model.path,
            "served_name": served_name,
        }
        return _filled(server, _PLACEHOLDER, values)

    def rank_command(
        self, server: ServerConfig, rank: Rank, *, host: str, port: int | str, served_name: str
    ) -> list[str]:
        for placeholder in _OF_RANKS:
            if not any(placeholder in argument for argument in server.command):
                raise PlanError(
                    f"engine 'custom': no argument of 'command' holds {placeholder}, which a "
                    "server that spans nodes needs (resources.gpus, resources.gpus_per_node)"
                )
        values = {
            "host": host,
            "port": str(port),
            "model": server.model.path,
            "served_name": served_name,
            "nodes": str(rank.nodes),
            "rank": str(rank.number),
            "master_addr": rank.master_address,
            "master_port": str(rank.master_port),
        }
        return _filled(server, _ANY_PLACEHOLDER, values)

    def gpus(self, flags: Mapping[str, Value]) -> int:
        """1: the flags of an unknown program say nothing; ``resources.gpus`` overrides it."""
        return 1

    def version_command(self, server: ServerConfig) -> list[str] | None:
        return None


def _filled(
    server: ServerConfig, placeholder: re.Pattern[str], values: Mapping[str, str]
) -> list[str]:
    if server.executable is not None:
        raise PlanError("engine 'custom': put the program into 'command', not 'executable'")
    if not server.command:
        raise PlanError("engine 'custom' needs a 'command': a list of arguments with {port}")
    if not any("{port}" in argument for argument in server.command):
        raise PlanError("engine 'custom': no argument of 'command' holds {port}")
    # One pass, so that a value that holds braces is not filled in again.
    filled = [
        placeholder.sub(lambda match: values[match[1]], argument) for argument in server.command
    ]
    return [*filled, *flag_arguments(server.flags)]

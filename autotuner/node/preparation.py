"""What an attempt hands to the launcher, the load generator and the rows, worked out once."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil

from autotuner.bench.base import LoadContext, Target
from autotuner.engines.base import Engine, Rank
from autotuner.engines.registry import load_engine
from autotuner.launchers.base import LaunchRequest
from autotuner.node.compile_cache import CompileCache
from autotuner.node.events import AttemptOrder
from autotuner.spec.server import ServerConfig
from autotuner.supervision.environment import (
    LEASE_VARIABLE,
    clean_environment,
    is_secret_name,
    mask_secrets,
)
from autotuner.supervision.lease import Lease

__all__ = ["Preparation", "prepare"]

_LONGEST_TEMPORARY = 64
"""The kernel takes 107 characters for a socket's path; engines append some 40."""
_SHORTEST_SECRET = 6
"""Shorter values ("false" of TOKENIZERS_PARALLELISM) are none, and would mask common words."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """An attempt on its node, before anything has started. Made by `prepare`."""

    order: AttemptOrder
    engine: Engine
    lease: Lease
    gpu_ids: tuple[str, ...]
    environment: Mapping[str, str]
    """Of a server that is a process of this node."""
    variables: Mapping[str, str]
    """Those of ``environment`` that the study and the engine set."""
    secrets: tuple[str, ...]
    """Values that must not leave the node."""

    def launch_request(
        self,
        on_command: Callable[[str], None],
        cache: CompileCache | None = None,
        rank: Rank | None = None,
    ) -> LaunchRequest:
        """What is started here.

        Args:
            on_command: Receives the shell line, secrets masked.
            rank: This node's part of a server that spans several.
        """
        attempt = self.order.attempt
        cached = {} if cache is None else cache.variables

        def command(server: ServerConfig, host: str, port: int) -> list[str]:
            name = attempt.served_name
            if rank is None:
                words = self.engine.command(server, host=host, port=port, served_name=name)
            else:
                words = self.engine.rank_command(
                    server, rank, host=host, port=port, served_name=name
                )
            on_command(mask_secrets(shlex.join(words), self.secrets))
            return words

        return LaunchRequest(
            attempt_id=attempt.id,
            study_id=attempt.study_id,
            served_name=attempt.served_name,
            server=attempt.experiment.server,
            footprint=attempt.experiment.footprint,
            gpu_ids=self.gpu_ids,
            command=command,
            environment={**self.environment, **cached},
            variables={**self.variables, **cached},
            lease=self.lease,
            stop_s=self.order.timeouts.stop_s,
            cache=None if cache is None else cache.folder,
        )

    def load_context(self, url: str | None = None) -> LoadContext:
        """``url``: where the server answers, which no proxy must come before."""
        config = self.order.attempt.experiment.server
        # Of the engine's variables only those of the model hub: they decide what a name means.
        shared = {n: v for n, v in config.environment.items() if n.startswith("HF_")}
        shared["CUDA_VISIBLE_DEVICES"] = ""
        host = urlsplit(url).hostname if url else None
        return LoadContext(
            folder=self.lease.folder,
            environment=clean_environment(
                add={**_own_variables(self.lease), **shared}, unproxied=(host,) if host else ()
            ),
            level_grace_s=self.order.timeouts.level_grace_s,
            no_token_s=self.order.timeouts.no_token_s,
            cpus=self.order.attempt.experiment.footprint.cpus.load,
            executable=self.order.bench.executable,
            workers=self.order.bench.workers,
            lease=self.lease,
            launch=config.launch,
            gpus=self.order.attempt.experiment.footprint.gpus,
            benchmark_job=self.order.bench.benchmark_job,
        )

    def target(self, url: str) -> Target:
        """The server at ``url``, as clients must address it."""
        config = self.order.attempt.experiment.server
        variable = self.engine.api_key_variable
        return Target(
            url=url,
            served_name=self.order.attempt.served_name,
            tokenizer=config.model.tokenizer,
            backend=self.engine.bench_backend,
            api_key=None if variable is None else config.environment.get(variable),
        )


def prepare(
    order: AttemptOrder, gpu_ids: Sequence[str], lease: Lease, *, address: str | None = None
) -> Preparation:
    """Work out the attempt's engine and environment on this node.

    Args:
        address: This node, as the other nodes of a server that spans several reach it.
    """
    config = order.attempt.experiment.server
    engine = load_engine(config.engine)
    # Elsewhere, too: a server that is killed must not take its last words with it.
    variables = {
        "PYTHONUNBUFFERED": "1",
        **engine.environment(config),
        **({} if address is None else _rank_variables(engine, config, address)),
        **config.environment,
    }
    added = {**_own_variables(lease), **variables}
    # Without GPUs an empty list: Ray hides none from an actor that has reserved none.
    added["CUDA_VISIBLE_DEVICES"] = ",".join(gpu_ids)
    # CUDA's own order is by speed; ids, here and in Ray, are by place.
    added.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    environment = clean_environment(add=added)
    secrets = tuple(
        value
        for name, value in environment.items()
        if is_secret_name(name) and len(value) >= _SHORTEST_SECRET
    )
    return Preparation(order, engine, lease, tuple(gpu_ids), environment, variables, secrets)


def _rank_variables(engine: Engine, config: ServerConfig, address: str) -> dict[str, str]:
    """What a part of a server needs to find the others by; the node's own settings win."""
    variables = engine.rank_environment(config, address)
    if (interface := _interface_of(address)) is not None:
        # Gloo, which engines talk through before any data flows, takes the address that the
        # host's name resolves to: often loopback. Data's own way (NCCL) is not ours to choose.
        variables["GLOO_SOCKET_IFNAME"] = interface
    return {name: value for name, value in variables.items() if name not in os.environ}


def _interface_of(address: str) -> str | None:
    """The network interface that has the address."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(one.address == address for one in addresses):
            return name
    return None


def _own_variables(lease: Lease) -> dict[str, str]:
    """What marks an attempt's processes, and keeps what they leave inside its folder."""
    variables = {LEASE_VARIABLE: lease.token}
    temporary = lease.folder / "tmp"
    if len(str(temporary)) <= _LONGEST_TEMPORARY:
        temporary.mkdir(exist_ok=True)
        variables["TMPDIR"] = str(temporary)
        # A cache that torch keeps there is worth more than a tidy folder: minutes of compilation.
        cache = f"{tempfile.gettempdir()}/torchinductor_{os.getuid()}"
        variables["TORCHINDUCTOR_CACHE_DIR"] = os.environ.get("TORCHINDUCTOR_CACHE_DIR", cache)
    return variables

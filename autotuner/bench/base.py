"""What the product asks of a load generator: one record per request, one result per level."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from autotuner.results.levels import RequestRecord
from autotuner.results.node_cpus import NodeCpus
from autotuner.spec.launching import LaunchSettings
from autotuner.spec.study import BenchmarkJobSettings
from autotuner.spec.workload import Level, Workload
from autotuner.supervision.lease import Lease

__all__ = ["Booted", "LevelLoad", "LoadContext", "LoadGenerator", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """The server under load."""

    url: str
    """Base URL without ``/v1``, e.g. ``http://127.0.0.1:8000``."""
    served_name: str
    tokenizer: str
    backend: str
    """genai-bench's name of the API dialect: ``vllm`` or ``sglang``."""
    api_key: str | None = None


@dataclass(frozen=True, slots=True)
class LoadContext:
    """Where and how the load generator runs on this node."""

    folder: Path
    """Scratch folder of the attempt; logs that should be kept end in ``.log``."""
    environment: Mapping[str, str]
    level_grace_s: float
    """A level that has not ended this long after its stop rule is given up."""
    no_token_s: float = 120.0
    """A level in which no request receives a token for so long is given up."""
    cpus: tuple[int, ...] = ()
    executable: str | None = None
    workers: int = 0
    """Processes that send the requests, where the load generator can have several; 0: its own."""
    should_stop: Callable[[], str | None] = field(default=lambda: None)
    """Asked a few times a second: a reason to end now (the server died), or None."""
    watch_cpus: Callable[[], Callable[[], NodeCpus | None]] = field(default=lambda: lambda: None)
    """To be called as a level begins; what it returns, as the level ends, for its ``cpus``."""
    lease: Lease | None = None
    """Of the attempt, for a load generator that makes something outside of this node."""
    launch: LaunchSettings | None = None
    """How the server was brought up."""
    gpus: int = 0
    """Of the server."""
    benchmark_job: BenchmarkJobSettings | None = None


@dataclass(frozen=True, slots=True)
class LevelLoad:
    """One level as the load generator saw it."""

    level: Level
    records: tuple[RequestRecord, ...]
    started_at: datetime | None
    """Wall-clock time of the first request, UTC."""
    failure: str | None = None
    """Why the level was not run to its stop rule; None if it was."""
    silent_s: float | None = None
    """Given up because the server, though under load, sent no token to anyone for so long."""
    client_cpu_s: tuple[float, ...] = ()
    """CPU seconds that each process which sent requests used during the level; empty: unknown."""
    duration_s: float | None = None
    """Length of the level, by a load generator whose records have no times; it leaves out requests
    that were cut."""
    cpus: NodeCpus | None = None
    """Who used the node's CPUs meanwhile, by the context's ``watch_cpus``; None: not watched."""


class Booted:
    """What a load generator has got ready before the server answers; here nothing."""

    def close(self) -> None:
        """End it, used or not; safe to call again."""


class LoadGenerator(ABC):
    """How one tool loads a server. Stateless."""

    name: ClassVar[str]

    @abstractmethod
    def version(self, context: LoadContext) -> str | None:
        """Version of the tool on this node, or None where it cannot be told.

        Raises:
            LaunchError: the tool is not on this node.
        """

    def boot(
        self, target: Target, workload: Workload, levels: Sequence[Level], context: LoadContext
    ) -> Booted:
        """Start what takes long and needs no server, and do not wait for it.

        Whatever becomes of it shows in `run`, which gets it with the same workload and levels.
        Nothing is sent before. Closing it is up to the caller.

        Args:
            target: The server to be; its URL is not known yet, and not looked at.
            levels: All, or the first alone where the others are decided one at a time.

        Raises:
            LaunchError: the tool is not on this node.
        """
        return Booted()

    @abstractmethod
    def run(
        self,
        target: Target,
        workload: Workload,
        levels: Iterable[Level],
        context: LoadContext,
        booted: Booted | None = None,
    ) -> Generator[LevelLoad, None, None]:
        """Load the server at each level in turn and yield each as soon as it has ended.

        Exactly one `LevelLoad` per level, in order, whatever happens: a level that could not
        be run has a ``failure``. After ``context.should_stop`` gave a reason, the rest are
        yielded with that reason. Closing the iterator ends the tool.

        Args:
            levels: A sequence is known ahead. Of anything else a level is taken when the one
                before has been yielded and whoever got it asks on: its numbers may decide.
            booted: Of a `boot` for these levels; None: it begins here.

        Raises:
            LaunchError: the tool is not on this node.
        """

"""What the product asks of a launcher: a server with an address, a log and an end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar

from autotuner.spec.experiment import FailureKind
from autotuner.spec.server import Footprint, ServerConfig
from autotuner.supervision.lease import Lease
from autotuner.supervision.process import ProcessExit

__all__ = ["LaunchFault", "LaunchRequest", "Launcher", "Readiness", "Server"]


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """One server to start."""

    attempt_id: str
    study_id: str
    served_name: str
    """The model name that only this server answers to."""
    server: ServerConfig
    footprint: Footprint
    gpu_ids: tuple[str, ...]
    """Devices of this node that are the attempt's, as CUDA_VISIBLE_DEVICES spells them."""
    command: Callable[[ServerConfig, str, int], list[str]]
    """Argument list for a server, a host and a port; the launcher chooses the last two, and may
    change where the server finds its model."""
    environment: Mapping[str, str]
    """The node's own environment with ``variables`` and the devices, for a process."""
    variables: Mapping[str, str]
    """What the study and the engine set; a server that is no process of the node gets these."""
    lease: Lease
    """Its folder is the scratch folder; the server's log goes to ``server.log`` in it."""
    stop_s: float
    """Grace period between SIGTERM and SIGKILL."""
    cache: Path | None = None
    """Folder of the node that ``variables`` tell the server to write to, under the same path."""

    @property
    def folder(self) -> Path:
        return self.lease.folder

    @property
    def cpus(self) -> tuple[int, ...]:
        return self.footprint.cpus.server


@dataclass(frozen=True, slots=True)
class LaunchFault:
    """Why a server cannot become ready or has ended, where its launcher knows better than a log."""

    kind: FailureKind
    """Out of memory says AT_LOAD; a server that was ready turns it to UNDER_LOAD."""
    message: str
    """One sentence for the user."""
    evidence: str = ""


class Server(ABC):
    """A started server; a context manager that stops it."""

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    @abstractmethod
    def url(self) -> str | None:
        """Base URL without ``/v1``; None while it is not known where the server will answer."""

    @property
    @abstractmethod
    def exit(self) -> ProcessExit | None:
        """How the server ended, or None while it lives. Answers at once."""

    @property
    def fault(self) -> LaunchFault | None:
        """Why there is no sense in waiting for it; also of one that has not ended."""
        return None

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """Process id on this node, or None where there is none to be seen."""

    @property
    def facts(self) -> Mapping[str, object]:
        """Columns of the experiment row that only the launcher knows: image, node of the pod."""
        return {}

    def ask(self, command: Sequence[str]) -> str | None:
        """What a command prints where the server runs, None where it fails or cannot be run.

        Of the standard output, the first line. May take up to a minute.
        """
        return None

    @abstractmethod
    def log_tail(self, max_bytes: int = 64_000) -> str:
        """The end of the server's log."""

    @abstractmethod
    def stop(self, *, hurry: bool = False) -> ProcessExit:
        """End the server and everything it started. Safe to call again.

        Args:
            hurry: Somebody waits for the end: not the whole grace period, a few seconds at most.
        """


@dataclass(frozen=True, slots=True)
class Readiness:
    """One thing that a launcher needs of a node, and whether it is there."""

    check: str
    """What was looked at, e.g. ``Docker daemon``."""
    read: str
    fix: str | None = None
    """One sentence: what is wrong and what to do; None where all is well."""
    blocks: bool = True
    """With a ``fix``: whether no server can start; else it is a warning."""


class Launcher(ABC):
    """How servers are brought up on, or from, the node where this runs. Stateless."""

    name: ClassVar[str]
    runs_programs: ClassVar[bool] = False
    """Whether `printed_by` can run anything."""

    @abstractmethod
    def start(self, request: LaunchRequest) -> Server:
        """Start the server and return at once, before it is ready.

        Raises:
            LaunchError: it cannot be started at all; nothing is left behind.
        """

    def check(
        self, server: ServerConfig, footprint: Footprint, *, fetch: bool = False
    ) -> Sequence[Readiness]:
        """What servers of this kind need of this node, looked at without starting one.

        Never raises for what it finds wrong.

        Args:
            fetch: Also bring what takes long, such as an image, to the node.
        """
        return ()

    def identity(
        self, server: ServerConfig, program: str, environment: Mapping[str, str]
    ) -> str | None:
        """What tells the program that servers would run from another one, or from a newer one.

        None where nothing can be run without starting a server.
        """
        return None

    def printed_by(
        self,
        server: ServerConfig,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        timeout_s: float,
    ) -> str | None:
        """What a command prints where servers run, of the standard output; no server is started.

        None where it cannot be run, is killed, or takes too long; it is then ended. Its exit status
        says nothing else.

        Args:
            environment: What is added to the one that servers get.
        """
        return None

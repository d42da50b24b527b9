"""What the product asks of a launcher: a server with an address, a log and an end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar

from autotuner.supervision.process import ProcessExit

__all__ = ["LaunchRequest", "Launcher", "Server"]


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """One server to start."""

    attempt_id: str
    command: Callable[[str, int], list[str]]
    """Argument list for a host and a port, which the launcher chooses."""
    environment: Mapping[str, str]
    folder: Path
    """Scratch folder of the attempt; the server's log goes to ``server.log`` in it."""
    cpus: tuple[int, ...]
    stop_s: float
    """Grace period between SIGTERM and SIGKILL."""


class Server(ABC):
    """A started server; a context manager that stops it."""

    url: str

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
    def exit(self) -> ProcessExit | None:
        """How the server ended, or None while it lives. Answers at once."""

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """Process id on this node, or None where there is none to be seen."""

    @abstractmethod
    def log_tail(self, max_bytes: int = 64_000) -> str:
        """The end of the server's log."""

    @abstractmethod
    def stop(self, *, hurry: bool = False) -> ProcessExit:
        """End the server and everything it started. Safe to call again.

        Args:
            hurry: Somebody waits for the end: not the whole grace period, a few seconds at most.
        """


class Launcher(ABC):
    """How servers are brought up on the node where this runs. Stateless."""

    name: ClassVar[str]

    @abstractmethod
    def start(self, request: LaunchRequest) -> Server:
        """Start the server and return at once, before it is ready.

        Raises:
            LaunchError: it cannot be started at all; nothing is left behind.
        """

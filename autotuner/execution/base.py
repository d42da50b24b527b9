"""What the driver asks of a place where attempts run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from autotuner.node.events import AttemptEvent, AttemptOrder
from autotuner.spec.experiment import FailureKind

__all__ = ["AttemptLost", "Executor", "ExecutorEvent", "Node", "Slot"]


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster, as large as it is when idle."""

    id: str
    host: str
    gpus: int
    cpus: int
    gpu_model: str | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one attempt: the node, and what is reserved on it."""

    node: Node
    gpus: int
    cpus: int
    exclusive: bool = False
    """No other attempt shares the node."""


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """The attempt's process or node is gone; no further event follows."""

    kind: FailureKind
    message: str


ExecutorEvent = AttemptEvent | AttemptLost


class Executor(ABC):
    """Carries attempts to nodes and their events back; a context manager that ends them all."""

    def __enter__(self) -> Executor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def dashboard(self) -> str | None:
        """Where a person can watch, and how to get in; None where there is nothing to see."""
        return None

    @abstractmethod
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that are alive now."""

    @abstractmethod
    def submit(self, order: AttemptOrder, slot: Slot) -> None:
        """Start the attempt on the slot and return at once. The slot must be free."""

    @abstractmethod
    def poll(self, timeout_s: float) -> Sequence[tuple[str, ExecutorEvent]]:
        """Events since the last call as (attempt id, event), in order for each attempt.

        Waits up to ``timeout_s`` for the first. Every submitted attempt ends with exactly one
        `AttemptEnded` or `AttemptLost`. One that ended with a ``slot_fault`` keeps its slot,
        until `SlotCleared` follows or it is killed.
        """

    @abstractmethod
    def stop(self, attempt_id: str, reason: str) -> None:
        """Ask the attempt to end as cancelled; its last events still arrive."""

    @abstractmethod
    def kill(self, attempt_id: str) -> None:
        """End the attempt at once, and what it left; `AttemptLost` follows if it had not ended."""

    @abstractmethod
    def close(self) -> None:
        """End everything that still runs."""

"""What the driver asks of a place where attempts run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, TypeVar

from autotuner.execution.metrics import Sample
from autotuner.node.events import AttemptEvent, AttemptOrder
from autotuner.spec.experiment import FailureKind
from autotuner.spec.server import Footprint

__all__ = ["AttemptLost", "Executor", "ExecutorEvent", "Node", "NodeAnswer", "Slot"]

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster, as large as it is when idle."""

    id: str
    host: str
    gpus: int
    cpus: int
    gpu_model: str | None = None
    quotas: Mapping[str, int] = field(default_factory=dict, hash=False)
    """Custom resources: how much the node may give out of what lies elsewhere."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one attempt: its nodes, and what is reserved on each of them."""

    node: Node
    """Where the load comes from, and rank 0 of a server that spans several nodes."""
    gpus: int
    cpus: int
    exclusive: bool = False
    """No other attempt shares the node."""
    quota: str | None = None
    """Custom resource of the node that is reserved as well."""
    quota_share: int = 0
    """How much of it."""
    others: tuple[Node, ...] = ()
    """The further nodes, in order of rank."""

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All of them, in order of rank."""
        return (self.node, *self.others)

    @property
    def held_gpus(self) -> int:
        """GPUs that nobody else gets, on all nodes, or elsewhere by a quota."""
        return self.gpus * len(self.nodes) + self.quota_share


@dataclass(frozen=True, slots=True)
class NodeAnswer(Generic[Value]):
    """What came back of a call on one node."""

    node: Node
    value: Value | None
    problem: str | None
    """Why there is no value; None where there is one."""
    sent_s: float
    """The driver's wall clock when it asked."""
    received_s: float
    """The same when the answer was there, or was given up."""


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """The attempt's process or node is gone; no further event follows."""

    kind: FailureKind
    message: str
    blamed_rank: int = 0
    """Of a slot with several nodes: the rank on whose node it was lost."""


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

    @property
    def can_grow(self) -> bool:
        """Whether the cluster may add nodes by itself; most cannot."""
        return False

    def held_by_others(self) -> tuple[Slot, ...]:
        """What other studies and jobs hold of the nodes: not ours to give out, and not for ever."""
        return ()

    def want(self, demand: Mapping[Footprint, int]) -> None:
        """Say what the cluster should be able to hold at once, and how often; empty: nothing.

        It replaces what was said before. Where the cluster cannot grow, it changes nothing.
        """
        return

    @abstractmethod
    def ask_nodes(
        self,
        calls: Mapping[Node, Callable[[], Value]],
        *,
        timeout_s: float,
        given_up: Callable[[], bool] = lambda: False,
    ) -> tuple[NodeAnswer[Value], ...]:
        """Make each call on its node, all at the same time; answers in the order of ``calls``.

        A call reserves nothing, so that it also runs beside a study. What has not answered after
        ``timeout_s`` has a problem instead of a value: a node may be gone without a sign.

        Args:
            given_up: Asked several times a second: whether to wait no longer.
        """

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

    def publish(self, samples: Iterable[Sample]) -> None:  # noqa: B027, most have nobody to tell
        """Show these numbers, and none else, to who draws metrics; nothing where nobody does."""

    @abstractmethod
    def close(self) -> None:
        """End everything that still runs."""

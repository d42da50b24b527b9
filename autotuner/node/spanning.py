"""A server that spans several nodes, as the attempt on the node of rank 0 sees it.

One rank's end is the end of all: what is left of a server without one of its parts hangs, or
answers with errors, and would be measured as if it were slow.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from autotuner.engines.base import Rank
from autotuner.launchers.base import LaunchFault, Server
from autotuner.node.events import AttemptOrder
from autotuner.node.rank import RankEnded, RankReady, RankState
from autotuner.spec.experiment import FailureKind
from autotuner.supervision.process import ProcessExit

__all__ = ["Peer", "PeerLostError", "Span", "SpanningServer", "Watched"]

_ASK_S = 10.0
_LOOK_S = 0.5
_SILENT_S = 60.0
"""A rank that cannot be reached for so long is lost."""
_SETTLE_S = 2.0
"""After the first end of a rank: for the others to say whether theirs came before it."""
_TAIL_CHARACTERS = 32_000
_LOST = "lost"


class PeerLostError(Exception):
    """A further node of the attempt, or what ran for us on it, is gone; never leaves node."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message


class Peer(ABC):
    """A further node of the attempt: `RankHost`, wherever it is.

    Any call raises `PeerLostError` where nobody is there to answer, and TimeoutError where no
    answer came in time.
    """

    host: str
    """Name of the node, as the cluster knows it."""

    @abstractmethod
    def prepare(self, order: AttemptOrder, *, timeout_s: float) -> RankReady: ...

    @abstractmethod
    def start(self, rank: Rank, *, timeout_s: float) -> str | None: ...

    @abstractmethod
    def version(self, *, timeout_s: float) -> str | None: ...

    @abstractmethod
    def state(self, *, timeout_s: float) -> RankState: ...

    @abstractmethod
    def log_tail(self, *, timeout_s: float) -> str: ...

    @abstractmethod
    def stop(self, *, hurry: bool, timeout_s: float) -> None: ...

    @abstractmethod
    def finish(self, *, hurry: bool, completed: bool, timeout_s: float) -> RankEnded: ...

    @abstractmethod
    def is_free(self, *, timeout_s: float) -> bool: ...

    @abstractmethod
    def silent(self) -> PeerLostError:
        """What a silence that has lasted too long means: whether its node still lives."""


@dataclass(frozen=True, slots=True)
class Span:
    """The nodes of an attempt whose server spans several, seen from rank 0's."""

    address: str
    """Rank 0's node, as the others reach it."""
    peers: tuple[Peer, ...]
    """In order of rank, from 1."""


class Watched(threading.Thread):
    """One rank under watch, from the start of its process to its end or loss."""

    def __init__(self, number: int, peer: Peer) -> None:
        super().__init__(name=f"watches rank {number}", daemon=True)
        self.number = number
        self.peer = peer
        self.exit: ProcessExit | None = None
        self.lost: PeerLostError | None = None
        self.ended_at = float("inf")
        self.answered_at = time.monotonic()
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(_LOOK_S) and self.ended_at == float("inf"):
            try:
                self._note(self.peer.state(timeout_s=_ASK_S))
            except PeerLostError as error:
                self._note_loss(error)
            except TimeoutError:
                if time.monotonic() - self.answered_at > _SILENT_S:
                    self._note_loss(self.peer.silent())

    def stop(self) -> None:
        """Watch no longer: what happens from now on is our own doing."""
        self._stopped.set()

    @property
    def name_and_end(self) -> str:
        who = f"rank {self.number} on {self.peer.host}"
        if self.lost is not None:
            return f"{who} is gone: {self.lost.message}"
        return f"{who} ended by itself ({self.exit})"

    def _note(self, state: RankState) -> None:
        now = time.monotonic()
        self.answered_at = now
        if state.exit is not None:
            self.exit = state.exit
            self.ended_at = now - state.ended_s_ago

    def _note_loss(self, error: PeerLostError) -> None:
        self.lost = error
        self.ended_at = time.monotonic()


class SpanningServer(Server):
    """Rank 0's server, which ends with the first rank that does.

    Args:
        host: Rank 0's.
        ranks: The others, in their order.
        end_ranks: Begins the end of the others; told whether somebody waits for it.
    """

    def __init__(
        self,
        own: Server,
        host: str,
        ranks: Sequence[Watched],
        *,
        end_ranks: Callable[[bool], None],
    ) -> None:
        self._own = own
        self._host = host
        self._ranks = tuple(ranks)
        self._end_ranks = end_ranks
        self.blamed = 0
        """The rank that ended first, or whose node was lost; known once `fault` was."""
        self._ended_since: float | None = None
        self._stopped: ProcessExit | None = None
        for rank in self._ranks:
            rank.start()

    @property
    def url(self) -> str | None:
        return self._own.url

    @property
    def pid(self) -> int | None:
        return self._own.pid

    @property
    def facts(self) -> Mapping[str, object]:
        return self._own.facts

    def ask(self, command: Sequence[str]) -> str | None:
        return self._own.ask(command)

    @property
    def exit(self) -> ProcessExit | None:
        if self._stopped is not None:
            return self._stopped
        if (own := self._own.exit) is not None:
            return own
        if not (ended := self._ended):
            return None
        return ended[0].exit or ProcessExit(returncode=None, ended_by=_LOST)

    @property
    def fault(self) -> LaunchFault | None:
        """Which rank has ended, and why; takes its time to hear of all of them."""
        if self.exit is None:
            return self._own.fault
        self._settle()
        ends = [LaunchFault(_kind_of_end(rank), rank.name_and_end) for rank in self._ended]
        first = self._ended[0] if ends and self._is_first(self._ended[0]) else None
        self.blamed = 0 if first is None else first.number
        if (own := self._own.exit) is not None:
            said = f"rank 0 on {self._host} ended by itself ({own})"
            place = 0 if first is None else 1
            ends.insert(place, LaunchFault(FailureKind.SERVER_CRASHED, said))
        return LaunchFault(ends[0].kind, "; then ".join(end.message for end in ends))

    def log_tail(self, max_bytes: int = 64_000) -> str:
        """The ends of the logs of all ranks that can be heard, the first that ended last."""
        own = self._own.log_tail(max_bytes)
        ended = self._ended
        heard = [_tail_of(rank) for rank in reversed(ended or self._ranks) if rank.lost is None]
        if ended and not self._is_first(ended[0]):
            return "".join(heard) + own
        return own + "".join(heard)

    def stop(self, *, hurry: bool = False) -> ProcessExit:
        """As in `Server`; returns when rank 0 has ended, the others may still be at it."""
        for rank in self._ranks:
            rank.stop()
        self._end_ranks(hurry)
        self._stopped = self._own.stop(hurry=hurry)
        return self._stopped

    @property
    def _ended(self) -> list[Watched]:
        """Ranks that ended, those lost first: a rank that crashes takes no node with it."""
        ended = [rank for rank in self._ranks if rank.ended_at < float("inf")]
        return sorted(ended, key=lambda rank: (rank.lost is None, rank.ended_at))

    def _is_first(self, rank: Watched) -> bool:
        """Whether it ended before rank 0 did."""
        if rank.lost is not None or self._own.exit is None:
            return True
        return rank.ended_at <= time.monotonic() - RankState.of(self._own).ended_s_ago

    def _settle(self) -> None:
        """Wait until every rank has ended, or has answered well after the first end."""
        since = self._ended_since = self._ended_since or time.monotonic()
        while self._stopped is None and not (
            # Rank 0 may have ended first, and its tree be cleared a little longer than another's.
            (self._own.exit is not None or time.monotonic() > since + _SETTLE_S)
            and all(
                rank.ended_at < float("inf") or rank.answered_at > since + _SETTLE_S
                for rank in self._ranks
            )
        ):
            time.sleep(_LOOK_S)


def _kind_of_end(rank: Watched) -> FailureKind:
    return FailureKind.SERVER_CRASHED if rank.lost is None else rank.lost.kind


def _tail_of(rank: Watched) -> str:
    try:
        log = rank.peer.log_tail(timeout_s=_ASK_S)[-_TAIL_CHARACTERS:]
    except (PeerLostError, TimeoutError):
        return ""
    return f"\n--- rank {rank.number} on {rank.peer.host} ---\n{log}"

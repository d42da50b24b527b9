"""The further ranks of an attempt, from their pre-flight to their end: all of them, or none."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import TypeVar

from autotuner.engines.base import Rank
from autotuner.errors import LaunchError
from autotuner.launchers.process import free_port
from autotuner.launchers.registry import load_launcher
from autotuner.node.compile_cache import CompileCache
from autotuner.node.events import AttemptOrder
from autotuner.node.facts import host_name
from autotuner.node.failures import AttemptCancelledError, AttemptFailedError
from autotuner.node.preparation import Preparation
from autotuner.node.rank import RankEnded, RankReady
from autotuner.node.spanning import Peer, PeerLostError, Span, SpanningServer, Watched
from autotuner.spec.experiment import Cancelled, Failed, FailureKind, Phase

__all__ = ["Ranks"]

Value = TypeVar("Value")

_PREFLIGHT_S = 120.0
"""Beyond the devices: the rank's own process, leases of dead attempts."""
_START_S = 60.0
_CLEARING_S = 45.0
"""Beyond the grace period: what a supervisor may take to clear a stubborn tree, and the log."""
_LOOK_S = 0.2
_RECHECK_S = 5.0
_LET_GO_S = 1.0


class Ranks:
    """Ranks 1 and up. Calls go to all of them at once."""

    def __init__(
        self, span: Span, order: AttemptOrder, should_stop: Callable[[], str | None]
    ) -> None:
        self.slot_fault: str | None = None
        """What is wrong with the devices of a rank."""
        self.logs: dict[str, str] = {}
        self._span = span
        self._order = order
        self._should_stop = should_stop
        self._peers = dict(enumerate(span.peers, start=1))
        # Two for each: the end must not wait for a pre-flight that it is to end.
        self._pool = ThreadPoolExecutor(2 * len(span.peers), thread_name_prefix="rank")
        self._hosts = {number: peer.host for number, peer in self._peers.items()}
        self._blamed = 0
        self._server: SpanningServer | None = None
        self._preparing: dict[int, Future[RankReady]] = {}
        self._ending: dict[int, Future[RankEnded]] = {}

    @property
    def address(self) -> str:
        """Rank 0's node, as the others reach it."""
        return self._span.address

    @property
    def blamed(self) -> int:
        """The rank at which the attempt failed, as far as one can tell."""
        return self._blamed or (self._server.blamed if self._server is not None else 0)

    @property
    def hosts(self) -> list[str]:
        """Of all ranks, in their order; by their own word as soon as they have given it."""
        return [host_name(), *self._hosts.values()]

    def prepare(self) -> None:
        """Begin the pre-flight of all; `await_ready` hears how it went."""
        timeout_s = self._order.timeouts.device_s + _PREFLIGHT_S
        self._preparing = self._ask(lambda peer: peer.prepare(self._order, timeout_s=timeout_s))

    def await_ready(self) -> None:
        """Return once all are ready.

        Raises:
            AttemptFailedError: one of them never will be.
            AttemptCancelledError: somebody wants the attempt to end.
        """
        for number, ready in self._answers(self._preparing, Phase.PREFLIGHT):
            self._hosts[number] = ready.host
            if ready.problem is not None:
                raise self._failed(
                    number, FailureKind.LAUNCH_FAILED, Phase.PREFLIGHT, ready.problem
                )
            if ready.slot_fault is not None:
                self.slot_fault = f"{self._named(number)}: {ready.slot_fault}"
                problem = f"before the start, {ready.slot_fault} (timeouts.device_s)"
                raise self._failed(number, FailureKind.DIRTY_GPU, Phase.PREFLIGHT, problem)

    def start(
        self,
        prepared: Preparation,
        on_command: Callable[[str], None],
        cache: CompileCache | None = None,
    ) -> SpanningServer:
        """Start rank 0 here and the others where they are.

        Raises:
            LaunchError: rank 0 cannot be started.
            AttemptFailedError: another one cannot, or is gone; nothing is left here.
            AttemptCancelledError: somebody wants the attempt to end.
        """
        try:
            port = free_port(self.address)
        except OSError as error:
            raise LaunchError(
                f"{self.address} is no address of this node, though its Ray was started with it "
                f"(ray start --node-ip-address): {error}"
            ) from error
        own = Rank(0, len(self._peers) + 1, self.address, port)
        launcher = load_launcher(prepared.order.attempt.experiment.server.launcher)
        server = launcher.start(prepared.launch_request(on_command, cache, own))
        watched = [Watched(number, peer) for number, peer in self._peers.items()]
        self._server = SpanningServer(server, host_name(), watched, end_ranks=self._stop)
        try:
            starting = {
                number: self._pool.submit(
                    peer.start, replace(own, number=number), timeout_s=_START_S
                )
                for number, peer in self._peers.items()
            }
            for number, problem in self._answers(starting, Phase.SERVER_START):
                if problem is not None:
                    raise self._failed(
                        number, FailureKind.LAUNCH_FAILED, Phase.SERVER_START, problem
                    )
        except BaseException:
            self._server.stop(hurry=True)
            raise
        return self._server

    def check_versions(self, version: object) -> None:
        """See to it that all ranks run the engine of rank 0, whose version is given.

        Raises:
            AttemptFailedError: another version runs at a rank, or it is gone.
            AttemptCancelledError: somebody wants the attempt to end.
        """
        asked = self._ask(lambda peer: peer.version(timeout_s=_START_S))
        for number, found in self._answers(asked, Phase.SERVER_START):
            if found is not None and version is not None and found != version:
                problem = (
                    f"it has version {found} of the engine, rank 0 has {version}: install the "
                    "same one on all nodes"
                )
                raise self._failed(number, FailureKind.LAUNCH_FAILED, Phase.SERVER_START, problem)

    def finish(self, *, hurry: bool, completed: bool) -> None:
        """Begin the end of all; `await_end` hears what they leave.

        Args:
            hurry: Somebody waits for the end.
            completed: Whether the attempt has come to all of its results.
        """
        times = self._order.timeouts
        timeout_s = times.stop_s + _CLEARING_S + (0.0 if hurry else times.device_s)

        def end(peer: Peer) -> RankEnded:
            peer.stop(hurry=hurry, timeout_s=timeout_s)  # also of one that is still preparing
            return peer.finish(hurry=hurry, completed=completed, timeout_s=timeout_s)

        self._ending = self._ask(end)

    def await_end(self) -> None:
        """Collect logs and faults. Never raises for a rank that is gone."""
        for number, future in self._ending.items():
            with contextlib.suppress(PeerLostError, TimeoutError):
                ended = future.result()
                if ended.log:
                    self.logs[f"server-rank{number}.log"] = ended.log
                if ended.slot_fault is not None and self.slot_fault is None:
                    self.slot_fault = f"after the end, {self._named(number)}: {ended.slot_fault}"
        self._pool.shutdown(wait=False, cancel_futures=True)

    def hold_until_free(self) -> bool:
        """Wait, for as long as it takes, for ranks with a fault; False where told to stop.

        The devices of a rank that is gone are free with it: it kept nobody off them any more.
        """
        while not all(map(_is_free, self._peers.values())):
            deadline = time.monotonic() + _RECHECK_S
            while time.monotonic() < deadline:
                if self._should_stop():
                    self._let_go()
                    return False
                time.sleep(_LOOK_S)
        return True

    def _let_go(self) -> None:
        for peer in self._peers.values():
            with contextlib.suppress(PeerLostError, TimeoutError):
                peer.stop(hurry=True, timeout_s=_LET_GO_S)

    def _stop(self, hurry: bool) -> None:
        """Begin to stop all, as rank 0 is being stopped; `finish` hears how it went."""
        timeout_s = self._order.timeouts.stop_s + _CLEARING_S
        self._ask(lambda peer: peer.stop(hurry=hurry, timeout_s=timeout_s))

    def _ask(self, call: Callable[[Peer], Value]) -> dict[int, Future[Value]]:
        return {number: self._pool.submit(call, peer) for number, peer in self._peers.items()}

    def _answers(
        self, futures: dict[int, Future[Value]], phase: Phase
    ) -> Iterator[tuple[int, Value]]:
        """What comes back, first come first."""
        waiting = dict(futures)
        while waiting:
            if reason := self._should_stop():
                raise AttemptCancelledError(Cancelled(reason))
            wait(waiting.values(), timeout=_LOOK_S, return_when="FIRST_COMPLETED")
            for number in [n for n, future in waiting.items() if future.done()]:
                try:
                    answer = waiting.pop(number).result()
                except (PeerLostError, TimeoutError) as error:
                    silent = self._peers[number].silent
                    lost = error if isinstance(error, PeerLostError) else silent()
                    raise self._failed(number, lost.kind, phase, lost.message) from error
                yield number, answer

    def _failed(
        self, number: int, kind: FailureKind, phase: Phase, problem: str
    ) -> AttemptFailedError:
        self._blamed = number
        return AttemptFailedError(Failed(kind, phase, f"{self._named(number)}: {problem}"))

    def _named(self, number: int) -> str:
        return f"rank {number} on {self._hosts[number]}"


def _is_free(peer: Peer) -> bool:
    try:
        return peer.is_free(timeout_s=_START_S)
    except PeerLostError:
        return True
    except TimeoutError:
        return False

"""A study that waits and runs nothing: how long that is borne, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from autotuner.driver.placing.dispatching import Dispatcher
from autotuner.driver.progress import RoomAwaited, StudyEvent
from autotuner.errors import ClusterError
from autotuner.execution.base import Executor, Slot
from autotuner.execution.fitting import does_not_fit

__all__ = ["IdleWatch"]

_PATIENCE_S = 600.0
"""For a node that could hold what is left to come back."""
_GROWTH_PATIENCE_S = 3600.0
"""The same where the cluster may add nodes: a cloud may be out of them, an image is large."""
_TELL_S = 15.0
_TELL_AGAIN_S = 600.0


class IdleWatch:
    """Looks at a study now and then. All times are of one clock that never goes back.

    While others hold what would fit, there is no end to patience: they will leave.
    """

    def __init__(
        self, executor: Executor, dispatcher: Dispatcher, emit: Callable[[StudyEvent], None]
    ) -> None:
        self._executor = executor
        self._dispatcher = dispatcher
        self._emit = emit
        self._since_s: float | None = None
        self._tell_at_s = 0.0

    def look(
        self, now_s: float, *, anything_runs: bool, faults: Sequence[tuple[Slot, str]]
    ) -> None:
        """Say what is waited for, from time to time.

        Args:
            faults: Slots that nobody can use, and why.

        Raises:
            ClusterError: nothing has run for too long, and nothing that waits would fit.
        """
        if anything_runs or not self._dispatcher.count:
            self._since_s = None
            return
        if self._since_s is None:
            self._since_s, self._tell_at_s = now_s, now_s + _TELL_S
        idle_s = now_s - self._since_s
        others = self._dispatcher.fits_without_others((slot for slot, _ in faults), now_s)
        if now_s > self._tell_at_s:
            self._tell_at_s = now_s + _TELL_AGAIN_S
            self._emit(RoomAwaited(self._dispatcher.what_waits(), others, idle_s))
        patience_s = _GROWTH_PATIENCE_S if self._executor.can_grow else _PATIENCE_S
        if idle_s > patience_s and not others:
            raise ClusterError(self._why(now_s, faults))

    def _why(self, now_s: float, faults: Sequence[tuple[Slot, str]]) -> str:
        if not faults:
            return does_not_fit(self._dispatcher.what_waits(), self._dispatcher.nodes(now_s))
        held = "; ".join(f"{slot.node.host}: {fault}" for slot, fault in faults)
        return (
            f"{self._dispatcher.count} experiments wait for devices that do not become free: "
            f"{held}. End what holds them; then the same command goes on"
        )

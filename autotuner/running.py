"""An attempt between its submission and its end, as the driver sees it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from autotuner.execution.base import Slot
from autotuner.node.events import AttemptOrder
from autotuner.spec.experiment import Attempt, Phase

__all__ = ["Running"]

_OVERDUE_SLACK_S = 120.0
_STOP_PATIENCE_S = 5.0
"""How long a stopped attempt may take to end in order before it is killed."""
_WAITING_S = 60.0
"""An attempt without a sign of life for so long is reported: it may wait for others' devices."""


@dataclass
class Running:
    """Times are of `time.monotonic`."""

    order: AttemptOrder
    slot: Slot
    neighbours: int
    """Attempts of this study on the node when this one started."""
    submitted_at: float = field(default_factory=time.monotonic)
    first_event_at: float | None = None
    reported_waiting: bool = False
    phase: Phase = Phase.PREFLIGHT
    has_measured: bool = False
    """Whether a level of it has a valid measurement."""
    stopping_since: float | None = None

    @property
    def attempt(self) -> Attempt:
        return self.order.attempt

    def is_overdue(self, now: float) -> bool:
        """Whether the node has missed all of its own deadlines.

        They begin with the first sign of life: until then others may hold what the slot promised.
        """
        if self.first_event_at is None:
            return False
        return now - self.first_event_at > self.order.longest_s + _OVERDUE_SLACK_S

    def is_to_be_killed(self, now: float) -> bool:
        """Whether it was asked to stop and does not."""
        return self.stopping_since is not None and now > self.stopping_since + _STOP_PATIENCE_S

    def is_waiting(self, now: float) -> bool:
        """Whether it has shown no sign of life for long enough to be told of, once."""
        silent_s = now - self.submitted_at
        return self.first_event_at is None and silent_s > _WAITING_S and not self.reported_waiting

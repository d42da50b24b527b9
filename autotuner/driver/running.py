"""An attempt between its submission and its end, as the driver sees it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from autotuner.execution.base import Slot
from autotuner.node.events import AttemptOrder
from autotuner.spec.experiment import Attempt, Cancelled, Failed, FailureKind, Outcome, Phase

__all__ = ["Running"]

_OVERDUE = "the attempt outlived all its time-outs"
_OVERDUE_SLACK_S = 120.0
_STOP_PATIENCE_S = 5.0
"""How long a stopped attempt may take to end in order before it is killed."""
_ONE_GO_S = 5.0
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
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    """By the driver's clock: of an attempt that is lost, its node tells none."""
    first_event_at: float | None = None
    reported_waiting: bool = False
    phase: Phase = Phase.PREFLIGHT
    longest_s: float = field(init=False)
    """After so many seconds the node must have ended it by itself."""
    has_measured: bool = False
    """Whether a level of it has a valid measurement."""
    stopping_since: float | None = None
    load_since: float | None = None
    _neighbours_now: int = 0
    _neighbours_seen_at: float = 0.0
    _neighbour_s: float = 0.0
    """Seconds under load, times the neighbours that it had."""

    def __post_init__(self) -> None:
        self.longest_s = self.order.longest_s

    @property
    def attempt(self) -> Attempt:
        return self.order.attempt

    @property
    def gpus_reserved(self) -> int:
        """GPUs that nobody else could have: of whole nodes also those that it does not use."""
        footprint = self.attempt.experiment.footprint
        if footprint.quota is not None:
            return footprint.gpus
        return self.slot.gpus * len(self.slot.nodes)

    def enter(self, phase: Phase, now: float) -> None:
        self.phase = phase
        if phase is Phase.LOAD:
            self.load_since = self._neighbours_seen_at = now

    def see_neighbours(self, count: int, now: float) -> None:
        """From now on, so many other attempts of this study are on the node."""
        if self.load_since is not None:
            self._neighbour_s += self._neighbours_now * (now - self._neighbours_seen_at)
        self._neighbours_now, self._neighbours_seen_at = count, now

    def neighbours_mean(self, now: float) -> float | None:
        """Neighbours under load, averaged over time; None before the load."""
        if self.load_since is None or now <= self.load_since:
            return None
        self.see_neighbours(self._neighbours_now, now)
        return self._neighbour_s / (now - self.load_since)

    def outcome_of_end(self, outcome: Outcome, why_ending: str | None) -> Outcome:
        """What an attempt that says it ended so has come to.

        Args:
            why_ending: Why the study ends; None while it goes on.
        """
        if not isinstance(outcome, Cancelled) or why_ending is not None:
            return outcome
        if self.stopping_since is not None:
            return Failed(FailureKind.SERVER_HUNG, self.phase, _OVERDUE)
        # The driver did not want it: the node has given it up.
        return Failed(FailureKind.ACTOR_LOST, self.phase, outcome.reason)

    def outcome_of_loss(self, kind: FailureKind, message: str, why_ending: str | None) -> Outcome:
        """What an attempt that was lost has come to."""
        if why_ending is not None:
            return Cancelled(why_ending)
        if self.stopping_since is not None:
            kind, message = FailureKind.SERVER_HUNG, _OVERDUE
        return Failed(kind, self.phase, message)

    def is_overdue(self, now: float) -> bool:
        """Whether the node has missed all of its own deadlines.

        They begin with the first sign of life: until then others may hold what the slot promised.
        """
        if self.first_event_at is None:
            return False
        return now - self.first_event_at > self.longest_s + _OVERDUE_SLACK_S

    def is_to_be_killed(self, now: float) -> bool:
        """Whether it was asked to stop and does not."""
        return self.stopping_since is not None and now > self.stopping_since + _STOP_PATIENCE_S

    def began_no_later_than(self, other: Running) -> bool:
        """Whether it was submitted before the other, or in one go with it."""
        return self.submitted_at <= other.submitted_at + _ONE_GO_S

    def is_waiting(self, now: float) -> bool:
        """Whether it has shown no sign of life for long enough to be told of, once."""
        silent_s = now - self.submitted_at
        return self.first_event_at is None and silent_s > _WAITING_S and not self.reported_waiting

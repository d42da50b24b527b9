"""What an attempt tells the driver while it runs; values that travel through Ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from autotuner.results.levels import LevelResult
from autotuner.spec.experiment import Attempt, Outcome, Phase, Timeouts
from autotuner.spec.study import BenchConfig

__all__ = [
    "AttemptEnded",
    "AttemptEvent",
    "AttemptOrder",
    "LevelMeasured",
    "PhaseStarted",
    "SlotCleared",
]

_PREFLIGHT_S = 120.0
"""Beyond the devices: leases of dead attempts, the load generator's version."""


@dataclass(frozen=True, slots=True)
class AttemptOrder:
    """What a node is told to do."""

    attempt: Attempt
    bench: BenchConfig
    timeouts: Timeouts

    @property
    def longest_s(self) -> float:
        """Seconds after which the node must have ended the attempt by itself."""
        times = self.timeouts
        workloads = self.attempt.experiment.workloads
        boots_s = 300.0 * sum(len(w.concurrency) for w in workloads)
        load_s = sum((w.stop.seconds + times.level_grace_s) * len(w.concurrency) for w in workloads)
        flights_s = _PREFLIGHT_S + 2 * times.device_s
        return (
            flights_s
            + times.start_s
            + times.warmup_s * len(workloads)
            + load_s
            + boots_s
            + times.stop_s
        )


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    phase: Phase


@dataclass(frozen=True, slots=True)
class LevelMeasured:
    result: LevelResult


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """Always the last event of an attempt that was not lost, but for a slot with a fault."""

    outcome: Outcome
    facts: Mapping[str, object] = field(default_factory=dict)
    """Columns of the experiment rows that only the node knows."""
    logs: Mapping[str, str] = field(default_factory=dict)
    """File name -> end of the log, secrets masked."""
    slot_fault: str | None = None
    """What is wrong with the devices: nobody may use them until `SlotCleared`."""


@dataclass(frozen=True, slots=True)
class SlotCleared:
    """After an end with a ``slot_fault``: the devices are free again."""


AttemptEvent = PhaseStarted | LevelMeasured | AttemptEnded | SlotCleared

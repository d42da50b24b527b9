"""What an attempt tells the driver while it runs; values that travel through Ray."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from autotuner.results.levels import LevelResult
from autotuner.search.level_plans import AllLevels, LevelPlan
from autotuner.spec.experiment import Attempt, Outcome, Phase, Timeouts
from autotuner.spec.judging import Judging
from autotuner.spec.ordering import drawn
from autotuner.spec.study import BenchConfig
from autotuner.spec.workload import Level, Workload

__all__ = [
    "AttemptEnded",
    "AttemptEvent",
    "AttemptOrder",
    "LevelMeasured",
    "PhaseStarted",
    "SlotCleared",
]

T = TypeVar("T")

_PREFLIGHT_S = 120.0
"""Beyond the devices: leases of dead attempts, the load generator's version."""


@dataclass(frozen=True, slots=True)
class AttemptOrder:
    """What a node is told to do."""

    attempt: Attempt
    bench: BenchConfig
    timeouts: Timeouts
    order_seed: int | None = None
    """Levels run in an order drawn with this seed; None: in plan order."""
    plan: LevelPlan | None = None
    """Decides after each level which is next, and which are not worth it; None: all are run."""
    judging: Judging | None = None
    """How the study judges levels, for a plan that looks at goodput; None: none does."""

    def with_plan(self, plan: LevelPlan | None, judging: Judging) -> AttemptOrder:
        """The order with a plan of levels.

        One that decides nothing is no plan: its levels run in the drawn order, repeats and all.

        Args:
            judging: How the study judges levels.
        """
        if plan is not None:
            plan = plan.in_order(self.levels)
            if isinstance(plan, AllLevels) and plan.levels == self.levels:
                plan = None
        return replace(self, plan=plan, judging=None if plan is None else judging)

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """The workloads as they are run."""
        return tuple(self._drawn(self.attempt.experiment.workloads, lambda w: w.name))

    def levels_of(self, workload: Workload) -> tuple[Level, ...]:
        """The workload's levels as they are run, each repeat in an order of its own.

        A level that always followed the same other one would be measured with its leftovers.
        """
        levels = self._drawn(workload.levels, str)
        return tuple(sorted(levels, key=lambda level: level.repeat))

    @property
    def levels(self) -> tuple[Level, ...]:
        """All levels as they are run; with a plan, those that it may choose from."""
        if self.plan is not None:
            return self.plan.most
        return tuple(level for w in self.workloads for level in self.levels_of(w))

    @property
    def known_levels(self) -> tuple[Level, ...]:
        """As they are run; none where a plan decides level by level."""
        fixed = self.plan is None or isinstance(self.plan, AllLevels)
        return self.levels if fixed else ()

    def _drawn(self, items: Sequence[T], key: Callable[[T], str]) -> Sequence[T]:
        if self.order_seed is None:
            return items
        # By attempt, so that another server of the same experiment gets another order.
        return drawn(items, self.order_seed, lambda item: f"{self.attempt.id} {key(item)}")

    @property
    def longest_s(self) -> float:
        """Seconds after which the node must have ended the attempt by itself."""
        times = self.timeouts
        workloads = self.attempt.experiment.workloads
        plan = self.plan
        count = {w.name: len(w.levels) if plan is None else plan.most_of(w.name) for w in workloads}
        boots_s = 300.0 * sum(count.values())
        load_s = sum((w.stop.seconds + times.level_grace_s) * count[w.name] for w in workloads)
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
    blamed_rank: int = 0
    """Of a failed one whose server spans nodes: the rank on whose node it failed."""


@dataclass(frozen=True, slots=True)
class SlotCleared:
    """After an end with a ``slot_fault``: the devices are free again."""


AttemptEvent = PhaseStarted | LevelMeasured | AttemptEnded | SlotCleared

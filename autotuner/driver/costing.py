"""What a study will take before it starts: experiments, GPU-hours, time and money, as expected.

Nothing is known of the servers yet, so that every level is taken to run to its time limit.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from autotuner.planning import Plan
from autotuner.search.base import Strategy
from autotuner.spec.experiment import Experiment

__all__ = ["Cost", "Part", "expected_cost"]

_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Part:
    """What a part of the study takes."""

    name: str
    servers: int
    """Server starts: experiments, or repeats of them."""
    is_bound: bool
    """Whether it may be fewer."""
    gpu_hours: float
    server_hours: float
    """One server after the other."""
    hours: float | None
    """On the GPUs that it may have; None where it is not known how many these are."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a whole study."""

    parts: tuple[Part, ...]
    gpus: int | None
    """On which the hours are counted."""
    usd_per_gpu_hour: float | None

    @property
    def total(self) -> Part:
        hours = [part.hours for part in self.parts]
        known = [one for one in hours if one is not None]
        return Part(
            "in all",
            sum(part.servers for part in self.parts),
            any(part.is_bound for part in self.parts),
            math.fsum(part.gpu_hours for part in self.parts),
            math.fsum(part.server_hours for part in self.parts),
            math.fsum(known) if len(known) == len(hours) else None,
        )

    def usd(self, part: Part) -> float | None:
        """None where there is no price."""
        price = self.usd_per_gpu_hour
        return None if price is None else part.gpu_hours * price


def expected_cost(plan: Plan, strategy: Strategy | None, gpus: int | None = None) -> Cost:
    """What the study will take.

    Args:
        strategy: None where everything is measured.
        gpus: That it may hold at once; None: its own ``max_gpus``, if it has that.
    """
    most_gpus = plan.spec.max_gpus
    gpus = gpus if most_gpus is None else min(gpus or most_gpus, most_gpus)
    everything = plan.in_order
    count, is_bound = _searched(plan, strategy, gpus)
    mean = _mean(plan, everything)
    search = Part(
        "the search" if strategy is not None else "every combination",
        count,
        is_bound,
        count * mean.gpu_h,
        count * mean.hours,
        _within(plan, _hours(plan, everything[:count], gpus)),
    )
    parts = [search]
    judging = plan.spec.judging
    if judging.finalist_servers > 1 and (most := judging.most_repeats(count)):
        repeats = [everything[index % count] for index in range(most)]
        hours = _hours(plan, repeats, gpus)
        repeated = Part("finalists again", most, True, most * mean.gpu_h, most * mean.hours, hours)
        parts.append(repeated)
    if (baseline := plan.baseline) is not None and count > 1:
        own = _mean(plan, [baseline])
        hours = _hours(plan, [baseline], gpus)
        parts.append(Part("the baseline again", 1, False, own.gpu_h, own.hours, hours))
    return Cost(tuple(parts), gpus, judging.usd_per_gpu_hour)


@dataclass(frozen=True, slots=True)
class _Mean:
    gpu_h: float
    hours: float


def _mean(plan: Plan, experiments: Sequence[Experiment]) -> _Mean:
    hours = [plan.estimated_s(experiment) / _HOUR_S for experiment in experiments]
    gpu_h = [h * e.footprint.gpus for h, e in zip(hours, experiments, strict=True)]
    return _Mean(math.fsum(gpu_h) / len(gpu_h), math.fsum(hours) / len(hours))


def _searched(plan: Plan, strategy: Strategy | None, gpus: int | None) -> tuple[int, bool]:
    """How many experiments are measured, and whether they may be fewer."""
    candidates = len(plan.experiments)
    if strategy is None:
        return candidates, False
    budget, mean = plan.spec.searching.budget, _mean(plan, plan.experiments)
    expected = strategy.expected_experiments()
    count = candidates if expected is None else min(expected, candidates)
    if budget.experiments is not None:
        count = min(count, budget.experiments)
    if budget.gpu_hours is not None and mean.gpu_h:
        count = min(count, math.ceil(budget.gpu_hours / mean.gpu_h))
    if budget.wall_hours is not None and gpus is not None and mean.gpu_h:
        at_once = max(1.0, gpus * mean.hours / mean.gpu_h)
        count = min(count, math.ceil(budget.wall_hours * at_once / mean.hours))
    return max(1, count), expected is None


def _within(plan: Plan, hours: float | None) -> float | None:
    limit = plan.spec.searching.budget.wall_hours
    return hours if hours is None or limit is None else min(hours, limit)


def _hours(plan: Plan, experiments: Sequence[Experiment], gpus: int | None) -> float | None:
    """Until all have run on so many GPUs, each as soon as there is room for it."""
    widths = [experiment.footprint.gpus for experiment in experiments]
    if gpus is None or not min(widths, default=0) or max(widths) > gpus:
        return None
    now, free, ends = 0.0, gpus, list[tuple[float, int]]()
    for experiment in sorted(experiments, key=plan.estimated_s, reverse=True):
        need = experiment.footprint.gpus
        while free < need:
            now, width = heapq.heappop(ends)
            free += width
        free -= need
        heapq.heappush(ends, (now + plan.estimated_s(experiment) / _HOUR_S, need))
    return max((end for end, _ in ends), default=0.0)

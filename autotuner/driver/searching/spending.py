"""What a search has cost so far, and whether it may cost more. Pure: no clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from autotuner.spec.searching import Budget

__all__ = ["Spent", "busy_s", "exhausted"]

_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Spent:
    """Of a search, over all runs of its study; servers that confirm finalists do not count."""

    experiments: int = 0
    """That were asked for."""
    gpu_s: float = 0.0
    """Reserved by attempts that have ended, and expected of those that run or wait."""
    wall_s: float = 0.0
    """In which the study ran."""


def exhausted(budget: Budget, spent: Spent) -> str | None:
    """Which limit keeps the search from asking for more, in a sentence; None: none does."""
    if budget.experiments is not None and spent.experiments >= budget.experiments:
        return f"max_experiments is reached: {spent.experiments:,}"
    gpu_hours = spent.gpu_s / _HOUR_S
    if budget.gpu_hours is not None and gpu_hours >= budget.gpu_hours:
        return f"max_gpu_hours is reached: {gpu_hours:.4g} of {budget.gpu_hours:g}"
    wall_hours = spent.wall_s / _HOUR_S
    if budget.wall_hours is not None and wall_hours >= budget.wall_hours:
        return f"max_wall_time is reached: {wall_hours:.3g} of {budget.wall_hours:.3g} hours"
    return None


def busy_s(spans: Iterable[tuple[datetime, datetime]]) -> float:
    """Seconds that are in at least one of the spans."""
    total, until = 0.0, None
    for start, end in sorted(spans):
        begin = start if until is None else max(start, until)
        total += max(0.0, (end - begin).total_seconds())
        until = end if until is None else max(until, end)
    return total

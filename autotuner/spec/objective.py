"""What is optimised, and what must hold."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["METRICS", "STATISTICS", "Constraint", "Direction", "Objective", "Over", "column_of"]

STATISTICS = ("mean", "p50", "p90", "p95", "p99")
"""Statistics of a metric that has a distribution over requests."""

METRICS: dict[str, bool] = {
    "ttft_s": True,
    "tpot_s": True,
    "e2e_latency_s": True,
    "output_throughput_tok_s": False,
    "total_throughput_tok_s": False,
    "output_throughput_tok_s_per_gpu": False,
    "requests_per_s": False,
    "error_rate": False,
}
"""Name of a metric of a level -> whether it takes a statistic."""


def column_of(metric: str, statistic: str | None) -> str:
    """Column of the level rows that holds the metric, e.g. ``ttft_s_p99``."""
    return f"{metric}_{statistic}" if METRICS[metric] else metric


class Direction(StrEnum):
    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


class Over(StrEnum):
    """How the levels of an experiment become one number, where no single level is named."""

    BEST = "best"
    """The best level among those that meet the constraints."""
    WORST = "worst"
    """The worst level."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One number per experiment: a metric at a named level, or over several levels.

    ``workload`` and ``concurrency`` narrow the levels that count; None means all of them.
    ``over`` says what to do when more than one remains.
    """

    name: str
    metric: str
    direction: Direction
    statistic: str | None = None
    workload: str | None = None
    concurrency: int | None = None
    over: Over | None = None

    @property
    def column(self) -> str:
        return column_of(self.metric, self.statistic)

    def describe(self) -> str:
        """The objective in words, e.g. ``maximize output_throughput_tok_s at concurrency 8``."""
        where = [self.over.value + " level"] if self.over else []
        where += [f"workload {self.workload}"] if self.workload else []
        where += [f"concurrency {self.concurrency}"] if self.concurrency else []
        place = f" at {', '.join(where)}" if where else ""
        return f"{self.direction.value} {self.column}{place}"


@dataclass(frozen=True, slots=True)
class Constraint:
    """A limit that every level the objective looks at must keep (an SLO)."""

    metric: str
    statistic: str | None
    limit: float
    upper: bool = True
    """True: at most ``limit``. False: at least ``limit``."""

    @property
    def column(self) -> str:
        return column_of(self.metric, self.statistic)

    def __str__(self) -> str:
        return f"{self.column} {'<=' if self.upper else '>='} {self.limit:g}"

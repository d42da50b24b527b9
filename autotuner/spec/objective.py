"""What is optimised, and what must hold."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "METRICS",
    "STATISTICS",
    "Constraint",
    "Direction",
    "Objective",
    "Over",
    "Penalty",
    "WeightedLevel",
    "column_of",
]

STATISTICS = ("mean", "p50", "p90", "p95", "p99")
"""Statistics of a metric that has a distribution over requests."""

METRICS: dict[str, bool] = {
    "ttft_s": True,
    "tpot_s": True,
    "itl_s": True,
    "e2e_latency_s": True,
    "output_throughput_tok_s": False,
    "total_throughput_tok_s": False,
    "output_throughput_tok_s_per_gpu": False,
    "output_tokens_per_usd": False,
    "requests_per_s": False,
    "goodput_requests_per_s": False,
    "goodput_share": False,
    "error_rate": False,
    "concurrency": False,
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
    WEIGHTED = "weighted"
    """The weighted mean of the levels under `Objective.weights`."""
    SEED_MEAN = "seed_mean"
    """The plain mean over all levels, as the first autotuner had it; for comparison with it."""


@dataclass(frozen=True, slots=True)
class WeightedLevel:
    """A term of a weighted mean: one level, or the best level of a workload.

    Without a ``concurrency``, the workload's best level among those that meet the constraints.
    """

    weight: float
    """Above 0; the weights of an objective need not add up to 1."""
    workload: str | None = None
    """None: the study's only workload."""
    concurrency: int | None = None


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
    weights: tuple[WeightedLevel, ...] = ()
    """With ``over`` weighted: the terms; empty otherwise."""

    @property
    def column(self) -> str:
        return column_of(self.metric, self.statistic)

    def describe(self) -> str:
        """The objective in words, e.g. ``maximize output_throughput_tok_s at concurrency 8``."""
        where = [_OVER_WORDS[self.over]] if self.over else []
        where += [f"workload {self.workload}"] if self.workload else []
        where += [f"concurrency {self.concurrency}"] if self.concurrency else []
        place = f" at {', '.join(where)}" if where else ""
        return f"{self.direction.value} {self.column}{place}"


_OVER_WORDS = {
    Over.BEST: "best level",
    Over.WORST: "worst level",
    Over.WEIGHTED: "weighted levels",
    Over.SEED_MEAN: "plain mean over all levels",
}


@dataclass(frozen=True, slots=True)
class Penalty:
    """What a missed soft limit costs.

    With ``violation = (value - limit) / limit`` above 0, the penalty is
    ``weight * (exp(violation / steepness) - 1)``: nothing at the limit, and continuous there.
    """

    weight: float = 1.0
    steepness: float = 0.1
    fail_ratio: float | None = None
    """A violation above this makes the experiment infeasible; None: none does."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """A limit that every level the objective looks at must keep (an SLO)."""

    metric: str
    statistic: str | None
    limit: float
    upper: bool = True
    """True: at most ``limit``. False: at least ``limit``."""
    penalty: Penalty | None = None
    """What a miss costs (a soft limit); None: a miss makes the experiment infeasible."""

    @property
    def column(self) -> str:
        return column_of(self.metric, self.statistic)

    def __str__(self) -> str:
        soft = " (soft)" if self.penalty is not None else ""
        return f"{self.column} {'<=' if self.upper else '>='} {self.limit:g}{soft}"

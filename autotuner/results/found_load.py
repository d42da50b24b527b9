"""The largest load that keeps the limits, from levels measured with noise.

How far a level is from its limits is one number, its margin: the smallest distance of all hard
limits, as a fraction of the limit, above 0 where all are kept. Of a closed loop it never rises
with the load, so that the margins of neighbours that disagree are replaced by their weighted mean
(isotonic regression), and noise cannot make a larger load look better than a smaller one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from autotuner.results.limits import LevelRow, judge_level, number
from autotuner.spec.objective import METRICS, Constraint

__all__ = ["FoundLoad", "Margin", "bracket", "found_load", "margin_of", "monotone"]

SURE = 1.96
"""Standard errors between a margin and 0 with which its sign is taken for certain."""
_LEAST_NOISE = 0.02
"""Standard error of a margin for all that requests do not tell: levels of one server differ."""
_FAR = 1.0
"""Margin of a level that keeps its limits, or misses them, by what cannot be told in numbers."""
_FAR_NOISE = 0.1
_FAILED = "failed requests"
_QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
_NORMAL_P90 = 1.2816


@dataclass(frozen=True, slots=True)
class Margin:
    """How far a load is from the limits."""

    concurrency: int
    value: float
    """As a fraction of the limit; at least 0 where all are kept."""
    noise: float
    """Its standard error."""
    limit: str
    """Column of the nearest limit, or what else is missed."""
    times: int = 1
    """Measurements of this load."""
    is_known: bool = True
    """Whether the value is a distance, and not only a sign."""

    @property
    def is_sure(self) -> bool:
        """Whether its sign is not a matter of noise."""
        return abs(self.value) > SURE * self.noise


@dataclass(frozen=True, slots=True)
class FoundLoad:
    """Where the largest load that keeps the limits lies."""

    largest: int | None
    """Measured load that keeps them, the largest by all measurements; None: none does."""
    low: int | None
    """The largest that keeps them beyond noise."""
    high: int | None
    """The smallest that misses one beyond noise; None: none does."""
    limit: str
    """Column that the loads above miss, or what else; empty where none is missed."""
    estimate: int | None = None
    """Where the limit is reached, `largest` or between it and the next that misses. Loads are
    measured in steps: taken by these alone, servers of the same step would seem equal, and those
    of neighbouring ones further apart than they are."""

    def __str__(self) -> str:
        """E.g. ``48..56 (tpot_s_p95 limits)``."""
        if self.high is None:
            return "nothing measured" if self.low is None else f"at least {self.low}"
        span = f"below {self.high}" if self.low is None else f"{self.low}..{self.high}"
        return f"{span} ({self.limit} limits)"


def found_load(
    rows: Mapping[int, LevelRow], constraints: Sequence[Constraint], failed: Iterable[int] = ()
) -> FoundLoad:
    """Read the load off the levels of a workload.

    Args:
        rows: Concurrency -> row, with its repeats and servers pooled; of valid measurements.
        failed: Concurrencies whose requests failed.
    """
    margins = [margin_of(concurrency, row, constraints) for concurrency, row in rows.items()]
    return bracket([*margins, *(margin_of(c, None, constraints) for c in failed)])


def bracket(margins: Iterable[Margin]) -> FoundLoad:
    """Where the sign of the margin changes."""
    fitted = monotone(margins)
    kept = [m for m in fitted if m.value >= 0]
    missed = [m for m in fitted if m.value < 0]
    sure = [m for m in missed if m.is_sure]
    return FoundLoad(
        kept[-1].concurrency if kept else None,
        max((m.concurrency for m in kept if m.is_sure), default=None),
        sure[0].concurrency if sure else None,
        (sure or missed)[0].limit if missed else "",
        _crossing(kept[-1], missed[0] if missed else None) if kept else None,
    )


def _crossing(below: Margin, above: Margin | None) -> int:
    """The largest load with a margin, by a straight line over the logarithm of the load."""
    if above is None or not (below.is_known and above.is_known):
        return below.concurrency
    part = below.value / (below.value - above.value)
    crossing = below.concurrency * math.pow(above.concurrency / below.concurrency, part)
    return max(below.concurrency, min(math.floor(crossing), above.concurrency - 1))


def margin_of(concurrency: int, row: LevelRow | None, constraints: Sequence[Constraint]) -> Margin:
    """The margin of a level.

    Args:
        row: None for one whose requests failed.
    """
    if row is None:
        return Margin(concurrency, -_FAR, _FAR_NOISE, _FAILED, is_known=False)
    times = int(number(row, "measurements") or 1)
    found = [_distance(row, constraint) for constraint in constraints]
    known = [one for one in found if one is not None]
    if judge_level(row, constraints).misses:
        known = [one for one in known if one[0] < 0]
        if not known:  # a number is missing, which keeps no limit
            missing = [c.column for c in constraints if number(row, c.column) is None]
            words = " and ".join(missing)
            return Margin(concurrency, -_FAR, _FAR_NOISE, words, times, is_known=False)
    if not known:
        return Margin(concurrency, _FAR, _FAR_NOISE, "", times, is_known=False)
    value, noise, column = min(known)
    return Margin(concurrency, value, max(noise, _LEAST_NOISE / math.sqrt(times)), column, times)


def monotone(margins: Iterable[Margin]) -> list[Margin]:
    """The margins by rising load, none larger than the one before; those of one load as one."""
    blocks: list[list[Margin]] = []
    for margin in sorted(margins, key=lambda m: m.concurrency):
        if blocks and blocks[-1][-1].concurrency == margin.concurrency:
            blocks[-1].append(margin)
        else:
            blocks.append([margin])
    blocks = [[_together(block)] for block in blocks]
    fitted: list[list[Margin]] = []
    for block in blocks:
        fitted.append(block)
        while len(fitted) > 1 and _mean(fitted[-1])[0] > _mean(fitted[-2])[0]:
            last = fitted.pop()
            fitted[-1] = fitted[-1] + last
    return [
        replace(margin, value=value, noise=noise)
        for block in fitted
        for value, noise in [_mean(block)]
        for margin in block
    ]


def _together(margins: Sequence[Margin]) -> Margin:
    value, noise = _mean(margins)
    times = sum(margin.times for margin in margins)
    known = all(margin.is_known for margin in margins)
    return replace(margins[0], value=value, noise=noise, times=times, is_known=known)


def _mean(margins: Sequence[Margin]) -> tuple[float, float]:
    """Mean by inverse variance, and its standard error."""
    weights = [margin.noise**-2 for margin in margins]
    total = sum(weights)
    values = (margin.value * weight for margin, weight in zip(margins, weights, strict=True))
    return sum(values) / total, total**-0.5


def _distance(row: LevelRow, constraint: Constraint) -> tuple[float, float, str] | None:
    """How far the level is from a limit that must be kept, its standard error, and the column."""
    value, limit = number(row, constraint.column), constraint.limit
    if constraint.penalty is not None:
        if constraint.penalty.fail_ratio is None:
            return None
        sign = 1 if constraint.upper else -1
        limit += sign * abs(limit) * constraint.penalty.fail_ratio
    if value is None:
        return None
    scale = abs(limit) or 1.0
    distance = limit - value if constraint.upper else value - limit
    if not limit and distance >= 0:
        return None  # no part of nothing is left
    return distance / scale, _standard_error(row, constraint) / scale, constraint.column


def _standard_error(row: LevelRow, constraint: Constraint) -> float:
    """Of a statistic over requests, from their number and spread; 0 where that is not known."""
    metric, statistic = constraint.metric, constraint.statistic or ""
    if metric == "error_rate":
        count, share = number(row, "requests"), number(row, "error_rate") or 0.0
        return math.sqrt(share * (1 - share) / count) if count else 0.0
    count = number(row, f"{metric}_count") if METRICS[metric] else None
    at = {name: number(row, f"{metric}_{name}") for name in _QUANTILES}
    if not count or None in at.values():
        return 0.0
    known = {name: value for name, value in at.items() if value is not None}
    if statistic == "mean":
        return (known["p90"] - known["p50"]) / _NORMAL_P90 / math.sqrt(count)
    # A quantile's error is that of the share below it, over the density there.
    share = _QUANTILES[statistic]
    below, above = _AROUND[statistic]
    slope = (known[above] - known[below]) / (_QUANTILES[above] - _QUANTILES[below])
    return slope * math.sqrt(share * (1 - share) / count)


_AROUND = {
    "p50": ("p50", "p90"),
    "p90": ("p50", "p95"),
    "p95": ("p90", "p99"),
    "p99": ("p95", "p99"),
}

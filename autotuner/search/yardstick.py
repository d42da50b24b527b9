"""The objective and its constraints as arithmetic on logarithms, for many levels at once.

What a model predicts are logarithms of columns, since effects on throughput and latency are
factors. The utility of a level is the logarithm of its objective, penalties applied, with its sign
turned where less is better; minus infinity where a hard limit is missed. So a difference of
utilities is a gain by a factor, whatever the objective.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from autotuner.results.aggregate import read_objective
from autotuner.results.limits import LevelRow, number, penalised
from autotuner.spec.objective import Constraint, Direction, Objective
from autotuner.spec.workload import Level

__all__ = ["Kind", "Yardstick", "draws", "kind_of", "yardstick"]

Floats = npt.NDArray[np.float64]

_LARGEST_EXPONENT = 50.0
_SMALLEST = 1e-6
"""Stands for a throughput of zero: far below any, and finite as a logarithm."""

_SERVER = {"output_throughput_tok_s", "total_throughput_tok_s", "requests_per_s"}
_PER_GPU = {"output_throughput_tok_s_per_gpu", "output_tokens_per_usd"}
_GOODPUT = {"goodput_requests_per_s", "goodput_share"}
_LATENCY = {"ttft_s", "tpot_s", "itl_s", "e2e_latency_s"}


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known of a metric, of whatever server."""

    rises: bool = False
    """A throughput: with the requests in flight, at most in proportion to them."""
    per_gpu: bool = False
    never_falls: bool = False
    """A latency: under more load not lower."""
    sign: int = 0
    """+1 where quicker servers have more of it, -1 where less; 0: not known."""
    is_load: bool = False
    """The level's own concurrency: known before anything is measured."""


def kind_of(metric: str) -> Kind:
    if metric in _LATENCY:
        return Kind(never_falls=True, sign=-1)
    if metric in _SERVER | _PER_GPU:
        return Kind(rises=True, per_gpu=metric in _PER_GPU, sign=1)
    return Kind(sign=1 if metric in _GOODPUT else 0, is_load=metric == "concurrency")


@dataclass(frozen=True, slots=True)
class Yardstick:
    """Of one objective. The last axis of all arrays are `columns`."""

    objective: Objective
    constraints: tuple[Constraint, ...]
    """All, for what is measured."""
    predicted: tuple[Constraint, ...]
    """Those whose columns are predicted: the others are left to measurements."""
    columns: tuple[str, ...]
    """The objective's first."""
    kinds: tuple[Kind, ...]
    """Of each column."""

    def logs(self, row: LevelRow) -> tuple[float, ...]:
        """A level's columns; NaN for a missing one."""
        values = [number(row, column) for column in self.columns]
        return tuple(
            math.nan if value is None else math.log(max(value, _SMALLEST)) for value in values
        )

    def measured(self, levels: Sequence[Level], rows: Mapping[Level, LevelRow]) -> float | None:
        """Utility of what was measured; None where it does not count."""
        reading = read_objective(levels, rows, self.objective, self.constraints)
        if reading.value is None or reading.reason:
            return None
        value = penalised(reading.value, reading.penalty, self.objective.direction)
        return self._sign * math.log(max(value, _SMALLEST))

    def utility(self, logs: Floats) -> Floats:
        """Of levels; minus infinity where a hard limit is missed or the objective is missing.

        Args:
            logs: Of any shape, with the columns last.
        """
        penalty = np.zeros(logs.shape[:-1])
        kept = ~np.isnan(logs[..., 0])
        for constraint in self.predicted:
            value = np.exp(logs[..., self.columns.index(constraint.column)])
            excess = (value - constraint.limit) * (1.0 if constraint.upper else -1.0)
            excess = excess / constraint.limit
            soft = constraint.penalty
            if soft is None:
                kept &= excess <= 0
                continue
            if soft.fail_ratio is not None:
                kept &= excess <= soft.fail_ratio
            exponent = np.minimum(np.maximum(excess, 0) / soft.steepness, _LARGEST_EXPONENT)
            penalty += soft.weight * np.expm1(exponent)
        found: Floats = np.where(kept, self._sign * logs[..., 0] - np.log1p(penalty), -np.inf)
        return found

    def excess(self, logs: Floats) -> Floats:
        """How far the limit that is furthest from being kept is exceeded, as a logarithm.

        Negative where all are kept; minus infinity where there are none.
        """
        found = np.full(logs.shape[:-1], -np.inf)
        for constraint in self.predicted:
            apart = logs[..., self.columns.index(constraint.column)] - math.log(constraint.limit)
            found = np.fmax(found, apart if constraint.upper else -apart)
        return found

    @property
    def _sign(self) -> float:
        return 1.0 if self.objective.direction is Direction.MAXIMIZE else -1.0


def yardstick(objective: Objective, constraints: Sequence[Constraint]) -> Yardstick:
    predicted = [one for one in constraints if one.limit > 0 and kind_of(one.metric).sign != 0]
    metrics = {one.column: one.metric for one in reversed(predicted)}
    metrics.pop(objective.column, None)
    metrics = {objective.column: objective.metric, **metrics}
    kinds = tuple(kind_of(metric) for metric in metrics.values())
    return Yardstick(objective, tuple(constraints), tuple(predicted), tuple(metrics), kinds)


@cache
def draws(count: int, columns: int) -> Floats:
    """Standard normal numbers that fill each column evenly; the same ones at every call."""
    normal = NormalDist()
    quantiles = [normal.inv_cdf((i + 0.5) / count) for i in range(count)]
    generator = np.random.default_rng(0)
    others = [generator.permutation(quantiles) for _ in range(columns - 1)]
    found: Floats = np.array([quantiles, *others]).T
    return found

"""An estimator's numbers corrected by what is measured.

Estimators err alike for all configurations of a study (the model is slower than its sizes say, the
engine is a newer one), somewhat differently for each value of a parameter, and a little at random.
So the logarithm of measured over estimated is taken for a sum: a common part, a part for each
parameter's value, one for the configuration and one for the single level. Each is normal around 0
with a share of the variance that the estimator itself claims, and what was measured says how large
they are. Shares that nothing was measured of keep their whole variance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autotuner.search.estimators.base import Estimate
from autotuner.spec.server import Value

__all__ = ["Correction", "Observation", "Shares"]

Array = NDArray[np.float64]

_MOST_OBSERVATIONS = 600
_DOUBLINGS = 3.0
"""Of the concurrency, over which a configuration's own error changes."""
_PRIOR_WEIGHT = 8.0
"""So many measurements weigh as much as what the estimator says of its own errors."""
_LEAST_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Shares:
    """Of an estimator's variance; they add up to 1."""

    common: float = 0.55
    parameters: float = 0.25
    """Of all of them together."""
    configuration: float = 0.12
    level: float = 0.08


@dataclass(frozen=True, slots=True)
class Observation:
    """A level that was estimated before it was measured."""

    traits: Mapping[str, Value]
    """Of the configuration: its parameters, and whatever else may matter alike."""
    concurrency: int
    estimate: Estimate
    ttft_s: float | None = None
    """Measured means; None: not known."""
    tpot_s: float | None = None
    output_throughput_tok_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Metric:
    """What is known of one number's errors."""

    rows: tuple[int, ...]
    """Observations that have it."""
    sigmas: Array
    inverse: Array
    weights: Array
    scale: float
    """By which the errors are larger than the estimator claims."""


class Correction:
    """Pure: the same observations correct alike, in any order; the first 600 of them."""

    def __init__(
        self,
        observations: Sequence[Observation] = (),
        shares: Shares = Shares(),
    ) -> None:
        # The first ones: a later one of a study tells less that is new.
        self._seen = tuple(observations[:_MOST_OBSERVATIONS])
        self._shares = shares
        self._metrics = (
            self._learned([one.ttft_s for one in self._seen], 0),
            self._learned([one.tpot_s for one in self._seen], 1),
            self._learned([one.output_throughput_tok_s for one in self._seen], 2),
        )

    def corrected(
        self, estimate: Estimate, traits: Mapping[str, Value], concurrency: int
    ) -> Estimate:
        """The estimate of a configuration at a load, with what was measured taken into account."""
        related = np.array(
            [self._related(one, traits, concurrency) for one in self._seen], dtype=np.float64
        )
        means, sigmas = _numbers(estimate)
        for i, metric in enumerate(self._metrics):
            if metric is None:
                continue
            toward = related[list(metric.rows)] * metric.sigmas * sigmas[i]
            means[i] *= math.exp(float(toward @ metric.weights))
            left = sigmas[i] ** 2 - float(toward @ metric.inverse @ toward)
            least = _LEAST_SHARE * sigmas[i] ** 2
            sigmas[i] = metric.scale * math.sqrt(max(left, least))
        return Estimate(*means, *sigmas)

    def _learned(self, measured: Sequence[float | None], metric: int) -> _Metric | None:
        rows = [i for i, value in enumerate(measured) if value is not None and value > 0]
        if not rows:
            return None
        seen = [self._seen[i] for i in rows]
        said = [_numbers(one.estimate) for one in seen]
        errors = np.array(
            [math.log((measured[i] or 1.0) / s[0][metric]) for i, s in zip(rows, said, strict=True)]
        )
        sigmas = np.array([s[1][metric] for s in said])
        related = np.array(
            [
                [self._related(one, other.traits, other.concurrency) for other in seen]
                for one in seen
            ]
        )
        covariance = related * np.outer(sigmas, sigmas)
        covariance += np.diag(self._shares.level * sigmas**2)
        inverse = np.asarray(np.linalg.inv(covariance), dtype=np.float64)
        weights = inverse @ errors
        surprise = float(errors @ weights)
        scale = math.sqrt((_PRIOR_WEIGHT + surprise) / (_PRIOR_WEIGHT + len(rows)))
        return _Metric(tuple(rows), sigmas, inverse, weights, scale)

    def _related(self, one: Observation, traits: Mapping[str, Value], concurrency: int) -> float:
        """Correlation of the errors of two levels, but for the level's own part."""
        names = one.traits.keys() | traits.keys()
        alike = sum(one.traits.get(name) == traits.get(name) for name in names)
        share = self._shares.common
        share += self._shares.parameters * (alike / len(names) if names else 1.0)
        if alike == len(names):
            apart = math.log2(one.concurrency / concurrency) / _DOUBLINGS
            share += self._shares.configuration * math.exp(-(apart**2) / 2)
        return share


def _numbers(estimate: Estimate) -> tuple[list[float], list[float]]:
    """Its means and its sigmas, in the order of its fields."""
    means = [estimate.ttft_s, estimate.tpot_s, estimate.output_throughput_tok_s]
    return means, [estimate.ttft_sigma, estimate.tpot_sigma, estimate.throughput_sigma]

"""Intervals: of one configuration between servers, and of one measurement within its run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autotuner.results.confidence.noise import (
    Noise,
    Numbers,
    moderated_variance,
    pooled_noise,
    summarise,
    t_quantile,
)

__all__ = ["WIDEST", "Interval", "bootstrap_interval", "interval"]

WIDEST = math.log(1000)
"""On the log scale: bounds further away than a factor of 1000 say nothing, and can overflow."""

_MOST_DRAWN = 5000
"""So many values a resample of a mean draws at most; more would cost seconds and tell no more."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the bounds that hold the true value; None: no bound can be given."""

    estimate: float
    low: float | None
    high: float | None


def interval(
    samples: Sequence[float], *, noise: Noise | None = None, confidence: float = 0.95
) -> Interval:
    """Between what bounds a configuration's value lies, were it measured on many fresh servers.

    The estimate is the geometric mean, the bounds are those of Student's t on the log scale.

    Args:
        samples: One value per fresh server.
        noise: Pooled over the configurations of the study (`pooled_noise`), to moderate the
            variance with; None: these samples alone must do.
        confidence: Probability that the bounds hold the value; of this one, not of all at once.
    """
    summary = summarise(samples)
    noise = noise or pooled_noise([summary])
    if not summary.is_finite:
        return Interval(float(np.mean(samples)) if not summary.best else 0.0, None, None)
    estimate = math.exp(summary.mean)
    if noise is None:
        return Interval(estimate, None, None)
    variance, degrees = moderated_variance(summary, noise)
    t = t_quantile(min(degrees, noise.degrees_of_freedom), (1 - confidence) / 2)
    half = t * math.sqrt(variance / summary.count)
    if half > WIDEST:
        return Interval(estimate, None, None)
    return Interval(estimate, estimate * math.exp(-half), estimate * math.exp(half))


def bootstrap_interval(
    values: Sequence[float] | Numbers,
    statistic: str,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Interval of a mean or percentile over the requests of one run (percentile bootstrap).

    It says how well the requests of this run fix the number, and nothing of how the next server
    would do. A bound that so few values cannot give is None: the 99th percentile has an upper
    bound from 368 requests on.

    Args:
        statistic: One of `STATISTICS`, e.g. ``mean`` or ``p99``.
    """
    data = np.asarray(values, dtype=np.float64)
    data = data[np.isfinite(data)]
    if not data.size:
        raise ValueError("no values")
    generator, tail = np.random.default_rng(seed), (1 - confidence) / 2
    if statistic == "mean":
        fraction, estimate = 0.5, float(data.mean())
        drawn = _resampled_means(data, resamples, generator)
    else:
        fraction = int(statistic.removeprefix("p")) / 100
        estimate = float(np.quantile(data, fraction))
        drawn = _resampled_percentiles(data, fraction, resamples, generator)
    low, high = (float(x) for x in np.quantile(drawn, (tail, 1 - tail)))
    return Interval(
        estimate,
        low if (1 - fraction) ** data.size <= tail else None,
        high if fraction**data.size <= tail else None,
    )


def _resampled_means(data: Numbers, resamples: int, generator: np.random.Generator) -> Numbers:
    """Means of resamples. Smaller ones than the data scatter more, and are drawn together."""
    size = min(data.size, _MOST_DRAWN)
    means = data[generator.integers(data.size, size=(resamples, size))].mean(axis=1)
    return np.asarray(data.mean() + (means - data.mean()) * math.sqrt(size / data.size))


def _resampled_percentiles(
    data: Numbers, fraction: float, resamples: int, generator: np.random.Generator
) -> Numbers:
    """Percentiles of resamples, without drawing them.

    The value at a place of a sorted resample is the value of the data whose place, as a fraction,
    follows a beta distribution: that of an order statistic of uniform numbers.
    """
    place = (data.size - 1) * fraction + 1
    fractions = generator.beta(place, data.size + 1 - place, size=resamples)
    places = np.minimum((data.size * fractions).astype(np.int64), data.size - 1)
    return np.asarray(np.sort(data)[places])

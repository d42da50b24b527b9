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

_MOST_DRAWS = 20_000_000
"""Values drawn in all by a bootstrap; with many requests, fewer resamples do."""
_CHUNK_DRAWS = 2_000_000


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
    fraction = None if statistic == "mean" else int(statistic.removeprefix("p")) / 100
    estimate = float(_statistic(data[np.newaxis], fraction)[0])
    tail = (1 - confidence) / 2
    resamples = max(200, min(resamples, _MOST_DRAWS // data.size))
    generator = np.random.default_rng(seed)
    rows = max(1, _CHUNK_DRAWS // data.size)
    parts = [
        _statistic(data[generator.integers(data.size, size=(count, data.size))], fraction)
        for count in (min(rows, resamples - start) for start in range(0, resamples, rows))
    ]
    low, high = (float(x) for x in np.quantile(np.concatenate(parts), (tail, 1 - tail)))
    below, above = (0.5, 0.5) if fraction is None else (fraction, 1 - fraction)
    return Interval(
        estimate,
        low if (1 - below) ** data.size <= tail else None,
        high if (1 - above) ** data.size <= tail else None,
    )


def _statistic(rows: Numbers, fraction: float | None) -> Numbers:
    result = rows.mean(axis=1) if fraction is None else np.quantile(rows, fraction, axis=1)
    return np.asarray(result, dtype=np.float64)

"""How much the same configuration differs from one fresh server to the next. Pure functions.

Everything is computed on the natural logarithm of the values, so that a difference is a fraction
of the value, and a configuration that is twice as fast may scatter twice as much.

A variance from two or three servers is worth little: by chance, two values are often almost
equal. So the variances of all configurations are pooled, and each configuration's own is
moderated towards the pool::

    moderated = (PRIOR_WEIGHT * pooled + (n - 1) * own) / (PRIOR_WEIGHT + n - 1)

with ``PRIOR_WEIGHT + n - 1`` degrees of freedom, but never more than the pool has. That is the
moderated t of Smyth (2004), "Linear models and empirical Bayes methods for assessing
differential expression in microarray experiments", with one change: a handful of repeated
configurations cannot tell how much their variances differ, so the weight is not estimated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autotuner.spec.objective import Direction

__all__ = [
    "PRIOR_WEIGHT",
    "Noise",
    "Numbers",
    "Summary",
    "moderated_variance",
    "pooled_noise",
    "summarise",
    "t_quantile",
    "t_quantiles",
]

Numbers = npt.NDArray[np.float64]

PRIOR_WEIGHT = 4.0
"""Degrees of freedom that the pool counts for in a configuration's own variance.

About 6 would fit configurations whose noise differs by up to a factor of three; fewer make the
bounds a little wider, and hold where noise differs more."""

_SMALLEST_VARIANCE = 0.001**2
"""No server repeats itself better than to 0.1 %; equal values are rounded, or chance."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One configuration's values on the log scale, turned so that more is better."""

    count: int
    mean: float
    """Of those values whose logarithm is finite; 0 where none is."""
    squares: float
    """Sum of the squared deviations from the mean; over ``count - 1`` it is the variance."""
    best: int = 0
    """How many values are as good as can be: no logarithm tells by how much."""
    worst: int = 0
    """How many values are as bad as can be, such as a goodput of 0."""

    @property
    def is_finite(self) -> bool:
        return not self.best and not self.worst

    @property
    def order(self) -> tuple[float, float, float]:
        """Sorts the better configuration first."""
        return (self.worst / self.count, -self.best / self.count, -self.mean)


@dataclass(frozen=True, slots=True)
class Noise:
    """Variance between fresh servers, pooled over all configurations measured more than once."""

    variance: float
    degrees_of_freedom: int

    @property
    def cv(self) -> float:
        """Coefficient of variation of the values: 0.01 when servers differ by 1 %.

        Taken for the standard deviation of the logarithms; up to 30 % they differ by a fortieth.
        """
        return math.sqrt(self.variance)


def summarise(values: Sequence[float], direction: Direction = Direction.MAXIMIZE) -> Summary:
    """Mean and squared deviations of a configuration's values; at least one.

    Raises:
        ValueError: A value is negative or no number, or there is none.
    """
    sign = -1.0 if direction is Direction.MINIMIZE else 1.0
    if not values or not all(value >= 0 for value in values):
        raise ValueError(f"values must be numbers of 0 or more, and at least one: {values}")
    logs = [sign * math.log(value) for value in values if 0 < value < math.inf]
    mean = math.fsum(logs) / len(logs) if logs else 0.0
    squares = math.fsum([(x - mean) ** 2 for x in logs]) if len(logs) > 1 else 0.0
    if len(logs) == len(values):
        return Summary(len(values), mean, squares)
    zero, infinite = values.count(0), values.count(math.inf)
    best, worst = (zero, infinite) if sign < 0 else (infinite, zero)
    return Summary(len(values), mean, squares, best, worst)


def pooled_noise(summaries: Iterable[Summary]) -> Noise | None:
    """Noise of all configurations together; None where none was measured more than once."""
    repeated = [s for s in summaries if s.count > 1 and s.is_finite]
    degrees = sum(s.count - 1 for s in repeated)
    if not degrees:
        return None
    variance = math.fsum(s.squares for s in repeated) / degrees
    return Noise(max(variance, _SMALLEST_VARIANCE), degrees)


def moderated_variance(summary: Summary, noise: Noise) -> tuple[float, float]:
    """A configuration's variance between servers, and the degrees of freedom it is known with."""
    degrees = PRIOR_WEIGHT + summary.count - 1
    return (PRIOR_WEIGHT * noise.variance + summary.squares) / degrees, degrees


def t_quantile(degrees_of_freedom: float, tail: float) -> float:
    """The value that Student's t exceeds with probability ``tail``."""
    return float(t_quantiles(np.asarray(degrees_of_freedom, dtype=np.float64), tail))


def t_quantiles(degrees_of_freedom: Numbers, tail: float) -> Numbers:
    """`t_quantile` for many degrees of freedom at once."""
    # Imported here: it takes longer than the rest of a command that judges nothing.
    from scipy.special import stdtrit

    return np.asarray(-stdtrit(degrees_of_freedom, tail), dtype=np.float64)

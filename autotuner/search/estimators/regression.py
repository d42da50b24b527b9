"""A regression on logarithms that knows how sure it is: a Gaussian process over a few features.

What configurations have in common across models is learned from all rows: a trend in each feature
and smooth deviations from it. On top, each group (a model on a GPU) has a level of its own and
deviations of its own. So a point near measured ones of its group is interpolated between them, and
one of a group that was never measured gets the common effects, with the unknown level in its sigma.

Standard deviations are scaled to the errors that the rows themselves show when each of them, or
each group as a whole, is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Prediction", "Prior", "Regression"]

Array = NDArray[np.float64]

_FEWEST_TO_SCALE = 8
_MOST_SCALE, _LEAST_SCALE = 3.0, 0.3


@dataclass(frozen=True, slots=True)
class Prior:
    """Variances of logarithms, before anything is measured."""

    level: float = 1.0
    """Of the common level."""
    trend: float = 0.5
    """Of the effect of one feature over one unit."""
    common: float = 1.0
    """Of smooth deviations from the trends that all groups share."""
    group: float = 0.5
    """Of a group's level."""
    own: float = 0.3
    """Of smooth deviations of a group."""
    noise: float = 0.02
    """Of one measurement."""
    reach: float = 2.0
    """Distance, in units of the features, over which deviations fade."""


_PRIORS = tuple(
    Prior(trend=size, common=size, noise=noise, reach=reach)
    for size in (0.1, 0.3)
    for reach in (1.0, 2.0)
    for noise in (0.003, 0.02)
)


@dataclass(frozen=True, slots=True)
class Prediction:
    """For each target, the mean of its logarithm and its standard deviation."""

    means: Array
    sigmas: Array


class Regression:
    """Several targets over the same rows."""

    def __init__(self, rows: Array, groups: Sequence[str], targets: Array) -> None:
        """Fits at once; of several priors the one under which left-out rows are least surprising.

        Args:
            rows: Features, scaled so that a difference of 1 may matter; shape (rows, features).
            groups: Of each row.
            targets: Logarithms, shape (rows, targets).
        """
        self._rows = rows
        self._groups = np.array([str(group) for group in groups], dtype=object)
        self._means = targets.mean(axis=0)
        self._targets = targets - self._means
        fits = (self._fit(prior) for prior in _PRIORS)
        best = max(fits, key=_score_of)
        self._prior, self._inverse, self._weights = best.prior, best.inverse, best.weights
        self._scale_known, self._scale_new = best.scale_known, best.scale_new

    def predict(self, row: Array, group: str, unseen: float = 0.0) -> Prediction:
        """For one point.

        Args:
            unseen: Squared distance to every row in features that no row has.
        """
        prior = self._prior
        same = (self._groups == group).astype(float)
        shared = self._covariance(row[None, :], self._rows, same[None, :], prior, unseen)[0]
        means = self._means + shared @ self._weights
        own = prior.level + prior.trend * (float(row @ row) + unseen) + prior.common
        own += prior.group + prior.own + prior.noise
        variance = max(prior.noise, own - float(shared @ self._inverse @ shared))
        scale = self._scale_known if same.any() else self._scale_new
        return Prediction(means, scale * np.sqrt(variance))

    def _fit(self, prior: Prior) -> _Fit:
        same = (self._groups[:, None] == self._groups[None, :]).astype(float)
        covariance = self._covariance(self._rows, self._rows, same, prior)
        covariance += prior.noise * np.eye(len(self._rows))
        inverse = np.asarray(np.linalg.inv(covariance), dtype=np.float64)
        weights = inverse @ self._targets
        diagonal = np.diag(inverse)
        singly = weights / np.sqrt(diagonal)[:, None]
        score = _score((singly**2).sum(axis=0), len(weights), -float(np.log(diagonal).sum()))
        together = self._groupwise(inverse, weights)
        if together is not None:
            score += together.score
        return _Fit(
            prior,
            score,
            inverse,
            weights,
            _scale(singly),
            _scale(singly if together is None else together.standardised),
        )

    def _groupwise(self, inverse: Array, weights: Array) -> _LeftOut | None:
        """How well each group is predicted by the others; None: there is but one."""
        names = sorted(set(self._groups))
        if len(names) < 2:
            return None
        errors, squares, volume = [], np.zeros(weights.shape[1]), 0.0
        for name in names:
            own = np.flatnonzero(self._groups == name)
            block = np.linalg.inv(inverse[np.ix_(own, own)])
            errors.append((block @ weights[own]) / np.sqrt(np.diag(block))[:, None])
            # Jointly, since the rows of a group share an unknown level.
            squares += (weights[own] * (block @ weights[own])).sum(axis=0)
            volume += float(np.linalg.slogdet(block)[1])
        return _LeftOut(np.concatenate(errors), _score(squares, len(weights), volume))

    def _covariance(
        self, left: Array, right: Array, same: Array, prior: Prior, unseen: float = 0.0
    ) -> Array:
        products = left @ right.T
        distances = (left**2).sum(1)[:, None] + (right**2).sum(1)[None, :] - 2 * products
        nearness = np.exp(-(np.maximum(distances, 0) + unseen) / (2 * prior.reach**2))
        common = prior.level + prior.trend * products + prior.common * nearness
        covariance: Array = common + same * (prior.group + prior.own * nearness)
        return covariance


@dataclass(frozen=True, slots=True)
class _Fit:
    prior: Prior
    score: float
    """The larger, the less surprising is what is left out."""
    inverse: Array
    """Of the rows' covariance."""
    weights: Array
    scale_known: Array
    scale_new: Array


@dataclass(frozen=True, slots=True)
class _LeftOut:
    standardised: Array
    """Errors of each row when its group is left out, over their standard deviation."""
    score: float


def _score(squares: Array, rows: int, volume: float) -> float:
    """Log density of left-out rows, each target with the scale that suits it best.

    Args:
        squares: Sum over the rows of squared standardised errors, per target.
        volume: Logarithm of the determinant of their covariance.
    """
    spread = np.maximum(squares / rows, 1e-12)
    return float(-0.5 * rows * np.log(spread).sum() - 0.5 * len(squares) * volume)


def _score_of(fit: _Fit) -> float:
    return fit.score


def _scale(standardised: Array) -> Array:
    """By what the standard deviations of each target are off; robust against single rows."""
    if len(standardised) < _FEWEST_TO_SCALE:
        return np.ones(standardised.shape[1])
    scale: Array = np.median(np.abs(standardised), axis=0) / 0.6745
    wide = np.quantile(np.abs(standardised), 0.9, axis=0) / 1.645
    return np.clip(np.maximum(scale, wide), _LEAST_SCALE, _MOST_SCALE)

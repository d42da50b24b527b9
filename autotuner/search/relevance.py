"""How much each parameter counts: the weights under which the measurements are most likely.

In a space of ten parameters three matter, and nobody knows beforehand which. Each axis has a
weight in the correlation of candidates, and so has what each candidate is off by alone: else one
parameter that changes much would let all candidates that seem alike be thought different. The
weights are those of the largest likelihood, held back by a prior that all axes count alike, so that
few measurements change little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autotuner.search.yardstick import Floats

__all__ = ["Evidence", "Relevance", "learned_relevance", "together"]

_ALONE, _JOINTLY = 0.6, 0.4
"""Share of the parameters' effects that each has alone, and that only combinations have."""
_HELD_BACK = 1.0
"""Standard deviation of a weight's logarithm about that of an even share."""
_STEPS = 12
_AXIS_BOUNDS, _OWN_BOUNDS = (-4.0, 1.0), (-1.75, 2.0)
"""Of the weights' logarithms; the lower one of an axis is below that of an even share. Candidates
are not thought more alike than noise would show."""


@dataclass(frozen=True, slots=True)
class Relevance:
    axes: Floats
    """Of each axis: its share of the parameters' effect; 1 in all before anything is learned."""
    own: float = 1.0
    """What the variance of each candidate's own effect is multiplied by."""

    @staticmethod
    def even(axes: int) -> Relevance:
        return Relevance(np.full(axes, 1.0 / max(axes, 1)))


def together(relevance: Floats, alike: Floats) -> Floats:
    """How much candidates are off alike; 1 for the same parameters where weights add up to 1.

    Args:
        relevance: Weight of each axis.
        alike: Axes x left x right, 0 to 1.
    """
    if not len(relevance):
        return np.ones(alike.shape[1:])
    alone = np.tensordot(relevance, alike, axes=1)
    found: Floats = _ALONE * alone + _JOINTLY * alone**3
    return found


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was measured; the covariance is
    ``fixed + coefficient * together(...) + relevance.own * own``."""

    fixed: Floats
    """Points x points."""
    coefficient: Floats
    """Points x points."""
    own: Floats
    """Points x points; 0 between different candidates."""
    alike: Floats
    """Axes x points x points."""
    residuals: Floats
    """Points x columns: what the prior mean was off by."""
    usual: Floats
    """Columns x columns: the usual scale, times `usual_points`."""
    usual_points: float


def learned_relevance(start: Relevance, evidence: Evidence) -> Relevance:
    """The most likely weights, beginning the search at those of last time."""
    # Takes a while to import, and small studies never come here.
    from scipy.optimize import minimize

    axes = len(start.axes)
    usual = np.append(np.full(axes, -np.log(axes)), 0.0)

    def objective(logs: Floats) -> tuple[float, Floats]:
        value, gradient = _likelihood(np.exp(logs), evidence)
        apart = (logs - usual) / _HELD_BACK
        return (
            float(0.5 * apart @ apart - value),
            apart / _HELD_BACK - gradient * np.exp(logs),
        )

    bounds = [(usual[0] + _AXIS_BOUNDS[0], _AXIS_BOUNDS[1])] * axes + [_OWN_BOUNDS]
    weights = np.append(start.axes, start.own)
    found = minimize(
        objective,
        np.clip(np.log(np.maximum(weights, 1e-9)), *np.transpose(bounds)),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": _STEPS},
    )
    learned = np.exp(found.x)
    return Relevance(learned[:-1], float(learned[-1]))


def _likelihood(weights: Floats, evidence: Evidence) -> tuple[float, Floats]:
    """Logarithm of the likelihood, scales of columns averaged out, and its gradient.

    Args:
        weights: Of each axis, and last of each candidate's own effect.
    """
    points, columns = evidence.residuals.shape
    alone = np.tensordot(weights[:-1], evidence.alike, axes=1)
    covariance = evidence.fixed + evidence.coefficient * (_ALONE * alone + _JOINTLY * alone**3)
    covariance += weights[-1] * evidence.own
    factor = np.linalg.cholesky(covariance)
    inverse_factor = np.linalg.inv(factor)
    inverse = inverse_factor.T @ inverse_factor
    solved = inverse @ evidence.residuals
    scale = evidence.usual + evidence.residuals.T @ solved
    degrees = evidence.usual_points + points
    value = -columns * float(np.log(np.diagonal(factor)).sum())
    value -= 0.5 * degrees * float(np.linalg.slogdet(scale)[1])
    pull = 0.5 * (degrees * solved @ np.linalg.inv(scale) @ solved.T - columns * inverse)
    of_alike = pull * evidence.coefficient * (_ALONE + 3 * _JOINTLY * alone**2)
    gradient: Floats = np.append(
        np.einsum("ij,aij->a", of_alike, evidence.alike), (pull * evidence.own).sum()
    )
    return value, gradient

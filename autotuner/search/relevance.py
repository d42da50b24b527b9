"""How much each parameter counts: the weights under which the measurements are most likely.

In a space of ten parameters three matter, and nobody knows beforehand which. Each axis has a
weight in the correlation of candidates; the weights are those of the largest likelihood, held
back by a prior that all count alike, so that few measurements change little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autotuner.search.yardstick import Floats

__all__ = ["Evidence", "learned_relevance", "together"]

_ALONE, _JOINTLY = 0.6, 0.4
"""Share of the parameters' effects that each has alone, and that only combinations have."""
_HELD_BACK = 1.0
"""Standard deviation of a weight's logarithm about that of an even share."""
_STEPS = 12


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
    """What was measured; the covariance is ``fixed + coefficient * together(...)``."""

    fixed: Floats
    """Points x points."""
    coefficient: Floats
    """Points x points."""
    alike: Floats
    """Axes x points x points."""
    residuals: Floats
    """Points x columns: what the prior mean was off by."""
    usual: Floats
    """Columns x columns: the usual scale, times `usual_points`."""
    usual_points: float


def learned_relevance(start: Floats, evidence: Evidence) -> Floats:
    """Weights of the axes, beginning the search at those of last time."""
    # Takes a while to import, and small studies never come here.
    from scipy.optimize import minimize

    even = -np.log(len(start))

    def objective(weights: Floats) -> tuple[float, Floats]:
        value, gradient = _likelihood(np.exp(weights), evidence)
        apart = (weights - even) / _HELD_BACK
        return (
            float(0.5 * apart @ apart - value),
            apart / _HELD_BACK - gradient * np.exp(weights),
        )

    bounds = [(even - 4.0, 1.0)] * len(start)
    found = minimize(
        objective,
        np.clip(np.log(np.maximum(start, 1e-9)), *bounds[0]),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": _STEPS},
    )
    weights: Floats = np.exp(found.x)
    return weights


def _likelihood(weights: Floats, evidence: Evidence) -> tuple[float, Floats]:
    """Logarithm of the likelihood, scales of columns averaged out, and its gradient."""
    points, columns = evidence.residuals.shape
    alone = np.tensordot(weights, evidence.alike, axes=1)
    covariance = evidence.fixed + evidence.coefficient * (_ALONE * alone + _JOINTLY * alone**3)
    factor = np.linalg.cholesky(covariance)
    inverse_factor = np.linalg.inv(factor)
    inverse = inverse_factor.T @ inverse_factor
    solved = inverse @ evidence.residuals
    scale = evidence.usual + evidence.residuals.T @ solved
    degrees = evidence.usual_points + points
    value = -columns * float(np.log(np.diagonal(factor)).sum())
    value -= 0.5 * degrees * float(np.linalg.slogdet(scale)[1])
    pull = degrees * solved @ np.linalg.inv(scale) @ solved.T - columns * inverse
    pull = 0.5 * pull * evidence.coefficient * (_ALONE + 3 * _JOINTLY * alone**2)
    gradient: Floats = np.einsum("ij,aij->a", pull, evidence.alike)
    return value, gradient

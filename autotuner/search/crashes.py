"""How likely a server is to run: a linear model of which parameter values crash.

Logistic regression with a prior: most servers run, and no value is known to crash. So a value
under which servers have crashed loses chance for all that share it, unless others with it have
run; and a single crash costs little.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from autotuner.search.axes import Ints
from autotuner.search.yardstick import Floats

__all__ = ["chance_of_running"]

_USUAL = 0.9
"""Share of configurations that run, before any has been tried."""
_SPREAD = 1.0
"""Standard deviation of a value's effect on the logit."""
_STEPS = 12
_LONGEST_STEP = 2.0


def chance_of_running(features: Floats, tried: Ints, ran: npt.NDArray[np.bool_]) -> Floats:
    """Of each candidate.

    Args:
        features: Candidates x features, centred.
        tried: Index of each candidate that has run or failed.
        ran: Whether it ran.
    """
    design = np.hstack([np.ones((len(features), 1)), features])
    usual = np.zeros(design.shape[1])
    usual[0] = math.log(_USUAL / (1 - _USUAL))
    coefficients = usual.copy()
    if len(tried) and not ran.all():
        seen, target = design[tried], ran.astype(np.float64)
        for _ in range(_STEPS):
            chance = 1 / (1 + np.exp(-seen @ coefficients))
            gradient = seen.T @ (target - chance) - (coefficients - usual) / _SPREAD**2
            curvature = (seen.T * (chance * (1 - chance))) @ seen
            curvature += np.eye(len(usual)) / _SPREAD**2
            step = np.linalg.solve(curvature, gradient)
            coefficients = coefficients + np.clip(step, -_LONGEST_STEP, _LONGEST_STEP)
    found: Floats = 1 / (1 + np.exp(-design @ coefficients))
    return found

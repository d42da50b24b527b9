"""How much the measurement of one configuration tells of another: likeness of their parameters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from autotuner.search.axes import Axes, Floats, Ints

__all__ = ["features_of", "likeness"]

_REACH = 0.4
"""Share of an axis over which numbers tell much of each other."""


def likeness(axes: Axes, left: Ints, right: Ints) -> Floats:
    """Axes x left x right: 1 for the same value, towards 0 for what tells nothing."""
    same = axes.kinds[left].T[:, :, None] == axes.kinds[right].T[:, None, :]
    apart = axes.ranks[left].T[:, :, None] - axes.ranks[right].T[:, None, :]
    found: Floats = np.where(same, np.exp(-0.5 * (apart / _REACH) ** 2), 0.0)
    return found


def features_of(axes: Axes) -> Floats:
    """Candidates x features for a linear model: each rank, and each other value, centred."""
    columns: list[npt.NDArray[np.float64]] = []
    for j in range(len(axes.axes)):
        kinds = axes.kinds[:, j]
        columns.append(np.where(kinds == 0, axes.ranks[:, j] - 0.5, 0.0))
        columns += [(kinds == kind).astype(np.float64) for kind in np.unique(kinds)]
    if not columns:
        return np.zeros((len(axes.ranks), 0))
    table = np.stack(columns, axis=1)
    found: Floats = table - table.mean(axis=0)
    return found

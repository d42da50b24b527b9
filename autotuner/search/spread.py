"""Candidates spread evenly over the space: the first so many, for every so many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from autotuner.search.axes import Axes
from autotuner.search.base import Candidate

__all__ = ["spread_out"]

_DRAWN_AT_ONCE = 64


def spread_out(candidates: Sequence[Candidate], axes: Axes, seed: int) -> Iterator[str]:
    """Ids of all candidates, each once.

    The points of a scrambled Sobol sequence, each value of an axis as likely as another, and for
    each the nearest candidate that has not been given yet. Does not depend on what is measured
    meanwhile.

    Args:
        axes: Of these candidates, in the same order.
    """
    if not axes.axes:
        yield from (candidate.id for candidate in candidates)
        return
    # Takes half a second to import.
    from scipy.stats.qmc import Sobol

    sequence = Sobol(len(axes.axes), scramble=True, rng=np.random.default_rng(seed))
    given = np.zeros(len(candidates), dtype=bool)
    while True:
        for cube in sequence.random(_DRAWN_AT_ONCE):
            distances = axes.distances(axes.from_cube(cube))
            nearest = int(np.argmin(np.where(given, np.inf, distances)))
            given[nearest] = True
            yield candidates[nearest].id
            if given.all():
                return

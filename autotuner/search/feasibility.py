"""Where servers crash: a random forest's probability that a configuration runs.

Crashes have corners: this backend with long blocks, many sequences with much memory. Trees find
such corners from a handful of examples, which a model of one effect per parameter does not. And a
sampler alone goes on looking beside what crashed wherever the best are near.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from autotuner.search.axes import Floats, Ints

__all__ = ["chance_of_no_crash"]

_TREES = 24
_DOUBT = 0.5
"""Counts as half a server that ran, in each leaf: one crash alone is no proof."""

Flags = npt.NDArray[np.bool_]


def chance_of_no_crash(features: Floats, tried: Ints, ran: Flags, seed: int) -> Floats:
    """Of each candidate, from 0 to 1; 1 for all while nothing has crashed.

    Args:
        features: Candidates x features.
        tried: Index of each candidate that has run or crashed.
        ran: Which of these ran.
    """
    if ran.all():
        return np.ones(len(features))
    random, total = np.random.default_rng(seed), np.zeros(len(features))
    for _ in range(_TREES):
        _grow(features, tried, ran, np.arange(len(features)), random, total)
    return total / _TREES


def _grow(
    features: Floats,
    tried: Ints,
    ran: Flags,
    inside: Ints,
    random: np.random.Generator,
    total: Floats,
) -> None:
    """Divide what lies inside until each part has only run, or only crashed; add its share."""
    cut = None if ran.all() or not ran.any() else _best_cut(features[tried], ran, random)
    if cut is None:
        total[inside] += (ran.sum() + _DOUBT) / (len(ran) + _DOUBT)
        return
    column, place = cut
    below, inside_below = features[tried, column] <= place, features[inside, column] <= place
    _grow(features, tried[below], ran[below], inside[inside_below], random, total)
    _grow(features, tried[~below], ran[~below], inside[~inside_below], random, total)


def _best_cut(seen: Floats, ran: Flags, random: np.random.Generator) -> tuple[int, float] | None:
    """Of one place per feature, drawn at random, the one that tells best; None: all are alike."""
    low, high = seen.min(axis=0), seen.max(axis=0)
    (differ,) = np.nonzero(low < high)
    if not len(differ):
        return None
    # In another order each time, since the first of those that tell alike is taken.
    columns = random.permutation(differ)
    places = random.uniform(low[columns], high[columns])
    below = seen[:, columns] <= places
    mixed = np.zeros(len(columns))
    for part in (below, ~below):
        count, good = part.sum(axis=0), part[ran].sum(axis=0)
        mixed += good * (1 - good / count)
    best = int(np.argmin(mixed))
    return int(columns[best]), float(places[best])

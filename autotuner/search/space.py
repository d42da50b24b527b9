"""The points of a search space: every one of them, or as many as represent it."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from autotuner.spec.server import Value
from autotuner.spec.study import Axis

__all__ = ["Point", "all_points", "combinations", "even_points"]

Point = Mapping[str, Value]

_BITS = 30
_BLOCK = 4096
"""Points of the sequence that are made at once; a power of two."""
_DRAWS_PER_POINT = 64
"""Where most of a space is excluded, or drawn already, drawing ends after so many times what is
wanted."""


def combinations(axes: Sequence[Axis]) -> int:
    """How many points the space has."""
    return math.prod(len(axis.points) for axis in axes)


def all_points(axes: Sequence[Axis]) -> Iterator[Point]:
    """Every point; the last axis varies fastest."""
    for places in itertools.product(*(axis.points for axis in axes)):
        yield _point(places)


def even_points(axes: Sequence[Axis], seed: int, wanted: int) -> Iterator[Point]:
    """Different points, spread evenly over the space; the whole space is never made.

    A Sobol sequence over the places on the axes, shifted by the seed. Its first points are the same
    however many are wanted, and on every machine. It ends by itself where the space is used up, or
    where hardly any point is new.
    """
    from scipy.stats import qmc  # takes a second, which most studies need not wait

    sequence = qmc.Sobol(max(1, len(axes)), scramble=False, bits=_BITS)
    shifts = np.array([_shift(seed, axis.name) for axis in axes] or [0], dtype=np.uint64)
    sizes = np.array([len(axis.points) for axis in axes] or [1], dtype=np.uint64)
    left = combinations(axes)
    seen: set[bytes] = set()
    for _ in range(max(1, wanted * _DRAWS_PER_POINT // _BLOCK)):
        for row in _places(sequence.random(_BLOCK), shifts, sizes):
            key = row.tobytes()
            if key in seen:
                continue
            seen.add(key)
            yield _point([axis.points[place] for axis, place in zip(axes, row, strict=False)])
            left -= 1
            if not left:
                return


def _places(
    unit: npt.NDArray[np.float64], shifts: npt.NDArray[np.uint64], sizes: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    """Points of the unit cube as places on the axes."""
    digits = (unit * 2**_BITS).astype(np.uint64) ^ shifts
    places: npt.NDArray[np.uint64] = (digits * sizes) >> np.uint64(_BITS)
    return places


def _shift(seed: int, name: str) -> int:
    # By hand, as libraries may draw otherwise in their next version, and the study be another.
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _BITS)


def _point(places: Sequence[Point]) -> Point:
    return {name: value for place in places for name, value in place.items()}

"""The candidates as points of a space: what lies near what.

Numbers of an axis are taken by their rank among the values that the study gives. Who writes
``[1, 2, 4, 8]`` or ``[0.80, 0.85, 0.90, 0.92]`` has chosen steps that matter alike, whatever their
scale, and 0, which often means "off", needs no logarithm. All else, and a parameter that is left
out, is near only to itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autotuner.spec.server import Value, is_number

__all__ = ["Axes", "Axis", "Place"]

_ABSENT = ("absent", None)
_NUMBER = 0
_MIDDLE = 0.5

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Axis:
    """A parameter of which the candidates have more than one value."""

    name: str
    numbers: tuple[float, ...]
    """Rising; empty where there are fewer than two."""
    others: tuple[tuple[str, object], ...]
    """The values that are not among these, in order of their first appearance."""

    @property
    def size(self) -> int:
        return len(self.numbers) + len(self.others)

    @property
    def kinds(self) -> tuple[int, ...]:
        """Of its values: 0 if it has numbers, and one for each of the others."""
        others = range(1, 1 + len(self.others))
        return (_NUMBER, *others) if self.numbers else tuple(others)

    def place(self, parameters: Mapping[str, Value]) -> tuple[float, int]:
        """Rank from 0 to 1, and kind: 0 for a number, else which of the others."""
        key = _key(parameters, self.name)
        if key in self.others:
            return _MIDDLE, 1 + self.others.index(key)
        value = parameters[self.name]
        return self.at(self.numbers.index(float(value)) if is_number(value) else 0)

    def at(self, index: int) -> tuple[float, int]:
        """The place of a value by its index: the numbers, rising, then the others."""
        if index < len(self.numbers):
            return index / (len(self.numbers) - 1), _NUMBER
        return _MIDDLE, 1 + index - len(self.numbers)


@dataclass(frozen=True, slots=True)
class Place:
    """A point of the space, which need not be a candidate."""

    ranks: Floats
    """Per axis."""
    kinds: Ints
    """Per axis."""


class Axes:
    """The axes of some candidates, and where on them each candidate lies."""

    def __init__(self, points: Sequence[Mapping[str, Value]]) -> None:
        """
        Args:
            points: Parameters of each candidate; not all need have the same.
        """
        names = dict.fromkeys(name for point in points for name in point)
        found = (_axis(name, points) for name in names)
        self.axes = tuple(axis for axis in found if axis.size > 1)
        places = [[axis.place(point) for axis in self.axes] for point in points]
        table = np.array(places, dtype=float).reshape(len(points), len(self.axes), 2)
        self.ranks: Floats = table[:, :, 0]
        """Candidates x axes."""
        self.kinds: Ints = table[:, :, 1].astype(np.int64)
        """Candidates x axes."""

    def place_of(self, index: int) -> Place:
        """Where the candidate of this index lies."""
        return Place(self.ranks[index], self.kinds[index])

    def from_cube(self, cube: Floats) -> Place:
        """The point of the space for one of the unit cube: each value of an axis alike."""
        pairs = [
            axis.at(min(int(share * axis.size), axis.size - 1))
            for axis, share in zip(self.axes, cube, strict=True)
        ]
        ranks = np.array([rank for rank, _ in pairs], dtype=float)
        return Place(ranks, np.array([kind for _, kind in pairs], dtype=np.int64))

    def distances(self, place: Place) -> Floats:
        """How far each candidate is: per axis, ranks apart; 1 where the kinds differ."""
        apart = np.where(self.kinds != place.kinds, 1.0, np.abs(self.ranks - place.ranks))
        total: Floats = apart.sum(axis=1)
        return total


def _axis(name: str, points: Sequence[Mapping[str, Value]]) -> Axis:
    values = {_key(point, name): point.get(name) for point in points}
    numbers = {float(value) for value in values.values() if is_number(value)}
    if len(numbers) < 2:
        return Axis(name, (), tuple(values))
    others = tuple(key for key, value in values.items() if not is_number(value))
    return Axis(name, tuple(sorted(numbers)), others)


def _key(point: Mapping[str, Value], name: str) -> tuple[str, object]:
    """Tells values apart as a command line does: ``true`` is not 1, absent is not null."""
    if name not in point:
        return _ABSENT
    value = point[name]
    return ("number", float(value)) if is_number(value) else (type(value).__name__, value)

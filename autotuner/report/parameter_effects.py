"""What each parameter does to the score on average, and which two do not simply add up. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Interaction", "MainEffect", "Scored", "main_effects", "strongest_interaction"]

_SWEEPS = 50
_NEGLIGIBLE = 1e-9


@dataclass(frozen=True, slots=True)
class Scored:
    """A configuration with a score above 0."""

    values: Mapping[str, str]
    """Parameter -> its value, spelled."""
    score: float


@dataclass(frozen=True, slots=True)
class MainEffect:
    """One value of one parameter: the geometric mean of its scores, relative to that of all."""

    parameter: str
    value: str
    count: int
    effect: float | None
    """0.05: 5 % above; None where no configuration with this value has a score."""
    low: float | None
    """The same for one standard deviation of the logarithms below the mean; None for fewer than
    two."""
    high: float | None


@dataclass(frozen=True, slots=True)
class Interaction:
    """How two parameters act together, as mean scores of the cells of their grid."""

    first: str
    second: str
    first_values: tuple[str, ...]
    second_values: tuple[str, ...]
    means: tuple[tuple[float | None, ...], ...]
    """Geometric mean score: one row per value of the first, one column per value of the second;
    None where none has a score."""
    worst_cell: tuple[int, int]
    """Row and column of the cell that is furthest from what the two effects add up to."""
    residual: float
    """By what fraction its score is above that."""


def main_effects(
    scored: Sequence[Scored], values: Mapping[str, Sequence[str]]
) -> tuple[MainEffect, ...]:
    """Effects of all values, the parameter with the widest range of effects first.

    Args:
        values: Parameter -> its values in the order to be shown.
    """
    if not scored:
        return ()
    logs = np.log([s.score for s in scored])
    overall = float(logs.mean())
    found: dict[str, list[MainEffect]] = {}
    for parameter, choices in values.items():
        own = [s.values.get(parameter) for s in scored]
        found[parameter] = [
            _effect(parameter, choice, logs[[value == choice for value in own]] - overall)
            for choice in choices
        ]
    ordered = sorted(found.values(), key=_range, reverse=True)
    return tuple(itertools.chain.from_iterable(ordered))


def _effect(parameter: str, value: str, logs: npt.NDArray[np.float64]) -> MainEffect:
    if not len(logs):
        return MainEffect(parameter, value, 0, None, None, None)
    mean = float(logs.mean())
    spread = float(logs.std(ddof=1)) if len(logs) > 1 else None
    return MainEffect(
        parameter,
        value,
        len(logs),
        math.expm1(mean),
        None if spread is None else math.expm1(mean - spread),
        None if spread is None else math.expm1(mean + spread),
    )


def _range(effects: Sequence[MainEffect]) -> float:
    known = [math.log1p(e.effect) for e in effects if e.effect is not None]
    return max(known, default=0.0) - min(known, default=0.0)


def strongest_interaction(
    scored: Sequence[Scored], values: Mapping[str, Sequence[str]]
) -> Interaction | None:
    """The pair of parameters with the largest residual from additivity of its cell means.

    None where no pair has enough cells to tell, or none deviates.
    """
    best: Interaction | None = None
    for first, second in itertools.combinations(values, 2):
        found = _interaction(scored, first, second, values)
        if found is not None and (
            best is None or abs(math.log1p(found.residual)) > abs(math.log1p(best.residual))
        ):
            best = found
    return best


def _interaction(
    scored: Sequence[Scored], first: str, second: str, values: Mapping[str, Sequence[str]]
) -> Interaction | None:
    rows, columns = list(values[first]), list(values[second])
    sums, counts = np.zeros((len(rows), len(columns))), np.zeros((len(rows), len(columns)))
    for one in scored:
        row, column = rows.index(one.values[first]), columns.index(one.values[second])
        sums[row, column] += math.log(one.score)
        counts[row, column] += 1
    filled = counts > 0
    terms = int(filled.any(axis=1).sum() + filled.any(axis=0).sum()) - 1
    if filled.sum() <= terms or min(filled.any(axis=1).sum(), filled.any(axis=0).sum()) < 2:
        return None
    means = np.where(filled, sums / np.maximum(counts, 1), 0.0)
    residuals = _residuals(means, filled)
    # Of two that are as far off, as in a grid of 2 x 2, the one that scores better than expected.
    size = np.abs(residuals) + _NEGLIGIBLE * (residuals > 0)
    place = np.unravel_index(int(size.argmax()), residuals.shape)
    worst = int(place[0]), int(place[1])
    if abs(residuals[worst]) < _NEGLIGIBLE:
        return None
    cells = tuple(
        tuple(math.exp(mean) if known else None for mean, known in zip(of_row, there, strict=True))
        for of_row, there in zip(means.tolist(), filled.tolist(), strict=True)
    )
    return Interaction(
        first,
        second,
        tuple(rows),
        tuple(columns),
        cells,
        worst,
        math.expm1(float(residuals[worst])),
    )


def _residuals(
    means: npt.NDArray[np.float64], filled: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """What is left of the cells without the effects of their rows and columns.

    Rows and columns are swept of their means in turn, which converges to the least-squares fit
    also where cells are missing.
    """
    left = np.where(filled, means, 0.0)
    for _ in range(_SWEEPS):
        for across in (1, 0):
            count = np.maximum(filled.sum(axis=across, keepdims=True), 1)
            left = np.where(filled, left - left.sum(axis=across, keepdims=True) / count, 0.0)
    return left

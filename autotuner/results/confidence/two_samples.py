"""One configuration before and after a change, such as an upgrade of the engine. Pure.

The difference ``d`` of the means on the log scale gets bounds as in `rivals`, from the same
moderated variances, here with::

    tail = (1 - confidence) / (2 * comparisons)

so that they hold for all configurations that are compared at once. There is one look: nobody
measures again because of what is seen here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from autotuner.results.confidence.intervals import WIDEST, Interval
from autotuner.results.confidence.noise import Noise, Summary, summarise
from autotuner.results.confidence.rivals import half_widths, tail_of
from autotuner.spec.objective import Direction

__all__ = ["Change", "Difference", "difference"]

_ONE_LOOK = 2
"""As `tail_of` counts: servers that two rounds of measurements make, with one look after them."""


class Change(StrEnum):
    """What became of a configuration."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    """Better or worse by less than what matters, if at all."""
    NOT_ENOUGH_EVIDENCE = "not_enough_evidence"


@dataclass(frozen=True, slots=True)
class Difference:
    """A change with its bounds."""

    change: Change
    fraction: Interval | None
    """Of the value before: 0.03 where it grew by 3 %, whether that is good or bad; None where a
    value is 0 or without limit."""


def difference(
    before: Sequence[float],
    after: Sequence[float],
    direction: Direction,
    *,
    noise: Noise | None,
    minimal_effect: float,
    comparisons: int = 1,
    confidence: float = 0.95,
) -> Difference:
    """Compare one configuration's values per fresh server with those after the change.

    Args:
        noise: Pooled over everything that is compared (`pooled_noise`); None: nothing was
            measured twice, and no difference can be told from chance.
        comparisons: In how many configurations differences are looked for.
    """
    old, new = summarise(before, direction), summarise(after, direction)
    if not (old.is_finite and new.is_finite):
        return Difference(_without_logarithm(old, new), None)
    gain = new.mean - old.mean
    half = None
    if noise is not None:
        tail = tail_of(confidence, comparisons, _ONE_LOOK)
        half = half_widths(new, [old], noise, tail)[0]
    change = _change(gain, half, math.log1p(minimal_effect))
    return Difference(change, _fraction(gain, half, direction))


def _change(gain: float, half: float | None, effect: float) -> Change:
    if half is None:
        return Change.NOT_ENOUGH_EVIDENCE
    if abs(gain) + half < effect:
        return Change.SAME  # even where it certainly changed: certainly not by much
    if gain - half > 0:
        return Change.BETTER
    return Change.WORSE if gain + half < 0 else Change.NOT_ENOUGH_EVIDENCE


def _without_logarithm(old: Summary, new: Summary) -> Change:
    """What to say where a value on either side is 0 or without limit."""
    sides = (old, new)
    if all(s.worst == s.count for s in sides) or all(s.best == s.count for s in sides):
        return Change.SAME
    if (old.worst == old.count and not new.worst) or (new.best == new.count and not old.best):
        return Change.BETTER
    if (new.worst == new.count and not old.worst) or (old.best == old.count and not new.best):
        return Change.WORSE
    return Change.NOT_ENOUGH_EVIDENCE


def _fraction(gain: float, half: float | None, direction: Direction) -> Interval | None:
    """The gain, turned back into a growth of the value."""
    if abs(gain) > WIDEST:
        return None
    growth = -gain if direction is Direction.MINIMIZE else gain
    if half is None or half > WIDEST:
        return Interval(math.expm1(growth), None, None)
    return Interval(math.expm1(growth), math.expm1(growth - half), math.expm1(growth + half))

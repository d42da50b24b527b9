"""The leader against each of its rivals: who is beaten, who is practically equal. Pure.

For each rival the leader's advantage ``d`` on the log scale gets bounds ``d -+ t * se`` with::

    se^2 = v_leader / n_leader + v_rival / n_rival        (v: moderated variances)
    tail = (1 - confidence) / (2 * rivals * looks)        (looks: most_servers - 1)

and ``t`` the quantile of Student's t beyond which ``tail`` lies, at the degrees of freedom of
Welch and Satterthwaite, at most those of the pool. The division by ``rivals`` makes the bounds
hold for all of them at once, as in Dunnett (1955) but simpler and wider: the leader was not
chosen beforehand, so each of the others may be the best. The division by ``looks`` pays for
judging after each round of repeats: who stops as soon as the result pleases is wrong more often.

To keep all that are not significantly worse than the leader is the subset selection of Gupta
(1965), and the multiple comparison with the best of Hsu (1984).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import cast

import numpy as np

from autotuner.results.confidence.noise import (
    Noise,
    Summary,
    moderated_variance,
    pooled_noise,
    summarise,
    t_quantiles,
)
from autotuner.spec.objective import Direction

__all__ = ["Comparison", "Rival", "Standing", "compare", "half_widths", "tail_of"]


# A study is judged after each round of repeats, and most values are those of the round before.
_summary = lru_cache(maxsize=4096)(summarise)


class Standing(StrEnum):
    """How a rival stands against the leader."""

    BEATEN = "beaten"
    TIED = "tied"
    """It is certainly not better than the leader by as much as matters, and does not look worse
    by as much."""
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Rival:
    id: str
    standing: Standing
    advantage: float | None
    """The leader's, on the log scale; None where a value is 0 or without limit."""
    half_width: float | None
    """Of the simultaneous bounds of the advantage; None where none can be given."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The leader and its rivals, best first."""

    leader: str
    rivals: tuple[Rival, ...]
    summaries: Mapping[str, Summary]
    noise: Noise | None
    tail: float
    """Probability beyond each single bound."""

    @property
    def undecided(self) -> tuple[Rival, ...]:
        return tuple(r for r in self.rivals if r.standing is Standing.UNDECIDED)


def compare(
    samples: Mapping[str, Sequence[float]],
    direction: Direction,
    *,
    minimal_effect: float,
    confidence: float,
    most_servers: int,
) -> Comparison:
    """Compare the best configuration with all others; ``samples`` must not be empty."""
    summaries = {key: _summary(tuple(values), direction) for key, values in samples.items()}
    # Of equals, the one measured more often; the id keeps the order of the table out of it.
    order = sorted(summaries, key=lambda key: (summaries[key].order, -summaries[key].count, key))
    leader, others = order[0], order[1:]
    noise, effect = pooled_noise(summaries.values()), math.log1p(minimal_effect)
    servers = max(most_servers, *(s.count for s in summaries.values()))
    tail = tail_of(confidence, len(others), servers)
    compared = [summaries[key] for key in others]
    halves = half_widths(summaries[leader], compared, noise, tail) if noise and others else None
    rivals = tuple(
        _rival(key, summaries[leader], summary, None if halves is None else halves[i], effect)
        for i, (key, summary) in enumerate(zip(others, compared, strict=True))
    )
    if rivals and min(summaries[leader].count, summaries[others[0]].count) < 2:
        rivals = _at_least_twice(rivals, summaries[leader].count)
    return Comparison(leader, rivals, summaries, noise, tail)


def tail_of(confidence: float, rivals: int, most_servers: int) -> float:
    """Probability left beyond one bound, of one rival, at one look."""
    return (1 - confidence) / (2 * max(1, rivals) * max(1, most_servers - 1))


def half_widths(
    leader: Summary, rivals: Sequence[Summary], noise: Noise, tail: float
) -> list[float]:
    """Half the width of the bounds of the leader's advantage over each rival, on the log scale."""
    variance, degrees = moderated_variance(leader, noise)
    a, a_degrees = variance / leader.count, degrees
    moderated = np.array([(*moderated_variance(rival, noise), rival.count) for rival in rivals])
    b, b_degrees = moderated[:, 0] / moderated[:, 2], moderated[:, 1]
    pair_degrees = (a + b) ** 2 / (a**2 / a_degrees + b**2 / b_degrees)
    t = t_quantiles(np.minimum(pair_degrees, noise.degrees_of_freedom), tail)
    return cast("list[float]", (t * np.sqrt(a + b)).tolist())


def _rival(
    key: str, leader: Summary, rival: Summary, half_width: float | None, effect: float
) -> Rival:
    if not (leader.is_finite and rival.is_finite):
        return Rival(key, _without_logarithm(leader, rival), None, None)
    advantage = leader.mean - rival.mean
    if half_width is None:
        return Rival(key, Standing.UNDECIDED, advantage, None)
    return Rival(key, _standing(advantage, half_width, effect), advantage, half_width)


def _standing(advantage: float, half: float, effect: float) -> Standing:
    """Standing of a rival from the bounds of the leader's advantage and what matters."""
    if advantage + half < effect:
        return Standing.TIED  # even where it is certainly worse: it is certainly not much worse
    if advantage - half > 0:
        return Standing.BEATEN
    # Whoever takes the leader is safe. A rival that looks much worse may yet be beaten, though.
    if advantage < effect and advantage - half > -effect:
        return Standing.TIED
    return Standing.UNDECIDED


def _without_logarithm(leader: Summary, rival: Summary) -> Standing:
    """Standing of a rival where a value on either side is 0 or without limit."""
    sides = (leader, rival)
    if all(s.worst == s.count for s in sides) or all(s.best == s.count for s in sides):
        return Standing.TIED
    if rival.worst == rival.count and not leader.worst:
        return Standing.BEATEN
    if leader.best == leader.count and not rival.best:
        return Standing.BEATEN
    return Standing.UNDECIDED


def _at_least_twice(rivals: tuple[Rival, ...], leader_count: int) -> tuple[Rival, ...]:
    """Nothing is decided before the leader, and its closest rival, were measured twice."""
    doubtful = len(rivals) if leader_count < 2 else 1
    return tuple(
        Rival(r.id, Standing.UNDECIDED, r.advantage, r.half_width) if i < doubtful else r
        for i, r in enumerate(rivals)
    )

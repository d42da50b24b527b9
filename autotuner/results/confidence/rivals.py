"""The leader against each of its rivals: who is beaten, who is practically equal. Pure.

For each rival the leader's advantage on the log scale gets bounds ``d -+ t * se`` with::

    se^2 = v_leader / n_leader + v_rival / n_rival        (v: moderated variances)

and Student's t at the Welch-Satterthwaite degrees of freedom, at most those of the pool. The
tail is ``(1 - confidence) / (rivals * looks)``: bounds hold for all rivals at once (the leader was
not chosen beforehand, so each of the others might have been the best), and at each time that
the study looks at them (a study that stops as soon as it likes what it sees is wrong more often).
Keeping every configuration that is not significantly worse than the leader is the subset
selection of Gupta (1965), and multiple comparison with the best of Hsu (1984).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from autotuner.results.confidence.noise import (
    Noise,
    Summary,
    mean_and_moderated_variance,
    pooled_noise,
    summarise,
    t_quantile,
)
from autotuner.spec.objective import Direction

__all__ = ["Comparison", "Rival", "Standing", "compare", "half_width", "tail_of"]


class Standing(StrEnum):
    """How a rival stands against the leader."""

    BEATEN = "beaten"
    TIED = "tied"
    """The leader's advantage, if any, is below what matters."""
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
    summaries = {key: summarise(values, direction) for key, values in samples.items()}
    # Of equals, the one measured more often; the id keeps the order of the table out of it.
    order = sorted(summaries, key=lambda key: (summaries[key].order, -summaries[key].count, key))
    leader, others = order[0], order[1:]
    noise = pooled_noise(summaries.values())
    servers = max(most_servers, *(s.count for s in summaries.values()))
    tail = tail_of(confidence, len(others), servers)
    rivals = tuple(
        _rival(key, summaries[leader], summaries[key], noise, tail, minimal_effect)
        for key in others
    )
    if rivals and min(summaries[leader].count, summaries[others[0]].count) < 2:
        rivals = _at_least_twice(rivals, summaries[leader].count)
    return Comparison(leader, rivals, summaries, noise, tail)


def tail_of(confidence: float, rivals: int, most_servers: int) -> float:
    """Probability left beyond one bound, of one rival, at one look."""
    return (1 - confidence) / (max(1, rivals) * max(1, most_servers - 1))


def half_width(leader: Summary, rival: Summary, noise: Noise, tail: float) -> float:
    """Half the width of the bounds of the leader's advantage on the log scale."""
    _, leader_variance, leader_degrees = mean_and_moderated_variance(leader, noise)
    _, rival_variance, rival_degrees = mean_and_moderated_variance(rival, noise)
    a, b = leader_variance / leader.count, rival_variance / rival.count
    degrees = (a + b) ** 2 / (a**2 / leader_degrees + b**2 / rival_degrees)
    return t_quantile(min(degrees, noise.degrees_of_freedom), tail) * math.sqrt(a + b)


def _rival(
    key: str, leader: Summary, rival: Summary, noise: Noise | None, tail: float, effect: float
) -> Rival:
    if not (leader.is_finite and rival.is_finite):
        return Rival(key, _without_logarithm(leader, rival), None, None)
    advantage = leader.mean - rival.mean
    if noise is None:
        return Rival(key, Standing.UNDECIDED, advantage, None)
    half = half_width(leader, rival, noise, tail)
    # Also a rival that is certainly worse is tied, when it is certainly not much worse.
    if advantage + half < math.log1p(effect):
        return Rival(key, Standing.TIED, advantage, half)
    standing = Standing.BEATEN if advantage - half > 0 else Standing.UNDECIDED
    return Rival(key, standing, advantage, half)


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

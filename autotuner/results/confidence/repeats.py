"""Which configurations to measure on one more fresh server, and how many more it would take."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from autotuner.results.confidence.noise import (
    Noise,
    moderated_variance,
    t_quantile,
)
from autotuner.results.confidence.rivals import Comparison, Rival, compare
from autotuner.spec.objective import Direction

__all__ = ["PRIOR_CV", "next_repeats", "repeats_needed"]

PRIOR_CV = 0.05
"""Noise that is expected before any is measured. It chooses who is repeated first, no more."""
_PRIOR_DEGREES = 3
_MOST_RIVALS = 5
"""Few at a time: repeats that are spread over many decide about none."""
_WITHIN_REACH = 3.0
"""Standard errors behind the leader at which a rival is worth a repeat."""

_MOST_SERVERS = 10_000
"""More than these are as good as never."""


def next_repeats(
    samples: Mapping[str, Sequence[float]],
    direction: Direction,
    *,
    minimal_effect: float,
    most_servers: int,
    slots: int,
    closed: Collection[str] = (),
    confidence: float = 0.95,
) -> tuple[str, ...]:
    """Ids to measure on one more fresh server each, now; the most useful first.

    Candidates are the leader and the best rivals that are undecided and within its reach, and
    all undecided ones where no other is left. Those with the fewest servers come first, of these
    the best. Empty when all is decided, or when nobody may be measured once more.

    Args:
        samples: Experiment id -> effective value per fresh server.
        most_servers: Nobody is measured on more servers than these.
        slots: At most so many ids.
        closed: Nobody of these.
    """
    if len(samples) < 2:
        return ()
    found = compare(
        samples,
        direction,
        minimal_effect=minimal_effect,
        confidence=confidence,
        most_servers=most_servers,
    )
    if not found.undecided:
        return ()
    every = [rival.id for rival in found.undecided]
    near = [rival.id for rival in found.undecided if _within_reach(found, rival)][:_MOST_RIVALS]
    for candidates in ([found.leader, *(near or every[:1])], [found.leader, *every]):
        counts = {key: found.summaries[key].count for key in candidates}
        free = [key for key in candidates if counts[key] < most_servers and key not in closed]
        if free:
            # A stable sort: among equals the best comes first.
            return tuple(sorted(free, key=lambda key: counts[key])[:slots])
    return ()


def repeats_needed(found: Comparison, minimal_effect: float) -> int | None:
    """About how many more fresh servers would decide all that is undecided; None: unknown."""
    if not found.undecided:
        return 0
    if found.noise is None:
        return 2
    leader = found.summaries[found.leader]
    most, total = leader.count, 0
    for rival in found.undecided:
        servers = _servers_needed(found, rival, found.noise, minimal_effect)
        if servers is None:
            return None
        most = max(most, servers)
        total += max(0, servers - found.summaries[rival.id].count)
    return max(1, total + most - leader.count)


def _servers_needed(
    found: Comparison, rival: Rival, noise: Noise, minimal_effect: float
) -> int | None:
    """Servers that leader and rival need each, were their means to stay where they are."""
    if rival.advantage is None:
        return None
    # What the bounds must exclude: no difference, or where it looks small, a rival that is better
    # by as much as matters.
    effect = math.log1p(minimal_effect)
    looks_small = rival.advantage < effect
    enough = rival.advantage + effect if looks_small else rival.advantage
    pair = (found.summaries[found.leader], found.summaries[rival.id])
    measured = [moderated_variance(summary, noise) for summary in pair]
    variance = sum(v for v, _ in measured)
    servers = 2.0
    for _ in range(5):
        own = sum(
            degrees - s.count + servers for (_, degrees), s in zip(measured, pair, strict=True)
        )
        pool = noise.degrees_of_freedom + sum(max(0.0, servers - s.count) for s in pair)
        servers = max(2.0, variance * (t_quantile(min(own, pool), found.tail) / enough) ** 2)
    return math.ceil(servers) if servers <= _MOST_SERVERS else None


def _within_reach(found: Comparison, rival: Rival) -> bool:
    """Whether the noise, as far as it is known, might have put the rival behind the leader."""
    if rival.advantage is None:
        return True
    degrees = found.noise.degrees_of_freedom if found.noise else 0
    squares = degrees * found.noise.variance if found.noise else 0.0
    variance = (_PRIOR_DEGREES * PRIOR_CV**2 + squares) / (_PRIOR_DEGREES + degrees)
    counts = (found.summaries[found.leader].count, found.summaries[rival.id].count)
    error = math.sqrt(variance * sum(1 / count for count in counts))
    return rival.advantage < _WITHIN_REACH * error

"""What may be said of the best configuration: winner, tied, or not enough evidence. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from autotuner.results.confidence.intervals import WIDEST, Interval
from autotuner.results.confidence.repeats import repeats_needed
from autotuner.results.confidence.rivals import Comparison, Rival, Standing, compare
from autotuner.spec.objective import Direction

__all__ = ["Interval", "Verdict", "VerdictKind", "judge"]


class VerdictKind(StrEnum):
    """What the samples allow to say."""

    WINNER = "winner"
    """All rivals are certainly worse than the leader."""
    TIED = "tied"
    """The rivals that are not certainly worse are certainly not better by as much as matters."""
    NOT_ENOUGH_EVIDENCE = "not_enough_evidence"
    NO_RESULT = "no_result"
    """There is nothing to compare."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The leader, and how sure it is.

    The best configuration is, with the given confidence, among the leader, those tied with it
    and those undecided; all others are certainly worse than the leader.
    """

    kind: VerdictKind
    leader: str | None
    """The best by what was measured; None where nothing was."""
    tied_with: tuple[str, ...]
    """Rivals that are not better than the leader by the minimal effect, nor look worse by it."""
    undecided: tuple[str, ...]
    """Rivals of which the samples do not tell; best first, as all ids here."""
    repeats_needed: int | None
    """About how many more fresh servers, in all, would decide; None: cannot be estimated."""
    advantages: Mapping[str, Interval]
    """Rival -> by what fraction the leader is better (0.03: 3 %), with bounds that hold for all
    rivals at once. Absent where a value is 0: no fraction says how much better that is."""
    noise_cv: float | None
    """How much fresh servers of one configuration differ; None: nothing was measured twice."""
    degrees_of_freedom: float
    """How well the noise is known: repeats in all."""
    confidence: float
    minimal_effect: float
    budget_spent: bool = False
    """Whether the leader and all undecided rivals were measured as often as is allowed."""
    shortfall: float | None = None
    """With the given confidence, no rival is better than the leader by more than this fraction:
    what to choose the leader costs at most. None where a bound is missing."""

    def sentence(self, labels: Mapping[str, str]) -> str:
        """The verdict in words; ``labels``: experiment id -> what to call it."""
        if self.leader is None:
            return "no result: nothing was measured that could be compared"
        names = {key: labels.get(key, key) for key in (self.leader, *self.rivals_named)}
        if self.kind is VerdictKind.WINNER:
            return f"winner: {names[self.leader]}, {self._by_how_much()}"
        if self.kind is VerdictKind.TIED:
            tied = ", ".join(names[key] for key in self.tied_with)
            better = self.minimal_effect if self.shortfall is None else self.shortfall
            return (
                f"tied: {names[self.leader]} with {tied} "
                f"(none is more than {_percent(better)} % better)"
            )
        parts = (self._lead(names), self._what_it_may_cost(), self._what_it_takes())
        return f"not enough evidence: {'; '.join(part for part in parts if part)}"

    @property
    def rivals_named(self) -> tuple[str, ...]:
        """Rivals that may be as good as the leader."""
        return (*self.tied_with, *self.undecided)

    def _by_how_much(self) -> str:
        if not self.advantages:
            return "no other has a result to compare with"
        closest = min(self.advantages.values(), key=lambda interval: interval.estimate)
        if closest.low is None or closest.high is None:
            return f"{_percent(closest.estimate)} % better than the next"
        bounds = f"{_percent(closest.low)} to {_percent(closest.high)} %"
        return f"{_percent(closest.estimate)} % ({bounds}) better than the next"

    def _lead(self, names: Mapping[str, str]) -> str:
        rival = self.undecided[0]
        more = f" and {len(self.undecided) - 1} more" if len(self.undecided) > 1 else ""
        lead = f"{names[self.leader or '']} leads {names[rival]}{more}"
        if rival in self.advantages and not more:
            return f"{lead} by {_percent(self.advantages[rival].estimate)} %"
        if rival in self.advantages:
            return f"{lead} by {_percent(self.advantages[rival].estimate)} % or more"
        return lead

    def _what_it_may_cost(self) -> str:
        if self.shortfall is None or self.shortfall >= 1:
            return ""
        return f"none is more than {_percent(self.shortfall)} % better"

    def _what_it_takes(self) -> str:
        if self.repeats_needed is None:
            text = "it cannot be said how many more repeats would decide"
        elif self.noise_cv is None:
            text = f"each was measured once; at least {self.repeats_needed} repeats needed"
        else:
            plural = "s" if self.repeats_needed != 1 else ""
            text = f"about {self.repeats_needed} more repeat{plural} needed"
        return f"no more repeats are allowed; {text}" if self.budget_spent else text


def judge(
    samples: Mapping[str, Sequence[float]],
    direction: Direction,
    *,
    minimal_effect: float,
    confidence: float = 0.95,
    most_servers: int = 5,
) -> Verdict:
    """Say what the samples allow to say of the best configuration.

    Args:
        samples: Experiment id -> effective value per fresh server; only such configurations as
            may win, each with at least one value.
        minimal_effect: A difference below this fraction does not matter.
        most_servers: On so many servers a configuration is measured at most. The study judges
            after each round of repeats, and pays for it with a little more caution each time.
    """
    if not samples:
        return Verdict(
            VerdictKind.NO_RESULT, None, (), (), None, {}, None, 0.0, confidence, minimal_effect
        )
    found = compare(
        samples,
        direction,
        minimal_effect=minimal_effect,
        confidence=confidence,
        most_servers=most_servers,
    )
    tied = tuple(rival.id for rival in found.rivals if rival.standing is Standing.TIED)
    undecided = tuple(rival.id for rival in found.undecided)
    kind = VerdictKind.TIED if tied else VerdictKind.WINNER
    counts = (found.summaries[key].count for key in (found.leader, *undecided))
    return Verdict(
        kind=VerdictKind.NOT_ENOUGH_EVIDENCE if undecided else kind,
        leader=found.leader,
        tied_with=tied,
        undecided=undecided,
        repeats_needed=repeats_needed(found, minimal_effect),
        advantages=_advantages(found, direction),
        noise_cv=found.noise.cv if found.noise else None,
        degrees_of_freedom=float(found.noise.degrees_of_freedom) if found.noise else 0.0,
        confidence=confidence,
        minimal_effect=minimal_effect,
        budget_spent=bool(undecided) and all(count >= most_servers for count in counts),
        shortfall=_shortfall(found, direction),
    )


def _shortfall(found: Comparison, direction: Direction) -> float | None:
    """The most that a rival may be better by than the leader, as a fraction of the leader."""
    doubtful = [rival for rival in found.rivals if rival.standing is not Standing.BEATEN]
    lows = [
        rival.advantage - rival.half_width
        for rival in doubtful
        if rival.advantage is not None and rival.half_width is not None
    ]
    if len(lows) < len(doubtful) or min(lows, default=0.0) < -WIDEST:
        return None
    return max(0.0, _as_fraction(-min(lows, default=0.0), direction))


def _advantages(found: Comparison, direction: Direction) -> dict[str, Interval]:
    return {
        rival.id: _advantage(rival, direction)
        for rival in found.rivals
        if rival.advantage is not None and abs(rival.advantage) < WIDEST
    }


def _advantage(rival: Rival, direction: Direction) -> Interval:
    advantage, half = rival.advantage or 0.0, rival.half_width
    estimate = _as_fraction(advantage, direction)
    if half is None or half > WIDEST:
        return Interval(estimate, None, None)
    bounds = (_as_fraction(advantage + sign * half, direction) for sign in (-1, 1))
    return Interval(estimate, *bounds)


def _as_fraction(log: float, direction: Direction) -> float:
    """What a difference on the log scale is as a fraction of the value that it is better than."""
    return -math.expm1(-log) if direction is Direction.MINIMIZE else math.expm1(log)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}".removesuffix(".0")

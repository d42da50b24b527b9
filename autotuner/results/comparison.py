"""Two studies of the same experiments, before and after a change: what became of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from autotuner.results.confidence.noise import Noise, pooled_noise, summarise
from autotuner.results.confidence.two_samples import Difference, difference
from autotuner.results.load import StudyResults
from autotuner.results.score import EntryStatus, Ranking, RankingEntry
from autotuner.results.study_differences import Changed, changed_circumstances, refusals
from autotuner.results.study_record import ExpectedExperiment

__all__ = ["Comparison", "Pair", "WinnerChange", "compare_studies"]

Key = tuple[bool, frozenset[tuple[str, str, object]]]


class WinnerChange(StrEnum):
    """Whether the best configuration is still the best."""

    KEPT = "kept"
    CHANGED = "changed"
    """The best before the change is certainly not the best after it, or cannot be any more."""
    UNCERTAIN = "uncertain"
    """Another one leads, and the best before may be as good."""
    UNKNOWN = "unknown"
    """One of the studies has no result, or did not measure the other's best."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One experiment in both studies."""

    label: str
    is_baseline: bool
    before: RankingEntry
    after: RankingEntry
    difference: Difference | None
    """None where one of them has no usable result."""

    @property
    def problem(self) -> str:
        """Why there is no difference; empty where there is one."""
        named = (("before", self.before), ("after", self.after))
        bad = [f"{when}: {e.score.reason}" for when, e in named if not _usable(e)]
        return "; ".join(bad)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a change did to a study's experiments."""

    before: StudyResults
    after: StudyResults
    changed: tuple[Changed, ...]
    """Circumstances that differ, and may be the reason for what else does."""
    refused: tuple[str, ...]
    """Why the numbers mean different things; empty where they may be compared."""
    pairs: tuple[Pair, ...]
    """In the order of the ranking after the change; empty where the comparison is refused."""
    only_before: tuple[str, ...]
    """Labels."""
    only_after: tuple[str, ...]
    winner: WinnerChange
    noise: Noise | None
    """Between fresh servers, pooled over both studies."""
    minimal_effect: float
    confidence: float

    @property
    def simulated(self) -> bool:
        """Whether one of the studies measured no real server."""
        return any(bool(r.levels["simulated"].any()) for r in (self.before, self.after))

    @property
    def baseline(self) -> Pair | None:
        """What the change did to the engine's defaults: its effect without any tuning."""
        return next((pair for pair in self.pairs if pair.is_baseline), None)

    @property
    def compared(self) -> tuple[Pair, ...]:
        return tuple(pair for pair in self.pairs if pair.difference is not None)


def compare_studies(
    before: StudyResults, after: StudyResults, *, confidence: float = 0.95
) -> Comparison:
    """Compare the experiments of two studies that have equal parameters.

    Their ids differ wherever anything else of the server does, so the ids are not used. The
    minimal effect is the later study's.
    """
    old, new = _by_key(before), _by_key(after)
    refused = refusals(before.study, after.study)
    shared = [key for key in _in_order(after.ranking(), new) if key in old]
    noise = None if refused else _noise(before.ranking(), after.ranking())
    effect = after.study.judging.minimal_effect
    both = [(old[key], new[key]) for key in shared]
    return Comparison(
        before=before,
        after=after,
        changed=changed_circumstances(before, after, both),
        refused=refused,
        pairs=() if refused else _pairs(before, after, both, noise, effect, confidence),
        only_before=tuple(e.label for key, e in old.items() if key not in new),
        only_after=tuple(e.label for key, e in new.items() if key not in old),
        winner=WinnerChange.UNKNOWN if refused else _winner_change(before, after, old, new),
        noise=noise,
        minimal_effect=effect,
        confidence=confidence,
    )


def _by_key(results: StudyResults) -> dict[Key, ExpectedExperiment]:
    return {_key(experiment): experiment for experiment in results.study.experiments}


def _key(experiment: ExpectedExperiment) -> Key:
    """Equal for experiments that are the same point of the search space.

    Baselines are compared with each other whatever their point is.
    """
    if experiment.is_baseline:
        return True, frozenset()
    # The type's name keeps true apart from 1.
    points = experiment.parameters.items()
    return False, frozenset((name, type(value).__name__, value) for name, value in points)


def _in_order(ranking: Ranking, keyed: Mapping[Key, ExpectedExperiment]) -> list[Key]:
    place = {entry.experiment_id: index for index, entry in enumerate(ranking.entries)}
    return sorted(keyed, key=lambda key: place[keyed[key].id])


def _noise(*rankings: Ranking) -> Noise | None:
    """Pooled over all that both studies ranked: more servers tell the noise better."""
    return pooled_noise(
        summarise(entry.score.samples) for ranking in rankings for entry in ranking.feasible
    )


def _pairs(
    before: StudyResults,
    after: StudyResults,
    both: list[tuple[ExpectedExperiment, ExpectedExperiment]],
    noise: Noise | None,
    effect: float,
    confidence: float,
) -> tuple[Pair, ...]:
    old = {entry.experiment_id: entry for entry in before.ranking().entries}
    new = {entry.experiment_id: entry for entry in after.ranking().entries}
    entries = [(old[a.id], new[b.id]) for a, b in both]
    comparisons = sum(_usable(a) and _usable(b) for a, b in entries)
    direction = after.ranking().direction

    def judged(a: RankingEntry, b: RankingEntry) -> Difference | None:
        if not (_usable(a) and _usable(b)):
            return None
        return difference(
            a.score.samples,
            b.score.samples,
            direction,
            noise=noise,
            minimal_effect=effect,
            comparisons=comparisons,
            confidence=confidence,
        )

    return tuple(Pair(b.label, b.is_baseline, a, b, judged(a, b)) for a, b in entries)


def _usable(entry: RankingEntry) -> bool:
    return entry.status is EntryStatus.FEASIBLE


def _winner_change(
    before: StudyResults,
    after: StudyResults,
    old: Mapping[Key, ExpectedExperiment],
    new: Mapping[Key, ExpectedExperiment],
) -> WinnerChange:
    led, leads = before.ranking().winner, after.ranking().winner
    if led is None or leads is None:
        return WinnerChange.UNKNOWN
    keys = {experiment.id: key for key, experiment in old.items()}
    counterpart = new.get(keys[led.experiment_id])
    if counterpart is None:
        return WinnerChange.UNKNOWN
    if counterpart.id == leads.experiment_id:
        return WinnerChange.KEPT
    may_be_as_good = after.ranking().verdict.rivals_named
    entry = next(e for e in after.ranking().entries if e.experiment_id == counterpart.id)
    if counterpart.id in may_be_as_good or entry.status is EntryStatus.PENDING:
        return WinnerChange.UNCERTAIN
    if entry.status is EntryStatus.NOT_COMPARABLE:
        return WinnerChange.UNCERTAIN
    return WinnerChange.CHANGED

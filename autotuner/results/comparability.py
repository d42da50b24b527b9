"""Measurements made under other circumstances than the rest are not compared with it.

An upgrade of the engine in the middle of a study, another GPU, or an idle machine instead of a
busy one changes the numbers more than most parameters do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from autotuner.spec.judging import Condition

__all__ = ["AttemptCircumstances", "Comparability", "circumstances_of", "compare_circumstances"]

_FEW_NEIGHBOURS = 0.5
"""Attempts under load on the same node, on average, below which one had the node for itself."""

Circumstances = Mapping[Condition, str | None]
"""Condition -> its value in words; None: unknown, which is compared with anything."""


@dataclass(frozen=True, slots=True)
class AttemptCircumstances:
    """Under what circumstances a counting attempt was measured."""

    experiment_id: str
    attempt_id: str
    circumstances: Circumstances


@dataclass(frozen=True, slots=True)
class Comparability:
    """Whose measurements may not be compared with those of the rest."""

    apart: Mapping[str, str]
    """Experiments without a comparable attempt -> why, and what to do."""
    left_out: frozenset[str]
    """Attempts outside of the reference."""


def circumstances_of(row: Mapping[str, object], *, neighbours_of_gpus: bool) -> Circumstances:
    """Circumstances from an attempt's row of `experiments_schema`.

    Args:
        neighbours_of_gpus: Whether neighbours of a server with GPUs of its own are one. They share
            the host, not what is measured; and the last experiments of a study have fewer of them
            than the first, so that a study would often leave out its own end.
    """
    known = {c: row.get(c.value) for c in Condition if c is not Condition.NEIGHBOURS}
    shares = neighbours_of_gpus or not row.get("gpus")
    return {
        **{c: None if value is None else str(value) for c, value in known.items()},
        Condition.NEIGHBOURS: _neighbours(row) if shares else None,
    }


def compare_circumstances(
    attempts: Sequence[AttemptCircumstances], compare_across: Collection[Condition] = ()
) -> Comparability:
    """Find the largest group measured under equal circumstances, and who is not in it.

    The group of the most experiments is the reference; of equally large ones, that of the
    earliest attempt.

    Args:
        attempts: The completed attempts, oldest first.
        compare_across: Conditions that may differ.
    """
    conditions = [c for c in Condition if c not in compare_across]
    if not conditions or not attempts:
        return Comparability({}, frozenset())
    reference = _reference(attempts, conditions)
    outside = [a for a in attempts if _differing(a.circumstances, reference)]
    left_out = frozenset(a.attempt_id for a in outside)
    inside = {a.experiment_id for a in attempts if a.attempt_id not in left_out}
    apart = {
        a.experiment_id: _reason(a.circumstances, reference, compare_across)
        for a in outside
        if a.experiment_id not in inside
    }
    return Comparability(apart, left_out)


def _neighbours(row: Mapping[str, object]) -> str | None:
    mean = row.get("neighbours_mean")
    # A simulated server waits instead of computing: nobody slows it down.
    if not isinstance(mean, int | float) or row.get("simulated"):
        return None
    return "alone" if mean < _FEW_NEIGHBOURS else "shared"


def _reference(
    attempts: Sequence[AttemptCircumstances], conditions: Sequence[Condition]
) -> Circumstances:
    """The circumstances of the largest group."""
    seen = dict.fromkeys(tuple(a.circumstances[c] for c in conditions) for a in attempts)
    candidates = [
        _completed(dict(zip(conditions, values, strict=True)), attempts) for values in seen
    ]
    # The first of equally large ones: ``max`` keeps it, and the oldest attempt comes first.
    return max(candidates, key=lambda candidate: len(_experiments(attempts, candidate)))


def _completed(
    circumstances: Circumstances, attempts: Sequence[AttemptCircumstances]
) -> Circumstances:
    """What is unknown takes the value that most of those have that agree with the rest.

    Else an attempt of which nothing is known would agree with all, however they differ.
    """
    known = dict(circumstances)
    for condition in [c for c, value in circumstances.items() if value is None]:
        values = dict.fromkeys(
            a.circumstances[condition] for a in attempts if not _differing(a.circumstances, known)
        )
        sizes = {
            value: len(_experiments(attempts, {**known, condition: value}))
            for value in values
            if value is not None
        }
        known[condition] = max(sizes, key=sizes.__getitem__, default=None)
    return known


def _experiments(
    attempts: Sequence[AttemptCircumstances], circumstances: Circumstances
) -> frozenset[str]:
    agreeing = (a for a in attempts if not _differing(a.circumstances, circumstances))
    return frozenset(a.experiment_id for a in agreeing)


def _differing(one: Circumstances, other: Circumstances) -> list[Condition]:
    return [c for c, value in other.items() if None not in (value, one[c]) and one[c] != value]


def _reason(
    own: Circumstances, reference: Circumstances, compare_across: Collection[Condition]
) -> str:
    differing = _differing(own, reference)
    what = "; ".join(
        f"its {c.value} is {own[c]}, that of the others {reference[c]}" for c in differing
    )
    keys = ", ".join(c.value for c in Condition if c in compare_across or c in differing)
    return (
        f"measured under other circumstances: {what}. Measure it again, or compare all the same "
        f"with `compare_across: [{keys}]`"
    )

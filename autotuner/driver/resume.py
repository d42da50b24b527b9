"""What a results folder leaves to do: the plan, less what earlier runs have settled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from autotuner.driver.recording import record_attempt
from autotuner.planning import Plan
from autotuner.results.store import EndedAttempt, ResultStore
from autotuner.spec.experiment import Attempt, Cancelled, Experiment

__all__ = ["Past", "close_torn_attempts", "past_of"]

_TORN = "the driver was killed before the attempt had ended"


@dataclass(frozen=True, slots=True)
class Past:
    """The plan, divided by what is on disk."""

    to_do: tuple[Experiment, ...]
    """In the order of their start; of a search the baseline, and what it has begun."""
    reused: int
    """Experiments with an attempt that completed, or was pruned."""
    given_up: int
    """Experiments that failed for a reason in their configuration."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Experiment id -> how long its last completed attempt took."""


def past_of(plan: Plan, store: ResultStore, *, retry_failed: bool) -> Past:
    """Read what earlier runs have settled.

    An experiment is settled when an attempt completed or was pruned, when its last attempt failed
    for good (`FailureKind.permanent`), or when attempts were lost on two different hosts. What
    failed otherwise is tried again: the user may have mended it.

    Args:
        retry_failed: Try again what failed for good, too.
    """
    attempts: dict[str, list[EndedAttempt]] = {}
    for ended in sorted(store.ended_attempts(), key=lambda attempt: attempt.number):
        attempts.setdefault(ended.experiment_id, []).append(ended)
    measured = {id_ for id_, own in attempts.items() if any(a.completed or a.pruned for a in own)}
    failed = {id_ for id_, ended in attempts.items() if _failed_for_good(ended)} - measured
    settled = measured if retry_failed else measured | failed
    to_do = tuple(e for e in plan.in_order if e.id not in settled)
    if not plan.spec.searching.measures_everything:
        # What nobody has asked for is the search's to choose.
        to_do = tuple(e for e in to_do if e.is_baseline or e.id in attempts)
    ids = {experiment.id for experiment in plan.experiments}
    given_up = 0 if retry_failed else len(failed & ids)
    seconds = {
        id_: attempt.seconds
        for id_ in measured & ids
        for attempt in attempts[id_]
        if attempt.completed and attempt.seconds is not None
    }
    return Past(to_do, reused=len(measured & ids), given_up=given_up, seconds=seconds)


def close_torn_attempts(plan: Plan, store: ResultStore) -> None:
    """Give the attempts of a killed driver the rows that it could not write.

    Raises:
        OutputError: the disk refuses.
    """
    experiments = {experiment.id: experiment for experiment in plan.experiments}
    for experiment_id, number in sorted(store.torn_attempts()):
        if experiment_id in experiments:
            attempt = Attempt(plan.study_id, experiments[experiment_id], number)
            record_attempt(plan, store, attempt, Cancelled(_TORN), facts={})


def _failed_for_good(attempts: Iterable[EndedAttempt]) -> bool:
    failed = [attempt for attempt in attempts if attempt.failure is not None]
    lost_on = {a.host for a in failed if a.began and a.failure and a.failure.is_loss}
    last = failed[-1].failure if failed else None
    return len(lost_on) >= 2 or (last is not None and last.permanent)

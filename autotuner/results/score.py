"""Which experiment is best: feasibility, scores and their order. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from autotuner.results.aggregate import LevelRow, Reading, read_objective
from autotuner.results.levels import LevelStatus
from autotuner.results.study_record import ExpectedExperiment
from autotuner.spec.objective import Constraint, Direction, Objective
from autotuner.spec.workload import Level

__all__ = [
    "CAVEAT",
    "EntryStatus",
    "Measured",
    "Ranking",
    "RankingEntry",
    "Score",
    "rank",
    "score_experiment",
    "unit_of",
]

CAVEAT = "one measurement per level; differences of a few percent are noise"
_SIMULATED = "some levels come from a simulated server and measure nothing"

_UNITS = {
    "ttft_s": "s",
    "tpot_s": "s",
    "itl_s": "s",
    "e2e_latency_s": "s",
    "output_throughput_tok_s": "tok/s",
    "total_throughput_tok_s": "tok/s",
    "output_throughput_tok_s_per_gpu": "tok/s/GPU",
    "output_tokens_per_usd": "tok/USD",
    "requests_per_s": "req/s",
    "goodput_requests_per_s": "req/s",
    "goodput_share": "fraction",
    "error_rate": "fraction",
}


class EntryStatus(StrEnum):
    """Where an experiment stands in the ranking."""

    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    """Ended, and cannot win; the score's reason says why."""
    PENDING = "pending"
    """Not started, still running, or interrupted."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is stored of one experiment's chosen attempt."""

    outcome: str | None
    """``completed``, ``failed``, ``cancelled``, or None while the attempt has not ended."""
    failure: str
    """Why it did not complete; empty otherwise."""
    levels: Mapping[Level, LevelRow]


@dataclass(frozen=True, slots=True)
class Score:
    """One experiment's number. A feasible score always has a value."""

    value: float | None
    unit: str
    feasible: bool
    reason: str
    """Why it is not feasible; empty when it is."""
    level: str | None
    """The level that the value comes from, or that the reason is about."""


@dataclass(frozen=True, slots=True)
class RankingEntry:
    """One experiment in the ranking; ``rank`` counts from 1 and is None unless feasible."""

    rank: int | None
    experiment_id: str
    label: str
    score: Score
    status: EntryStatus


@dataclass(frozen=True, slots=True)
class Ranking:
    """All expected experiments: feasible ones best first, infeasible ones, pending ones."""

    objective: str
    direction: Direction
    column: str
    """Column of the level rows that the scores are read from."""
    unit: str
    entries: tuple[RankingEntry, ...]
    caveat: str
    """What the numbers do not show; to be printed with them."""

    @property
    def feasible(self) -> tuple[RankingEntry, ...]:
        return tuple(entry for entry in self.entries if entry.rank is not None)

    @property
    def pending(self) -> tuple[RankingEntry, ...]:
        return tuple(entry for entry in self.entries if entry.status is EntryStatus.PENDING)

    @property
    def winner(self) -> RankingEntry | None:
        """The best feasible experiment so far; None where there is none."""
        return next(iter(self.feasible), None)

    @property
    def margin_to_next(self) -> float | None:
        """Winner's advantage over the second as a fraction of the second's value."""
        return _margin(self.feasible[:2])

    @property
    def margin_to_last(self) -> float | None:
        """Winner's advantage over the last feasible one as a fraction of the last's value."""
        return _margin(self.feasible[:: max(1, len(self.feasible) - 1)])


def rank(
    experiments: Sequence[ExpectedExperiment],
    measured: Mapping[str, Measured],
    objective: Objective,
    constraints: Sequence[Constraint],
) -> Ranking:
    """Order the experiments of a plan by the objective; ties stay in plan order.

    Args:
        experiments: All experiments of the plan, in plan order.
        measured: Experiment id -> what its chosen attempt stored; absent when not started.
    """
    scored = [
        (e, *score_experiment(e, measured.get(e.id), objective, constraints)) for e in experiments
    ]
    sign = 1 if objective.direction is Direction.MINIMIZE else -1
    groups: dict[EntryStatus, list[tuple[ExpectedExperiment, Score]]] = {s: [] for s in EntryStatus}
    for experiment, score, status in scored:
        groups[status].append((experiment, score))
    groups[EntryStatus.FEASIBLE].sort(key=lambda pair: sign * (pair[1].value or 0.0))
    entries = tuple(
        RankingEntry(
            place if status is EntryStatus.FEASIBLE else None, e.id, e.label, score, status
        )
        for status in EntryStatus
        for place, (e, score) in enumerate(groups[status], start=1)
    )
    rows = [row for m in measured.values() for row in m.levels.values()]
    caveat = f"{CAVEAT}; {_SIMULATED}" if any(row.get("simulated") for row in rows) else CAVEAT
    return Ranking(
        objective.name,
        objective.direction,
        objective.column,
        unit_of(objective.metric),
        entries,
        caveat,
    )


def score_experiment(
    experiment: ExpectedExperiment,
    measured: Measured | None,
    objective: Objective,
    constraints: Sequence[Constraint],
) -> tuple[Score, EntryStatus]:
    """Score one experiment.

    It is feasible only when its attempt completed, every expected level is ok, and the levels
    that the objective looks at have the number and keep the constraints.
    """
    unit = unit_of(objective.metric)
    if measured is None:
        return Score(None, unit, False, "not started", None), EntryStatus.PENDING
    # A level that is not ok has numbers for diagnosis only.
    ok = {level: row for level, row in measured.levels.items() if _is_ok(row)}
    if measured.outcome is None:
        done = sum(level in measured.levels for level in experiment.levels)
        reason = f"running or interrupted: {done} of {len(experiment.levels)} levels stored"
        return Score(None, unit, False, reason, None), EntryStatus.PENDING
    reading = read_objective(experiment.levels, ok, objective, constraints)
    reason = _not_complete(experiment, measured) or reading.reason
    status = EntryStatus.INFEASIBLE if reason else EntryStatus.FEASIBLE
    return Score(reading.value, unit, not reason, reason, _level_text(reading)), status


def unit_of(metric: str) -> str:
    """Unit of a metric of `METRICS`."""
    return _UNITS[metric]


def _not_complete(experiment: ExpectedExperiment, measured: Measured) -> str:
    """Why the attempt is no complete measurement of the experiment; empty when it is."""
    parts = []
    if measured.outcome != "completed":
        parts.append(f"{measured.outcome}: {measured.failure or 'no reason recorded'}")
    bad = [level for level in experiment.levels if not _is_ok(measured.levels.get(level, {}))]
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        parts.append(f"level {_level_problem(bad[0], measured.levels.get(bad[0]))}{more}")
    return "; ".join(parts)


def _level_problem(level: Level, row: LevelRow | None) -> str:
    if row is None:
        return f"{level} has no result"
    return f"{level} {str(row['status']).replace('_', ' ')}: {row['reason']}"


def _is_ok(row: LevelRow) -> bool:
    return row.get("status") == LevelStatus.OK


def _level_text(reading: Reading) -> str | None:
    return None if reading.level is None else str(reading.level)


def _margin(pair: Sequence[RankingEntry]) -> float | None:
    if len(pair) < 2:
        return None
    best, other = pair[0].score.value, pair[-1].score.value
    if best is None or not other:
        return None
    return abs(best - other) / abs(other)

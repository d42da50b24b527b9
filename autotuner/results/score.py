"""Which experiment is best: feasibility, scores and their order. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from autotuner.results.aggregate import Reading
from autotuner.results.confidence.intervals import Interval, interval
from autotuner.results.confidence.noise import pooled_noise, summarise
from autotuner.results.confidence.verdict import Verdict, judge
from autotuner.results.limits import penalised
from autotuner.results.measured import Measured
from autotuner.results.server_values import read_levels, values_per_server
from autotuner.results.study_record import ExpectedExperiment
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Direction

__all__ = [
    "EntryStatus",
    "Ranking",
    "RankingEntry",
    "Score",
    "rank",
    "score_experiment",
    "unit_of",
]

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
    "concurrency": "requests",
}


class EntryStatus(StrEnum):
    """Where an experiment stands in the ranking."""

    FEASIBLE = "feasible"
    NOT_COMPARABLE = "not_comparable"
    """Measured under other circumstances than the rest; the score's reason says which."""
    PRUNED = "pruned"
    """Given up because its levels showed that it cannot win; the score's reason says how."""
    INFEASIBLE = "infeasible"
    """Ended, and cannot win; the score's reason says why."""
    PENDING = "pending"
    """Not started, still running, or interrupted."""


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
    penalty: float = 0.0
    """What missed soft limits cost; 0 where all are kept."""
    samples: tuple[float, ...] = ()
    """Effective value per counting attempt, oldest first, at the level that the value is from."""
    direction: Direction = Direction.MAXIMIZE

    @property
    def effective(self) -> float | None:
        """The value with the penalty applied, by which experiments are ordered."""
        return None if self.value is None else penalised(self.value, self.penalty, self.direction)


@dataclass(frozen=True, slots=True)
class RankingEntry:
    """One experiment in the ranking; ``rank`` counts from 1 and is None unless feasible."""

    rank: int | None
    experiment_id: str
    label: str
    score: Score
    status: EntryStatus
    is_baseline: bool = False
    vs_baseline: float | None = None
    """By what fraction it is better (+) or worse (-) than the baseline; None where one of them
    is not feasible."""
    servers: int = 0
    """Fresh servers that it was measured on, as far as they count."""
    interval: Interval | None = None
    """Bounds of the effective value over servers; None where nothing was measured twice."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """All expected experiments: feasible ones best first, then the others by status."""

    objective: str
    direction: Direction
    column: str
    """Column of the level rows that the scores are read from."""
    unit: str
    entries: tuple[RankingEntry, ...]
    caveat: str
    """What the numbers rest on, and what they do not show; to be printed with them."""
    verdict: Verdict

    @property
    def feasible(self) -> tuple[RankingEntry, ...]:
        return tuple(entry for entry in self.entries if entry.rank is not None)

    @property
    def pending(self) -> tuple[RankingEntry, ...]:
        return tuple(entry for entry in self.entries if entry.status is EntryStatus.PENDING)

    @property
    def winner(self) -> RankingEntry | None:
        """The best feasible experiment so far, the verdict's leader; None where there is none.

        Whether it is the winner, the verdict says.
        """
        return next(iter(self.feasible), None)

    @property
    def margin_to_next(self) -> float | None:
        """By what fraction the first is better than the second."""
        return _advantage(*self.feasible[:2]) if len(self.feasible) > 1 else None


def rank(
    experiments: Sequence[ExpectedExperiment],
    measured: Mapping[str, Measured],
    judging: Judging,
    apart: Mapping[str, str] | None = None,
) -> Ranking:
    """Order the experiments of a plan by the objective; ties stay in plan order.

    The verdict's leader comes first. It is the best by its values per server, which can differ
    from the pooled values by a little where nothing is decided.

    Args:
        experiments: All experiments of the plan, in plan order.
        measured: Experiment id -> what its counting attempts stored; absent when not started.
        apart: Experiment id -> why it may not be compared with the others.
    """
    objective = judging.objective
    entries = [
        _entry(experiment, measured.get(experiment.id), judging, (apart or {}).get(experiment.id))
        for experiment in experiments
    ]
    feasible = [entry for entry in entries if entry.status is EntryStatus.FEASIBLE]
    verdict = judge(
        {entry.experiment_id: entry.score.samples for entry in feasible},
        objective.direction,
        minimal_effect=judging.minimal_effect,
        most_servers=judging.finalist_servers,
    )
    sign = 1 if objective.direction is Direction.MINIMIZE else -1
    feasible.sort(
        key=lambda e: (e.experiment_id != verdict.leader, sign * (e.score.effective or 0.0))
    )
    others = [entry for status in EntryStatus for entry in entries if entry.status is status]
    rest = [entry for entry in others if entry.status is not EntryStatus.FEASIBLE]
    return Ranking(
        objective.name,
        objective.direction,
        objective.column,
        unit_of(objective.metric),
        (*_placed(feasible), *rest),
        _caveat(feasible, verdict, measured),
        verdict,
    )


def score_experiment(
    experiment: ExpectedExperiment, measured: Measured | None, judging: Judging
) -> tuple[Score, EntryStatus]:
    """Score one experiment.

    It is feasible only when its attempt completed, every expected level is ok, and the levels
    that the objective looks at have the number and keep the constraints. Limits are judged on
    the pooled levels. Where the best level counts, one may have been skipped.
    """
    objective = judging.objective
    unit = unit_of(objective.metric)
    if measured is None:
        return Score(None, unit, False, "not started", None), EntryStatus.PENDING
    if measured.outcome is None:
        most = "" if experiment.found else f" of {len(experiment.levels)}"
        reason = f"running or interrupted: {measured.rows}{most} levels stored"
        return Score(None, unit, False, reason, None), EntryStatus.PENDING
    levels, reading = read_levels(experiment, measured, judging)
    reason = measured.problem(levels) or reading.reason
    samples: tuple[float, ...] = ()
    if not reason:
        samples, reason = values_per_server(experiment, measured, reading, judging)
    status = EntryStatus.INFEASIBLE if reason else EntryStatus.FEASIBLE
    if measured.outcome == "pruned":
        status, reason = EntryStatus.PRUNED, measured.failure
    score = Score(
        reading.value,
        unit,
        not reason,
        reason,
        _level_text(reading),
        reading.penalty,
        direction=objective.direction,
    )
    if reason:
        return score, status
    # Without a sample of its own, e.g. where one server alone cannot give the number.
    return replace(score, samples=samples or (score.effective or 0.0,)), status


def unit_of(metric: str) -> str:
    """Unit of a metric of `METRICS`."""
    return _UNITS[metric]


def _entry(
    experiment: ExpectedExperiment, measured: Measured | None, judging: Judging, apart: str | None
) -> RankingEntry:
    score, status = score_experiment(experiment, measured, judging)
    if apart is not None and measured is not None and measured.outcome == "completed":
        # Whatever it keeps or misses, it might not under the others' circumstances.
        score = replace(score, feasible=False, reason=apart, samples=())
        status = EntryStatus.NOT_COMPARABLE
    servers = len(measured.attempts) if measured is not None else 0
    return RankingEntry(
        None, experiment.id, experiment.label, score, status, experiment.is_baseline, None, servers
    )


def _placed(feasible: Sequence[RankingEntry]) -> list[RankingEntry]:
    """The entries with rank, interval, and how they stand to the baseline."""
    baseline = next((entry for entry in feasible if entry.is_baseline), None)
    noise = pooled_noise([summarise(entry.score.samples) for entry in feasible])
    placed = []
    for place, entry in enumerate(feasible, start=1):
        bounds = interval(entry.score.samples, noise=noise)
        placed.append(
            replace(
                entry,
                rank=place,
                vs_baseline=None if baseline is None else _advantage(entry, baseline),
                interval=None if bounds.low is None else bounds,
            )
        )
    return placed


def _level_text(reading: Reading) -> str | None:
    if reading.level is not None:
        return str(reading.level)
    return ", ".join(str(term.level) for term in reading.terms) or None


def _advantage(one: RankingEntry, other: RankingEntry) -> float | None:
    """By what fraction of the other's value the one is better."""
    own, others = one.score.effective, other.score.effective
    if own is None or not others:
        return None
    sign = -1 if one.score.direction is Direction.MINIMIZE else 1
    return sign * (own - others) / others


def _caveat(
    feasible: Sequence[RankingEntry], verdict: Verdict, measured: Mapping[str, Measured]
) -> str:
    counts = sorted({entry.servers for entry in feasible})
    parts = []
    if counts:
        servers = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        parts.append(f"measured on {servers} server{'s' if counts[-1] != 1 else ''} each")
        parts.append(
            "nothing tells differences from noise"
            if verdict.noise_cv is None
            else f"servers of one configuration differ by {100 * verdict.noise_cv:.2g} % (CV)"
        )
    rows = [row for m in measured.values() for row in m.levels.values()]
    if any(row.get("simulated") for row in rows):
        parts.append(_SIMULATED)
    return "; ".join(parts)

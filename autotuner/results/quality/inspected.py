"""A study's results as the checks look at them: plain rows, a missing number is None."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from autotuner.results.levels import LevelStatus
from autotuner.results.limits import number
from autotuner.results.load import StudyResults
from autotuner.results.score import Ranking, RankingEntry
from autotuner.results.study_record import ExpectedExperiment, StudyRecord
from autotuner.spec.judging import Judging

__all__ = ["Inspected", "Row", "at_worst", "place", "rows_of"]

Row = Mapping[str, object]


@dataclass(frozen=True)
class Inspected:
    """Everything that a check may look at."""

    study: StudyRecord
    ranking: Ranking
    attempts: tuple[Row, ...]
    """Every attempt that has ended, oldest first; rows of `experiments_schema`."""
    levels: tuple[Row, ...]
    """Levels of the compared attempts, each repeat by itself, without those that were skipped;
    rows of `LEVELS`."""
    pooled: tuple[Row, ...]
    """Levels with repeats and servers pooled."""
    counting: Mapping[str, tuple[str, ...]]
    """Experiment id -> the attempts that count, oldest first."""
    compared: Mapping[str, tuple[str, ...]]
    """Those of them that are pooled: as `counting`, without what may not be compared."""

    @staticmethod
    def of(results: StudyResults) -> Inspected:
        attempts = sorted(rows_of(results.attempts), key=_attempt_number)
        compared = {attempt for ids in results.compared.values() for attempt in ids}
        return Inspected(
            study=results.study,
            ranking=results.ranking(),
            attempts=tuple(attempts),
            levels=tuple(
                row
                for row in rows_of(results.levels)
                if row["attempt_id"] in compared and row["status"] != LevelStatus.SKIPPED.value
            ),
            pooled=tuple(rows_of(results.pooled_levels)),
            counting=results.chosen,
            compared=results.compared,
        )

    @property
    def judging(self) -> Judging:
        return self.study.judging

    @cached_property
    def experiments(self) -> Mapping[str, ExpectedExperiment]:
        return {experiment.id: experiment for experiment in self.study.experiments}

    @cached_property
    def entries(self) -> Mapping[str, RankingEntry]:
        return {entry.experiment_id: entry for entry in self.ranking.entries}

    @cached_property
    def leader(self) -> str | None:
        """The experiment that the verdict is about."""
        if self.ranking.verdict.leader is not None:
            return self.ranking.verdict.leader
        winner = self.ranking.winner
        return None if winner is None else winner.experiment_id

    @cached_property
    def finalists(self) -> frozenset[str]:
        """Whose numbers the verdict rests on: the leader and whoever is not clearly behind."""
        verdict = self.ranking.verdict
        found = {self.leader, *verdict.tied_with, *verdict.undecided}
        return frozenset(id_ for id_ in found if id_ is not None)

    @property
    def lead(self) -> float | None:
        """By what fraction the leader is better than the next."""
        estimates = [a.estimate for a in self.ranking.verdict.advantages.values()]
        return min(estimates) if estimates else self.ranking.margin_to_next

    @cached_property
    def ended(self) -> tuple[Row, ...]:
        """Rows of the attempts that count."""
        ids = {attempt for attempts in self.counting.values() for attempt in attempts}
        return tuple(row for row in self.attempts if row["attempt_id"] in ids)

    @cached_property
    def usable(self) -> tuple[Row, ...]:
        """Levels of `levels` that are ok."""
        return tuple(row for row in self.levels if row["status"] == LevelStatus.OK.value)

    @cached_property
    def judged(self) -> tuple[Row, ...]:
        """Pooled levels that are ok and that the objective looks at."""
        return tuple(
            row
            for row in self.pooled
            if row["status"] == LevelStatus.OK.value and self.in_scope(row)
        )

    def in_scope(self, row: Row) -> bool:
        """Whether the objective looks at this level."""
        objective = self.judging.objective
        terms = [(term.workload, term.concurrency) for term in objective.weights]
        return any(
            workload in (None, row["workload"]) and concurrency in (None, row["concurrency"])
            for workload, concurrency in terms or [(objective.workload, objective.concurrency)]
        )

    def ordered(self, ids: Iterable[object]) -> tuple[str, ...]:
        """Experiments in plan order, each once."""
        wanted = set(ids)
        return tuple(id_ for id_ in self.experiments if id_ in wanted)

    def concerned(self, rows: Iterable[Row]) -> tuple[str, ...]:
        return self.ordered(row["experiment_id"] for row in rows)

    def label(self, id_: object) -> str:
        experiment = self.experiments.get(str(id_))
        if experiment is None:
            return str(id_)
        return f"the baseline ({experiment.label})" if experiment.is_baseline else experiment.label


def rows_of(frame: pd.DataFrame) -> list[Row]:
    """Rows of a frame, with None for whatever is missing in any dtype."""
    columns = {}
    for name in frame.columns:
        column = frame[name]
        columns[str(name)] = column.astype(object).where(column.notna(), None).tolist()
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def place(row: Row) -> str:
    """A level in words, as the scores name it."""
    return f"{row['workload']} {row['scenario']} c={row['concurrency']}"


def at_worst(worst: Row, rows: Sequence[Row], inspected: Inspected) -> str:
    """Where the worst of several levels is, and of how many, e.g. to end a sentence."""
    rest = f"; {len(rows)} levels in all" if len(rows) > 1 else ""
    return f"at {place(worst)} of {inspected.label(worst['experiment_id'])}{rest}"


def _attempt_number(row: Row) -> float:
    return number(row, "attempt") or 0.0

"""What a report is about: a study's results as plain values, in the order of its ranking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from autotuner.results.counting import level_of
from autotuner.results.limits import finite
from autotuner.results.load import StudyResults, load_results
from autotuner.results.place import Place
from autotuner.results.quality.finding import Finding
from autotuner.results.score import Ranking, RankingEntry
from autotuner.results.study_record import ExpectedExperiment, StudyRecord
from autotuner.spec.server import Value, spelled

__all__ = ["NOT_SET", "Configuration", "Subject", "load_subject"]

NOT_SET = "not set"
"""Stands for the value of a parameter that a configuration does without."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """One experiment of the plan with what came out."""

    index: int
    """Place in the order of the ranking, from 0; what scripts and charts call it."""
    entry: RankingEntry
    expected: ExpectedExperiment
    standing: str
    """``leader``, ``tied``, ``undecided``, or empty for one that the verdict rules out."""
    level: Mapping[str, object]
    """Pooled row of the level that the score comes from; empty where there is none."""
    failure_kind: str | None
    """Why its counting attempt failed, if it did."""

    @property
    def id(self) -> str:
        return self.expected.id

    @property
    def label(self) -> str:
        return self.expected.label

    @property
    def is_baseline(self) -> bool:
        return self.expected.is_baseline

    @property
    def name(self) -> str:
        """Label with rank, and whether it is the baseline."""
        rank = "" if self.entry.rank is None else f"#{self.entry.rank} "
        return f"{rank}{self.label}{' (baseline)' if self.is_baseline else ''}"

    @property
    def status_word(self) -> str:
        """Status in the ranking, with what failed apart from what missed a limit."""
        return "failed" if self.failure_kind else self.entry.status.value.replace("_", " ")

    @property
    def score(self) -> float | None:
        """The value where it counts."""
        return self.entry.score.value if self.entry.rank is not None else None

    def number(self, column: str) -> float | None:
        """A number of the score's level."""
        return finite(self.level.get(column))


@dataclass(frozen=True)
class Subject:
    """A study's results, read once."""

    results: StudyResults
    findings: tuple[Finding, ...]

    @property
    def attempts(self) -> pd.DataFrame:
        """One row per attempt that has ended, counting or not."""
        return self.results.attempts

    @property
    def study(self) -> StudyRecord:
        return self.results.study

    @cached_property
    def ranking(self) -> Ranking:
        return self.results.ranking()

    @cached_property
    def configurations(self) -> tuple[Configuration, ...]:
        """All experiments of the plan: ranked, infeasible, not comparable, pending."""
        levels = _by_level(self.results.pooled_levels)
        failures = self._failures()
        return tuple(
            Configuration(
                index,
                entry,
                self._expected[entry.experiment_id],
                self._standing(entry.experiment_id),
                levels.get((entry.experiment_id, entry.score.level or ""), {}),
                failures.get(entry.experiment_id),
            )
            for index, entry in enumerate(self.ranking.entries)
        )

    @cached_property
    def index_of(self) -> Mapping[str, int]:
        """Experiment id -> place in the order of the ranking."""
        return {c.id: c.index for c in self.configurations}

    @property
    def leader(self) -> Configuration | None:
        leader = self.ranking.verdict.leader
        return None if leader is None else self.configurations[self.index_of[leader]]

    @property
    def baseline(self) -> Configuration | None:
        return next((c for c in self.configurations if c.is_baseline), None)

    @property
    def is_simulated(self) -> bool:
        return any(bool(frame["simulated"].any()) for frame in (self.results.levels, self.attempts))

    @cached_property
    def varied(self) -> Mapping[str, tuple[Value, ...]]:
        """Parameter -> its values in the study, for those with more than one."""
        found: dict[str, list[Value]] = {}
        for column in self.study.parameters:
            for configuration in self.in_space:
                value = column.render(configuration.expected.parameters.get(column.parameter))
                values = found.setdefault(column.parameter, [])
                if value not in values:
                    values.append(value)
        return {name: _in_order(values) for name, values in found.items() if len(values) > 1}

    @cached_property
    def in_space(self) -> tuple[Configuration, ...]:
        """Points of the search space: all but a baseline that has a value of its own."""
        names = [column.parameter for column in self.study.parameters]
        others = [c for c in self.configurations if not c.is_baseline]
        seen = {name: {self.value_text(c, name) for c in others} for name in names}
        return tuple(
            c
            for c in self.configurations
            if not c.is_baseline
            or all(self.value_text(c, name) in texts for name, texts in seen.items())
        )

    def value_of(self, configuration: Configuration, parameter: str) -> Value:
        """A parameter's value as the results have it; None where it is not set."""
        column = next(c for c in self.study.parameters if c.parameter == parameter)
        return column.render(configuration.expected.parameters.get(parameter))

    def value_text(self, configuration: Configuration, parameter: str) -> str:
        """A parameter's value as the study file spells it."""
        return self.spelled(self.value_of(configuration, parameter))

    @staticmethod
    def spelled(value: Value) -> str:
        """A value as the study file spells it."""
        return NOT_SET if value is None else spelled(value)

    @cached_property
    def _expected(self) -> Mapping[str, ExpectedExperiment]:
        return {experiment.id: experiment for experiment in self.study.experiments}

    def _standing(self, experiment_id: str) -> str:
        verdict = self.ranking.verdict
        if experiment_id == verdict.leader:
            return "leader"
        if experiment_id in verdict.tied_with:
            return "tied"
        return "undecided" if experiment_id in verdict.undecided else ""

    def _failures(self) -> Mapping[str, str]:
        counting = {a for attempts in self.results.chosen.values() for a in attempts}
        rows = self.attempts
        failed = rows[(rows["outcome"] == "failed") & rows["attempt_id"].isin(counting)]
        return {
            str(id_): str(kind)
            for id_, kind in zip(failed["experiment_id"], failed["failure_kind"], strict=True)
        }


def load_subject(results_dir: str | Place) -> Subject:
    """Read a study's folder, also while it runs.

    Raises:
        OutputError: when there is no such folder, no study in it, or a file cannot be read.
    """
    from autotuner.results.quality.inspection import inspect

    results = load_results(results_dir)
    return Subject(results, inspect(results))


def _by_level(levels: pd.DataFrame) -> dict[tuple[str, str], Mapping[str, object]]:
    return {
        (str(row["experiment_id"]), str(level_of(row))): row
        for record in levels.to_dict("records")
        for row in [{str(name): value for name, value in record.items()}]
    }


def _in_order(values: list[Value]) -> tuple[Value, ...]:
    """Numbers by size; anything else as the study has it, what is not set last."""
    numbers = all(v is None or (isinstance(v, int | float)) for v in values)
    known = [v for v in values if v is not None]
    ordered = sorted(known, key=lambda v: float(v or 0)) if numbers else known
    return (*ordered, *(v for v in values if v is None))

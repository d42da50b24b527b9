"""Which attempts stand for an experiment, and what they have measured together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from autotuner.results.comparability import (
    AttemptCircumstances,
    circumstances_of,
    compare_circumstances,
)
from autotuner.results.files import ResultPaths, read_files
from autotuner.results.levels import LevelStatus
from autotuner.results.limits import LevelRow
from autotuner.results.measured import Measured
from autotuner.results.place import Place
from autotuner.results.pooling import REQUEST_COLUMNS, pool
from autotuner.results.schema import REQUESTS, file_schema
from autotuner.results.study_record import ExpectedExperiment, StudyRecord
from autotuner.spec.workload import Level

__all__ = ["Counting", "compared_attempts", "counting_attempts", "level_of", "measured_of"]

Row = Mapping[str, object]


@dataclass(frozen=True)
class Counting:
    """The rows of the counting attempts, and where those of their requests are."""

    paths: ResultPaths
    study: StudyRecord
    experiments: Sequence[Row]
    levels: Sequence[Row]

    @cached_property
    def ended(self) -> Mapping[str, Row]:
        """Attempt id -> its row."""
        return {str(row["attempt_id"]): row for row in self.experiments}

    @cached_property
    def levels_of(self) -> Mapping[str, Mapping[Level, Row]]:
        """Attempt id -> its levels, each repeat by itself."""
        found: dict[str, dict[Level, Row]] = {}
        for row in self.levels:
            found.setdefault(str(row["attempt_id"]), {})[level_of(row)] = row
        return found

    def pooled(
        self, experiment: ExpectedExperiment, attempts: Iterable[str]
    ) -> dict[Level, LevelRow]:
        """The levels of some attempts of an experiment, pooled; in the experiment's order."""
        found: dict[Level, list[tuple[Row, Place]]] = {}
        for attempt in attempts:
            stored = self.levels_of.get(attempt, {})
            for index, level in enumerate(experiment.levels):
                if level in stored:
                    place = self.paths.requests_file(attempt, index)
                    found.setdefault(level.of_all_repeats, []).append((stored[level], place))
        order = dict.fromkeys(level.of_all_repeats for level in experiment.levels)
        return {level: self._pool(found[level]) for level in order if level in found}

    def _pool(self, found: Sequence[tuple[Row, Place]]) -> LevelRow:
        """One row; where some measured the level, those that skipped it say nothing of it."""
        loaded = [one for one in found if one[0]["status"] != LevelStatus.SKIPPED] or found
        return pool([row for row, _ in loaded], self._reader([place for _, place in loaded]))

    def _reader(self, files: Sequence[Place]) -> Callable[[], pa.Table]:
        schema = file_schema(REQUESTS, self.study.study_id)
        return lambda: read_files(files, schema, columns=list(REQUEST_COLUMNS))


def counting_attempts(experiments: pa.Table, levels: pa.Table) -> dict[str, tuple[str, ...]]:
    """Experiment id -> all its completed attempts, oldest first; else the latest with any row."""
    completed = experiments.filter(pc.equal(experiments["outcome"], "completed"))
    completed_ids = frozenset(completed["attempt_id"].to_pylist())
    seen: dict[str, set[str]] = {}
    for table in (experiments, levels):
        ids = zip(table["experiment_id"].to_pylist(), table["attempt_id"].to_pylist(), strict=True)
        for experiment_id, attempt_id in ids:
            seen.setdefault(experiment_id, set()).add(attempt_id)
    counting = {}
    for experiment_id, attempts in seen.items():
        oldest_first = sorted(attempts, key=lambda id_: int(id_.rpartition("-a")[2]))
        whole = tuple(id_ for id_ in oldest_first if id_ in completed_ids)
        counting[experiment_id] = whole or (oldest_first[-1],)
    return counting


def compared_attempts(
    counting: Counting, chosen: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, tuple[str, ...]], Mapping[str, str]]:
    """Which of the attempts are pooled, and which experiments may not be compared, and why.

    The attempts of an experiment that may not be compared are pooled among themselves.
    """
    rows = [row for row in counting.experiments if row["outcome"] == "completed"]
    # Attempts without a time come last; the ids keep the order the same from load to load.
    rows.sort(key=lambda row: (str(row["started_at"] or "9999"), str(row["attempt_id"])))
    across = counting.study.judging.compare_across
    attempts = [
        AttemptCircumstances(
            str(row["experiment_id"]),
            str(row["attempt_id"]),
            circumstances_of(row, neighbours_of_gpus=across is not None),
        )
        for row in rows
    ]
    found = compare_circumstances(attempts, across or ())
    compared = {
        experiment_id: tuple(id_ for id_ in ids if id_ not in found.left_out) or ids
        for experiment_id, ids in chosen.items()
    }
    return compared, found.apart


def measured_of(counting: Counting, compared: Mapping[str, tuple[str, ...]]) -> dict[str, Measured]:
    """Experiment id -> what its attempts have measured; absent where none has a row."""
    return {
        experiment.id: _measured(counting, experiment, compared[experiment.id])
        for experiment in counting.study.experiments
        if experiment.id in compared
    }


def _measured(
    counting: Counting, experiment: ExpectedExperiment, attempts: tuple[str, ...]
) -> Measured:
    # Several only where all of them completed.
    ended = counting.ended.get(attempts[-1], {})
    outcome = ended.get("outcome")
    whole = counting.pooled(experiment, attempts)
    if outcome != "completed":
        parts: tuple[Mapping[Level, LevelRow], ...] = ()
    elif len(attempts) == 1:
        parts = (whole,)
    else:
        parts = tuple(counting.pooled(experiment, [attempt]) for attempt in attempts)
    return Measured(
        outcome=None if outcome is None else str(outcome),
        failure=_failure_text(ended),
        levels=whole,
        attempts=parts,
        missing=frozenset(
            level.of_all_repeats
            for attempt in attempts
            for level in experiment.owed
            if level not in counting.levels_of.get(attempt, {})
        ),
    )


def level_of(row: Row) -> Level:
    """The level that a row of `LEVELS` is about."""
    concurrency, repeat = int(str(row["concurrency"])), int(str(row["repeat"]))
    return Level(str(row["workload"]), str(row["scenario"]), concurrency, repeat)


def _failure_text(row: Row) -> str:
    parts = (row.get("failure_kind"), row.get("failure_message"))
    return ": ".join(str(part) for part in parts if part)

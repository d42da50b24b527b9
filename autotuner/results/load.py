"""Reading results: a finished or running study as data frames, and its ranking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from autotuner.errors import OutputError
from autotuner.results.aggregate import LevelRow
from autotuner.results.files import ResultPaths, read_tables
from autotuner.results.schema import LEVELS, REQUESTS, experiments_schema, file_schema
from autotuner.results.score import Measured, Ranking, rank
from autotuner.results.store import read_study
from autotuner.results.study_record import StudyRecord
from autotuner.spec.workload import Level

__all__ = ["StudyResults", "load_results"]


_IDENTITY = ("experiment_id", "attempt_id")


@dataclass(frozen=True)
class StudyResults:
    """What a results folder holds. Frames have the dtypes that ``pandas.read_parquet`` gives."""

    study: StudyRecord
    experiments: pd.DataFrame
    """One row per attempt that has ended; columns of `experiments_schema`."""
    levels: pd.DataFrame
    """One row per stored level; columns of `LEVELS`, then label and parameters."""
    chosen: Mapping[str, str]
    """Experiment id -> the attempt that stands for it in the ranking."""
    _paths: ResultPaths
    _measured: Mapping[str, Measured]
    _all_attempts: bool

    @cached_property
    def requests(self) -> pd.DataFrame:
        """One row per request; columns of `REQUESTS`, then label and parameters.

        Read from disk at first use, since it is by far the largest.

        Raises:
            OutputError: when a file cannot be read.
        """
        table = read_tables(self._paths.requests, file_schema(REQUESTS, self.study.study_id))
        if not self._all_attempts:
            table = _of_attempts(table, self.chosen)
        return _with_parameters(table, self.study)

    def ranking(self) -> Ranking:
        """All experiments of the plan, judged by the study's objective and constraints.

        Only the chosen attempts count, also where all of them were loaded.
        """
        return self._ranking

    @cached_property
    def _ranking(self) -> Ranking:
        judging = self.study.judging
        return rank(self.study.experiments, self._measured, judging.objective, judging.constraints)


def load_results(path: str | Path, *, all_attempts: bool = False) -> StudyResults:
    """Read a study's folder, also while the study runs.

    Args:
        all_attempts: False: of each experiment the completed attempt (the last, should there
            be several), else its latest attempt. True: the rows of every attempt.

    Raises:
        OutputError: when there is no such folder, no study in it, or a file cannot be read.
    """
    paths = ResultPaths(Path(path))
    study = read_study(paths)
    schema = experiments_schema(study.parameters)
    # The reverse of the order of writing: whatever a row refers to is then on disk already.
    experiments = read_tables(paths.experiments, file_schema(schema, study.study_id))
    levels = read_tables(paths.levels, file_schema(LEVELS, study.study_id))
    _check_known(paths, study, experiments, levels)
    chosen = _choose(experiments, levels)
    measured = _measured(_of_attempts(experiments, chosen), _of_attempts(levels, chosen))
    if not all_attempts:
        experiments, levels = _of_attempts(experiments, chosen), _of_attempts(levels, chosen)
    return StudyResults(
        study=study,
        experiments=experiments.to_pandas(),
        levels=_with_parameters(levels, study),
        chosen=chosen,
        _paths=paths,
        _measured=measured,
        _all_attempts=all_attempts,
    )


def _check_known(paths: ResultPaths, study: StudyRecord, *tables: pa.Table) -> None:
    known = {experiment.id for experiment in study.experiments}
    for table in tables:
        for id_, attempt_id in zip(*(table[c].to_pylist() for c in _IDENTITY), strict=True):
            if id_ not in known:
                raise OutputError(
                    f"{paths.root} holds the attempt {attempt_id}, whose experiment is not in its "
                    "study: was it copied there? A change of the study that was cut off is "
                    "finished by `autotuner run FILE --resume`"
                )


def _choose(experiments: pa.Table, levels: pa.Table) -> dict[str, str]:
    """Experiment id -> its completed attempt, else the latest one with any row."""
    completed = experiments.filter(pc.equal(experiments["outcome"], "completed"))
    completed_ids = frozenset(completed["attempt_id"].to_pylist())

    def preference(attempt_id: str) -> tuple[bool, int]:
        number = int(attempt_id.rpartition("-a")[2])
        return attempt_id in completed_ids, number

    chosen: dict[str, str] = {}
    for table in (experiments, levels):
        ids = zip(table["experiment_id"].to_pylist(), table["attempt_id"].to_pylist(), strict=True)
        for experiment_id, attempt_id in ids:
            best = chosen.get(experiment_id, attempt_id)
            chosen[experiment_id] = max(best, attempt_id, key=preference)
    return chosen


def _of_attempts(table: pa.Table, chosen: Mapping[str, str]) -> pa.Table:
    attempts = pa.array(list(chosen.values()), pa.string())
    return table.filter(pc.is_in(table["attempt_id"], value_set=attempts))


def _measured(experiments: pa.Table, levels: pa.Table) -> dict[str, Measured]:
    rows: dict[str, dict[Level, LevelRow]] = {}
    for row in levels.to_pylist():
        level = Level(row["workload"], row["scenario"], row["concurrency"], row["repeat"])
        rows.setdefault(row["experiment_id"], {})[level] = row
    ended = {row["experiment_id"]: row for row in experiments.to_pylist()}
    return {
        id_: Measured(
            outcome=ended[id_]["outcome"] if id_ in ended else None,
            failure=_failure_text(ended.get(id_, {})),
            levels=rows.get(id_, {}),
        )
        for id_ in rows.keys() | ended.keys()
    }


def _failure_text(row: Mapping[str, object]) -> str:
    parts = (row.get("failure_kind"), row.get("failure_message"))
    return ": ".join(str(part) for part in parts if part)


def _with_parameters(table: pa.Table, study: StudyRecord) -> pd.DataFrame:
    # From the plan, not the experiment rows: those are missing while an attempt runs.
    columns = [pa.field("experiment_id", pa.string()), pa.field("label", pa.string())]
    points = [
        {
            "experiment_id": experiment.id,
            "label": experiment.label,
            **{
                c.column: c.render(experiment.parameters.get(c.parameter)) for c in study.parameters
            },
        }
        for experiment in study.experiments
    ]
    schema = pa.schema([*columns, *(column.field for column in study.parameters)])
    plan: pd.DataFrame = pa.Table.from_pylist(points, schema=schema).to_pandas()
    rows: pd.DataFrame = table.to_pandas()
    return rows.merge(plan, on="experiment_id", how="left", validate="many_to_one")

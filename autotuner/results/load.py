"""Reading results: a finished or running study as data frames, and its ranking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from autotuner.errors import OutputError
from autotuner.results.asked import read_asked, read_stopped
from autotuner.results.counting import Counting, compared_attempts, counting_attempts, measured_of
from autotuner.results.files import ResultPaths, read_files, read_tables, result_files
from autotuner.results.measured import Measured
from autotuner.results.place import Place, place_of
from autotuner.results.pooling import POOLED
from autotuner.results.rejudging import rejudged
from autotuner.results.schema import LEVELS, REQUESTS, experiments_schema, file_schema
from autotuner.results.score import Ranking, rank
from autotuner.results.store import read_study
from autotuner.results.study_record import StudyRecord

__all__ = ["StudyResults", "load_results"]


_IDENTITY = ("experiment_id", "attempt_id")


@dataclass(frozen=True)
class StudyResults:
    """What a results folder holds. Frames have the dtypes that ``pandas.read_parquet`` gives."""

    study: StudyRecord
    experiments: pd.DataFrame
    """One row per counting attempt that has ended; columns of `experiments_schema`."""
    levels: pd.DataFrame
    """One row per stored level; columns of `LEVELS`, then label and parameters."""
    attempts: pd.DataFrame
    """One row per attempt that has ended, counting or not; columns of `experiments_schema`."""
    chosen: Mapping[str, tuple[str, ...]]
    """Experiment id -> the attempts that count, oldest first: all that completed, else the
    latest one."""
    compared: Mapping[str, tuple[str, ...]]
    """Those of them that are pooled: without such as were measured under other circumstances."""
    _paths: ResultPaths
    _measured: Mapping[str, Measured]
    _apart: Mapping[str, str]
    _all_attempts: bool
    search_stopped: str | None = None
    """Why the search has ended; None where it goes on, was interrupted, or there is none."""

    @property
    def measured(self) -> Mapping[str, Measured]:
        """Experiment id -> what its counting attempts have stored; absent where there are none."""
        return self._measured

    @property
    def search_sentence(self) -> str | None:
        """What a search has left out, and why; None where everything is measured."""
        if self.study.search is None:
            return None
        ended = sum(measured.outcome is not None for measured in self._measured.values())
        return self.study.search.sentence(ended, self.search_stopped)

    @cached_property
    def requests(self) -> pd.DataFrame:
        """One row per request of the counting attempts; columns of `REQUESTS`, then label and
        parameters.

        Read from disk at first use, since it is by far the largest.

        Raises:
            OutputError: when a file cannot be read.
        """
        files = result_files(self._paths.requests)
        if not self._all_attempts:
            counting = {attempt for attempts in self.chosen.values() for attempt in attempts}
            files = [path for path in files if path.stem.rpartition("-")[0] in counting]
        table = read_files(files, file_schema(REQUESTS, self.study.study_id))
        return _with_parameters(table, self.study)

    @cached_property
    def pooled_levels(self) -> pd.DataFrame:
        """One row per experiment and level, pooled over its repeats and its compared attempts.

        Columns of `POOLED`, then is_baseline, label and parameters. In plan order. Takes the
        request rows of those levels that were measured more than once.

        Raises:
            OutputError: when a file cannot be read.
        """
        rows = [
            {**dict(row), "is_baseline": experiment.is_baseline}
            for experiment in self.study.experiments
            if experiment.id in self._measured
            for row in self._measured[experiment.id].levels.values()
        ]
        schema = POOLED.append(pa.field("is_baseline", pa.bool_()))
        return _with_parameters(pa.Table.from_pylist(rows, schema=schema), self.study)

    def ranking(self) -> Ranking:
        """All experiments of the plan, judged by the study's objective and constraints.

        Only the compared attempts count, also where all of them were loaded.
        """
        return self._ranking

    @cached_property
    def _ranking(self) -> Ranking:
        return rank(self.study.experiments, self._measured, self.study.judging, self._apart)


def load_results(path: str | Place, *, all_attempts: bool = False) -> StudyResults:
    """Read a study's folder, also while the study runs.

    Args:
        path: A folder, or ``s3://BUCKET/PREFIX`` or ``gs://BUCKET/PREFIX``.
        all_attempts: False: of each experiment the completed attempts, else its latest attempt.
            True: the rows of every attempt.

    Raises:
        OutputError: when there is no such folder, no study in it, or a file cannot be read.
    """
    paths = ResultPaths(place_of(path))
    study = read_study(paths)
    schema = experiments_schema(study.parameters)
    # The reverse of the order of writing: whatever a row refers to is then on disk already.
    attempts = read_tables(paths.experiments, file_schema(schema, study.study_id))
    levels = read_tables(paths.levels, file_schema(LEVELS, study.study_id))
    stopped = None
    if study.search is not None:
        stopped = read_stopped(paths)
        study = replace(study, experiments=read_asked(paths))
    _check_known(paths, study, attempts, levels)
    chosen = counting_attempts(attempts, levels)
    experiments = _of_attempts(attempts, chosen)
    if not all_attempts:
        levels = _of_attempts(levels, chosen)
    levels = rejudged(levels, study, paths)
    counting = Counting(paths, study, experiments.to_pylist(), levels.to_pylist())
    compared, apart = compared_attempts(counting, chosen)
    return StudyResults(
        study=study,
        experiments=(attempts if all_attempts else experiments).to_pandas(),
        levels=_with_parameters(levels, study),
        attempts=attempts.to_pandas(),
        chosen=chosen,
        compared=compared,
        _paths=paths,
        _measured=measured_of(counting, compared),
        _apart=apart,
        _all_attempts=all_attempts,
        search_stopped=stopped,
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


def _of_attempts(table: pa.Table, chosen: Mapping[str, Iterable[str]]) -> pa.Table:
    attempts = [attempt for ids in chosen.values() for attempt in ids]
    return table.filter(pc.is_in(table["attempt_id"], value_set=pa.array(attempts, pa.string())))


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

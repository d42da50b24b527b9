"""Writing results: one Parquet file per level and per attempt, each complete or absent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc

from autotuner.errors import OutputError
from autotuner.results.files import (
    ResultPaths,
    read_tables,
    result_files,
    write_table,
    write_text,
)
from autotuner.results.levels import LevelResult
from autotuner.results.schema import (
    LEVELS,
    REQUESTS,
    experiments_schema,
    file_schema,
    table_of,
)
from autotuner.results.study_record import StudyRecord
from autotuner.spec.experiment import Attempt

__all__ = ["ResultPaths", "ResultStore", "read_study"]

_ATTEMPT_NAME = re.compile(r"(?P<experiment>.+)-a(?P<number>\d+)(-\d+)?")


class ResultStore:
    """The results folder of one study, opened for writing.

    Every file appears whole or not at all, so that a reader needs no lock.
    """

    def __init__(self, paths: ResultPaths, study: StudyRecord) -> None:
        """Use `create` or `open`."""
        self.paths = paths
        self.study = study
        self._requests = file_schema(REQUESTS, study.study_id)
        self._levels = file_schema(LEVELS, study.study_id)
        self._experiments = file_schema(experiments_schema(study.parameters), study.study_id)

    @classmethod
    def create(cls, path: str | Path, study: StudyRecord) -> ResultStore:
        """Start the study's folder, or continue it where it already holds this study.

        On continuation the plan's results stay; name, objective and constraints become those
        given here, since they decide only how results are judged.

        Raises:
            OutputError: when the folder holds another study or foreign files, or cannot be
                written.
        """
        paths = ResultPaths(Path(path))
        try:
            if paths.study.exists():
                study = _continued(paths, study)
            elif _holds_files(paths.root):
                raise OutputError(
                    f"{paths.root} is not empty and holds no study; choose another folder with "
                    "`output:` in the study file or --output"
                )
            paths.root.mkdir(parents=True, exist_ok=True)
            write_text(paths.study, study.to_json())
            for folder in (paths.requests, paths.levels, paths.experiments, paths.logs):
                folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"results folder {paths.root} cannot be written: {error}") from error
        return cls(paths, study)

    @classmethod
    def open(cls, path: str | Path) -> ResultStore:
        """Open an existing study's folder.

        Raises:
            OutputError: when there is no such folder or no study in it.
        """
        paths = ResultPaths(Path(path))
        return cls(paths, read_study(paths))

    def write_level(self, attempt: Attempt, result: LevelResult) -> None:
        """Store a level: its request rows, then its summary row. Writing it again replaces it.

        Raises:
            OutputError: when the disk refuses.
            ValueError: when the level is not one that the experiment expects, or the rows do
                not match the schema.
        """
        if not result.requests.schema.equals(REQUESTS):
            raise ValueError("the request rows are not of the schema REQUESTS")
        index = attempt.experiment.levels.index(result.level)
        summary = table_of([result.summary], self._levels)
        requests = result.requests.replace_schema_metadata(self._requests.metadata)
        # Readers start from the levels: a level that shows must have its requests.
        write_table(self.paths.requests_file(attempt.id, index), requests)
        write_table(self.paths.level_file(attempt.id, index), summary)

    def write_experiment(self, row: Mapping[str, object]) -> None:
        """Store the row of an attempt that has ended, after all its levels.

        Raises:
            OutputError: when the disk refuses.
            ValueError: when the row does not match the schema.
        """
        table = table_of([row], self._experiments)
        write_table(self.paths.experiment_file(str(row["attempt_id"])), table)

    def attempt_numbers(self) -> dict[str, int]:
        """Next attempt number of every experiment, 1 where nothing of it is on disk."""
        following = {experiment.id: 1 for experiment in self.study.experiments}
        for experiment_id, number in self._attempts():
            following[experiment_id] = max(following.get(experiment_id, 1), number + 1)
        return following

    def finished(self) -> frozenset[str]:
        """Ids of the experiments that have a completed attempt on disk."""
        rows = read_tables(self.paths.experiments, self._experiments)
        completed = rows.filter(pc.equal(rows["outcome"], "completed"))
        return frozenset(completed["experiment_id"].to_pylist())

    def _attempts(self) -> Iterator[tuple[str, int]]:
        """Experiment id and number of every attempt that has left something on disk."""
        names = [
            path.stem
            for folder in (self.paths.requests, self.paths.levels, self.paths.experiments)
            for path in result_files(folder)
        ]
        # An attempt that was killed before its first level has left nothing but logs.
        if self.paths.logs.is_dir():
            names += [folder.name for folder in self.paths.logs.iterdir()]
        for name in names:
            if match := _ATTEMPT_NAME.fullmatch(name):
                yield match["experiment"], int(match["number"])


def read_study(paths: ResultPaths) -> StudyRecord:
    """Read ``study.json``.

    Raises:
        OutputError: when there is no such folder or no study in it.
    """
    if not paths.root.is_dir():
        raise OutputError(f"no results folder at {paths.root}")
    try:
        text = paths.study.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise OutputError(f"{paths.root} holds no study: {paths.study.name} is missing") from error
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"{paths.study} cannot be read: {error}") from error
    return StudyRecord.from_json(text, str(paths.study))


def _continued(paths: ResultPaths, study: StudyRecord) -> StudyRecord:
    existing = read_study(paths)
    if existing.study_id != study.study_id:
        raise OutputError(
            f"{paths.root} holds the results of another study, {existing.name!r} "
            f"(id {existing.study_id}, this one is {study.study_id}); choose another folder with "
            "`output:` in the study file or --output"
        )
    return replace(
        study,
        created_at=existing.created_at,
        autotuner_version=existing.autotuner_version,
    )


def _holds_files(folder: Path) -> bool:
    # Hidden files do not count: a killed start leaves one behind.
    return folder.exists() and any(not p.name.startswith(".") for p in folder.iterdir())

"""Writing results: one Parquet file per level and per attempt, each complete or absent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from autotuner.errors import OutputError
from autotuner.results.asked import AskedExperiments, read_asked, write_stopped
from autotuner.results.changed_study import attempt_of, difference, sort_files
from autotuner.results.files import (
    ResultPaths,
    read_tables,
    result_files,
    write_table,
    write_text,
)
from autotuner.results.levels import LevelResult
from autotuner.results.place import Place, place_of
from autotuner.results.schema import (
    LEVELS,
    REQUESTS,
    experiments_schema,
    file_schema,
    table_of,
)
from autotuner.results.study_record import ExpectedExperiment, StudyRecord
from autotuner.spec.experiment import Attempt, FailureKind
from autotuner.spec.workload import Level

__all__ = ["EndedAttempt", "ResultPaths", "ResultStore", "read_study"]

Detail = Callable[[ExpectedExperiment], ExpectedExperiment]


def _as_it_is(experiment: ExpectedExperiment) -> ExpectedExperiment:
    return experiment


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """What an earlier run has written down of an attempt."""

    experiment_id: str
    number: int
    completed: bool
    pruned: bool
    """Given up for good, as it cannot win."""
    failure: FailureKind | None
    """None for one that completed, or was pruned or cancelled."""
    host: str | None
    began: bool
    """Whether it gave any sign of life."""
    seconds: float | None = None
    """From its start to its end on the node; None where either is not known."""


class ResultStore:
    """The results folder of one study, opened for writing.

    Every file appears whole or not at all, so that a reader needs no lock.
    """

    def __init__(self, paths: ResultPaths, study: StudyRecord, detail: Detail = _as_it_is) -> None:
        """Use `create` or `open`."""
        self.paths = paths
        self.study = study
        self._asked = AskedExperiments(paths, study, detail)
        self._requests = file_schema(REQUESTS, study.study_id)
        self._levels = file_schema(LEVELS, study.study_id)
        self._experiments = file_schema(experiments_schema(study.parameters), study.study_id)

    @classmethod
    def create(
        cls,
        path: str | Place,
        study: StudyRecord,
        *,
        resume_changed: bool = False,
        detail: Detail = _as_it_is,
    ) -> ResultStore:
        """Start the study's folder, or continue it where it already holds this study.

        On continuation the plan's results stay; name, objective and constraints become those
        given here, since they decide only how results are judged.

        Args:
            resume_changed: Continue where the folder's study had other experiments, too: the
                files of those that are gone are put aside (`changed_study`).
            detail: Of a search: fills in command and server of a candidate that is asked for.

        Raises:
            OutputError: when the folder holds another study or foreign files, or cannot be
                written.
        """
        paths = ResultPaths(place_of(path))
        try:
            if paths.study.exists():
                study = _continued(paths, study, resume_changed=resume_changed)
            elif _holds_files(paths.root):
                raise OutputError(
                    f"{paths.root} is not empty and holds no study; choose another folder with "
                    "`output:` in the study file or --output"
                )
            paths.root.mkdir(parents=True, exist_ok=True)
            store = cls(paths, study, detail)
            store._renew_asked()  # before a record that does not name them itself
            write_text(paths.study, study.to_json())
            for folder in (paths.requests, paths.levels, paths.experiments, paths.logs):
                folder.mkdir(exist_ok=True)
            sort_files(paths, study)
            store._renew_asked(only=True)
        except OSError as error:
            raise OutputError(f"results folder {paths.root} cannot be written: {error}") from error
        return store

    def _renew_asked(self, *, only: bool = False) -> None:
        """Write down, of a search, what has been measured; ``only``: and nothing else."""
        if self.study.search is None:
            return
        measured = {experiment_id for experiment_id, _ in self._attempts()}
        self._asked.add(measured)
        if only:
            self._asked.keep(measured)

    @classmethod
    def open(cls, path: str | Place) -> ResultStore:
        """Open an existing study's folder.

        Raises:
            OutputError: when there is no such folder or no study in it.
        """
        paths = ResultPaths(place_of(path))
        return cls(paths, read_study(paths))

    def write_asked(self, experiment_id: str, why: str) -> None:
        """Note that a search has asked for a candidate, before anything of it is written.

        Raises:
            OutputError: when the disk refuses.
        """
        self._asked.add({experiment_id}, why)

    def write_search_end(self, why: str | None) -> None:
        """Note why the search has ended; None: it goes on.

        Raises:
            OutputError: when the disk refuses.
        """
        write_stopped(self.paths, why)

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

    def write_logs(self, attempt: Attempt, logs: Mapping[str, str]) -> None:
        """Store an attempt's logs: file name -> text.

        Raises:
            OutputError: when the disk refuses.
        """
        folder = self.paths.log_dir(attempt.id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be made: {error}") from error
        for name, text in logs.items():
            write_text(folder / name, text)

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

    def ended_attempts(self) -> tuple[EndedAttempt, ...]:
        """Every attempt that has a row on disk, in no particular order."""
        rows = read_tables(self.paths.experiments, self._experiments)
        columns = [
            *("experiment_id", "attempt", "outcome", "failure_kind", "host"),
            *("seconds_actor_start", "started_at", "ended_at"),
        ]
        return tuple(
            EndedAttempt(
                row["experiment_id"],
                row["attempt"],
                completed=row["outcome"] == "completed",
                pruned=row["outcome"] == "pruned",
                failure=FailureKind(row["failure_kind"]) if row["failure_kind"] else None,
                host=row["host"],
                began=row["seconds_actor_start"] is not None,
                seconds=_seconds(row["started_at"], row["ended_at"]),
            )
            for row in rows.select(columns).to_pylist()
        )

    def torn_attempts(self) -> frozenset[tuple[str, int]]:
        """Experiment id and number of the attempts that have left levels, but no row.

        Their driver was killed.
        """
        rows = result_files(self.paths.experiments)
        return frozenset(self._attempts()) - {attempt_of(path.stem) for path in rows}

    def has_level(self, attempt: Attempt, level: Level) -> bool:
        """Whether the level's row is on disk."""
        index = attempt.experiment.levels.index(level)
        return self.paths.level_file(attempt.id, index).exists()

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
        yield from filter(None, map(attempt_of, names))


def _seconds(started_at: datetime | None, ended_at: datetime | None) -> float | None:
    if started_at is None or ended_at is None:
        return None
    return (ended_at - started_at).total_seconds()


def read_study(paths: ResultPaths) -> StudyRecord:
    """Read ``study.json``.

    Raises:
        OutputError: when there is no such folder or no study in it.
    """
    try:
        if not paths.root.is_dir():
            raise OutputError(f"no results folder at {paths.root}")
        text = paths.study.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise OutputError(f"{paths.root} holds no study: {paths.study.name} is missing") from error
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"{paths.study} cannot be read: {error}") from error
    study = StudyRecord.from_json(text, str(paths.study))
    return study if study.search is None else replace(study, experiments=read_asked(paths))


def _continued(paths: ResultPaths, study: StudyRecord, *, resume_changed: bool) -> StudyRecord:
    existing = read_study(paths)
    if existing.name != study.name:
        raise OutputError(
            f"{paths.root} holds the results of another study, {existing.name!r}; choose another "
            "folder with `output:` in the study file or --output"
        )
    if existing.study_id != study.study_id and not resume_changed and _has_begun(paths):
        before = ResultStore(paths, existing)
        measured = frozenset(
            a.experiment_id for a in before.ended_attempts() if a.completed or a.pruned
        )
        raise OutputError(
            f"{paths.root} holds experiments of {study.name!r} as it was before it changed: "
            f"{difference(existing, study, measured)}. Go on there with --resume, or choose "
            "another folder with `output:` in the study file or --output"
        )
    return replace(
        study,
        created_at=existing.created_at,
        autotuner_version=existing.autotuner_version,
    )


def _has_begun(paths: ResultPaths) -> bool:
    """Whether there is anything to keep: a study may have been refused before it measured."""
    return any(result_files(folder) for folder in (paths.experiments, paths.levels))


def _holds_files(folder: Place) -> bool:
    # Hidden files do not count: a killed start leaves one behind.
    return folder.exists() and any(not p.name.startswith(".") for p in folder.iterdir())

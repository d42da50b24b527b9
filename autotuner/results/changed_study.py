"""A results folder whose study file has changed: what can be used again, and what cannot.

Experiments are told apart by a hash of their content. Those that the changed study still has
stay where they are; the files of the others are put aside under ``retired/``, from where a
later change can bring them back. Nothing that was measured is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from autotuner.errors import OutputError
from autotuner.results.files import ResultPaths, result_files, write_table
from autotuner.results.place import Place, contents, move
from autotuner.results.schema import experiments_schema, file_schema
from autotuner.results.study_record import ExpectedExperiment, StudyRecord

__all__ = ["attempt_of", "difference", "sort_files"]

_ATTEMPT_NAME = re.compile(r"(?P<experiment>.+)-a(?P<number>\d+)(-\d+)?")


def attempt_of(name: str) -> tuple[str, int] | None:
    """Experiment id and number of the attempt that a file or folder is named after."""
    match = _ATTEMPT_NAME.fullmatch(name)
    return None if match is None else (match["experiment"], int(match["number"]))


def difference(before: StudyRecord, now: StudyRecord, measured: frozenset[str]) -> str:
    """What would be used again, in words.

    Args:
        measured: Ids of the experiments that have a completed attempt.
    """
    old, new = _by_id(before), _by_id(now)
    kept, gone, added = old.keys() & new.keys(), old.keys() - new.keys(), new.keys() - old.keys()
    if not kept:
        return (
            f"none of its {len(new)} experiments is among them; what differs in all of them: "
            f"{', '.join(_changed(before, now))}"
        )
    said = [
        f"{len(kept)} of its {len(new)} experiments are among them and would be used again, "
        f"as far as they are measured ({len(kept & measured)} are)"
    ]
    if added:
        first = next(id_ for id_ in new if id_ in added)
        said.append(f"{len(added)} are new, e.g. {new[first].label}")
    if gone:
        said.append(f"{len(gone)} of the folder's are gone from the study and would be put aside")
    return "; ".join(said)


def sort_files(paths: ResultPaths, study: StudyRecord) -> None:
    """Put the files of experiments that are not the study's aside, and bring back those that are.

    Safe to repeat, also after it was cut off.

    Raises:
        OutputError: the disk refuses.
    """
    ids = _by_id(study).keys()
    retired = paths.retired
    try:
        for source, target, wanted in ((paths, retired, False), (retired, paths, True)):
            for path in _entries(source):
                named = attempt_of(path.stem if path.suffix == ".parquet" else path.name)
                if named is not None and (named[0] in ids) is wanted:
                    move(path, target.root / path.parent.name / path.name)
    except OSError as error:
        raise OutputError(f"{paths.root} cannot be sorted: {error}") from error
    _refit_parameters(paths, study)


def _entries(paths: ResultPaths) -> Iterator[Place]:
    # Rows before what they refer to: a reader starts with the experiments.
    for folder in (paths.experiments, paths.levels, paths.requests):
        yield from result_files(folder)
    if paths.logs.is_dir():
        folders: list[Place] = list(paths.logs.iterdir())
        yield from sorted(folders, key=lambda folder: folder.name)


def _refit_parameters(paths: ResultPaths, study: StudyRecord) -> None:
    """Give the attempts' rows the parameter columns of the study as it is now."""
    schema = file_schema(experiments_schema(study.parameters), study.study_id)
    experiments = _by_id(study)
    for path, source in contents(result_files(paths.experiments)):
        if isinstance(source, OSError):
            raise OutputError(f"{path} cannot be read: {source}") from source
        with pq.ParquetFile(source) as file:
            if file.schema_arrow.equals(schema):
                continue
            (row,) = file.read(use_threads=False).to_pylist()
        kept = {name: value for name, value in row.items() if name in schema.names}
        parameters = experiments[row["experiment_id"]].parameters
        point = {c.column: c.render(parameters.get(c.parameter)) for c in study.parameters}
        write_table(path, pa.Table.from_pylist([{**kept, **point}], schema=schema))


def _by_id(study: StudyRecord) -> dict[str, ExpectedExperiment]:
    return {experiment.id: experiment for experiment in study.experiments}


def _changed(before: StudyRecord, now: StudyRecord) -> list[str]:
    """Parts of the content of which the two studies share nothing."""
    names = now.experiments[0].parts.keys()
    return [
        name
        for name in names
        if not {e.parts.get(name) for e in before.experiments}
        & {e.parts[name] for e in now.experiments}
    ]

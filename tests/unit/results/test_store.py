from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from autotuner.errors import OutputError
from autotuner.results import files
from autotuner.results.files import read_files, read_tables
from autotuner.results.level_rows import not_measured
from autotuner.results.levels import LevelResult
from autotuner.results.schema import (
    ADDED_COLUMNS,
    LEVELS,
    READABLE_VERSIONS,
    REQUESTS,
    SCHEMA_VERSION,
    VERSION_KEY,
    experiments_schema,
    file_schema,
)
from autotuner.results.store import ResultPaths, ResultStore
from autotuner.results.study_record import StudyRecord
from autotuner.spec.experiment import Attempt, Cancelled, Experiment, Failed, FailureKind, Phase
from autotuner.spec.objective import Direction, Objective
from autotuner.spec.workload import Level

CRASHED = Failed(FailureKind.SERVER_CRASHED, Phase.LOAD, "the server ended")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_folder_holds_the_study_and_can_be_opened(tmp_path: Path, study: StudyRecord) -> None:
    store = ResultStore.create(tmp_path / "deep" / "results", study)
    assert names(store.paths.root) == ["experiments", "levels", "logs", "requests", "study.json"]
    assert ResultStore.open(store.paths.root).study == study


def test_the_same_study_is_continued(
    store: ResultStore,
    study: StudyRecord,
    experiments: tuple[Experiment, ...],
    write_attempt: Callable[..., Attempt],
) -> None:
    write_attempt(store, experiments[0])
    later = replace(study, created_at=study.created_at.replace(year=2026), autotuner_version="9")
    again = ResultStore.create(store.paths.root, later)
    assert again.study == study
    assert completed(again) == {"exp0"}


def test_continuing_under_another_objective_judges_by_the_new_one(
    store: ResultStore, study: StudyRecord
) -> None:
    objective = Objective("ttft", "ttft_s", Direction.MINIMIZE, "p99", "chat", 16)
    judging = replace(study.judging, objective=objective)
    ResultStore.create(store.paths.root, replace(study, judging=judging))
    assert ResultStore.open(store.paths.root).study.judging == judging


def test_another_study_is_refused_with_what_is_there_and_the_fix(
    store: ResultStore, study: StudyRecord
) -> None:
    other = replace(study, study_id="study2", name="other")
    with pytest.raises(OutputError, match=r"another study, 'tiny'; choose.*--output") as error:
        ResultStore.create(store.paths.root, other)
    assert "`output:`" in str(error.value)
    assert ResultStore.open(store.paths.root).study == study


def test_a_folder_with_foreign_files_is_refused_and_left_alone(
    tmp_path: Path, study: StudyRecord
) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match=r"not empty and holds no study.*--output"):
        ResultStore.create(tmp_path, study)
    assert names(tmp_path) == ["thesis.tex"]


def test_a_folder_with_only_the_leftover_of_a_killed_start_is_used(
    tmp_path: Path, study: StudyRecord
) -> None:
    (tmp_path / ".study.json.123.tmp").write_text('{"schema')
    assert ResultStore.create(tmp_path, study).study == study


def test_a_start_killed_after_study_json_is_completed_by_the_next(
    tmp_path: Path, study: StudyRecord
) -> None:
    (tmp_path / "study.json").write_text(study.to_json())
    store = ResultStore.create(tmp_path, study)
    assert store.paths.levels.is_dir()
    assert store.attempt_numbers() == {"exp0": 1, "exp1": 1, "exp2": 1}


def test_a_folder_that_cannot_be_written_is_an_output_error(
    tmp_path: Path, study: StudyRecord
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be written"):
        ResultStore.create(tmp_path / "file" / "results", study)
    with pytest.raises(OutputError, match="cannot be written"):
        ResultStore.create(tmp_path / "file", study)


@pytest.mark.parametrize("content", [None, "", '{"schema_version": 3}'])
def test_only_a_study_folder_can_be_opened(tmp_path: Path, content: str | None) -> None:
    with pytest.raises(OutputError, match="no results folder"):
        ResultStore.open(tmp_path / "absent")
    if content is not None:
        (tmp_path / "study.json").write_text(content)
    with pytest.raises(OutputError, match=r"study\.json is (missing|not a study record)"):
        ResultStore.open(tmp_path)


def test_a_level_goes_to_one_file_of_summary_and_one_of_requests(
    store: ResultStore, attempt: Attempt, measure: Callable[..., LevelResult]
) -> None:
    low, high = attempt.experiment.levels
    store.write_level(attempt, measure(attempt, high))
    assert names(store.paths.levels) == ["exp0-a1-01.parquet"]
    assert names(store.paths.requests) == ["exp0-a1-01.parquet"]
    store.write_level(attempt, measure(attempt, low))
    store.write_level(attempt, measure(attempt, low, latency_s=3.0))
    assert names(store.paths.levels) == ["exp0-a1-00.parquet", "exp0-a1-01.parquet"]
    assert pd.read_parquet(store.paths.levels)["e2e_latency_s_mean"].tolist() == [3.0, 1.0]


def test_files_carry_version_and_study_and_exactly_the_schema(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Callable[..., Attempt]
) -> None:
    attempt = write_attempt(store, experiments[0])
    for path, schema in [
        (store.paths.requests_file(attempt.id, 0), REQUESTS),
        (store.paths.level_file(attempt.id, 0), LEVELS),
        (store.paths.experiment_file(attempt.id), experiments_schema(store.study.parameters)),
    ]:
        stored = pq.read_schema(path)
        assert stored.equals(schema)
        assert stored.metadata[b"autotuner.study_id"] == b"study1"
        assert stored.metadata[b"autotuner.schema_version"] == str(SCHEMA_VERSION).encode()


def test_schema_is_equal_across_files_measured_or_not(
    store: ResultStore,
    experiments: tuple[Experiment, ...],
    attempt: Attempt,
    write_attempt: Callable[..., Attempt],
) -> None:
    for level in attempt.experiment.levels:
        store.write_level(attempt, not_measured(level, attempt, "never loaded"))
    write_attempt(store, experiments[1])
    for folder in (store.paths.levels, store.paths.requests):
        schemas = [pq.read_schema(path) for path in folder.iterdir()]
        assert len(schemas) == 4
        assert all(schema.equals(schemas[0], check_metadata=True) for schema in schemas)


def test_rows_whose_writer_promised_more_columns_without_nulls_are_still_read(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Callable[..., Attempt]
) -> None:
    attempt = write_attempt(store, experiments[0])
    path = store.paths.requests_file(attempt.id, 0)
    table = pq.read_table(path)
    place = table.schema.get_field_index("started_s")
    strict = table.schema.set(place, table.schema.field(place).with_nullable(False))
    pq.write_table(table.cast(strict), path)
    assert not pq.read_schema(path).field("started_s").nullable
    schema = file_schema(REQUESTS, store.study.study_id)
    assert read_files([path], schema).equals(table)


def test_pandas_and_arrow_datasets_read_the_folders_directly(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Callable[..., Attempt]
) -> None:
    for experiment in experiments[:2]:
        write_attempt(store, experiment)
    root = str(store.paths.root)
    assert len(pd.read_parquet(root + "/levels")) == 4
    assert len(pd.read_parquet(root + "/requests")) == 16
    assert pd.read_parquet(root + "/experiments")["param_max_num_seqs"].tolist() == [8, 16]
    dataset = ds.dataset(root + "/levels", format="parquet")
    assert dataset.count_rows(filter=ds.field("concurrency") == 16) == 2


def test_the_leftover_of_a_killed_write_is_ignored_by_every_reader(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Callable[..., Attempt]
) -> None:
    attempt = write_attempt(store, experiments[0])
    for path in (
        store.paths.level_file(attempt.id, 7),
        store.paths.experiment_file("exp1-a1"),
    ):
        path.with_name(f".{path.name}.123.tmp").write_bytes(b"PAR1 torn")
    assert len(pd.read_parquet(store.paths.levels)) == 2
    assert ds.dataset(str(store.paths.experiments)).count_rows() == 1
    assert completed(store) == {"exp0"}
    assert store.attempt_numbers()["exp1"] == 1


def test_a_write_killed_before_the_rename_leaves_only_a_hidden_name(
    store: ResultStore,
    attempt: Attempt,
    measure: Callable[..., LevelResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []

    def killed(self: Path, target: Path) -> None:
        seen.append(self.name)
        assert pq.read_metadata(self).num_rows == 4
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(OutputError, match=r"exp0-a1-00\.parquet cannot be written: no space"):
        store.write_level(attempt, measure(attempt, attempt.experiment.levels[0]))
    assert seen[0].startswith(".")
    assert not seen[0].endswith(".parquet")
    # The summary is never written when its requests could not be.
    assert names(store.paths.requests) == names(store.paths.levels) == []


def test_a_file_is_on_disk_before_it_gets_its_name(
    store: ResultStore,
    attempt: Attempt,
    measure: Callable[..., LevelResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []
    real_replace, real_fsync = Path.replace, files.os.fsync

    def fsync(handle: int) -> None:
        events.append("fsync")
        real_fsync(handle)

    def rename(self: Path, target: Path) -> Path:
        events.append(target.parent.name)
        return real_replace(self, target)

    monkeypatch.setattr(files.os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    store.write_level(attempt, measure(attempt, attempt.experiment.levels[0]))
    assert events == ["fsync", "requests", "fsync", "fsync", "levels", "fsync"]


def test_a_level_that_the_experiment_does_not_expect_is_refused(
    store: ResultStore, attempt: Attempt, measure: Callable[..., LevelResult]
) -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        store.write_level(attempt, measure(attempt, Level("chat", "D(1,1)", 99)))


def test_request_rows_of_another_schema_are_refused(
    store: ResultStore, attempt: Attempt, measure: Callable[..., LevelResult]
) -> None:
    result = measure(attempt, attempt.experiment.levels[0])
    with pytest.raises(ValueError, match="schema REQUESTS"):
        store.write_level(attempt, replace(result, requests=result.requests.drop(["ttft_s"])))


def test_an_experiment_row_with_an_unknown_column_is_refused(store: ResultStore) -> None:
    with pytest.raises(ValueError, match="no such columns: colour"):
        store.write_experiment({"colour": "red"})


def completed(store: ResultStore) -> set[str]:
    return {attempt.experiment_id for attempt in store.ended_attempts() if attempt.completed}


def test_only_completed_attempts_finish_an_experiment(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Callable[..., Attempt]
) -> None:
    write_attempt(store, experiments[0], outcome=CRASHED)
    write_attempt(store, experiments[1], outcome=Cancelled("stopped"))
    write_attempt(store, experiments[2], outcome=None)
    assert completed(store) == set()
    write_attempt(store, experiments[0], number=2)
    assert completed(store) == {"exp0"}


def test_attempt_numbers_follow_whatever_an_attempt_has_left_on_disk(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Callable[..., Attempt]
) -> None:
    write_attempt(store, experiments[0], number=1, outcome=CRASHED)
    write_attempt(store, experiments[0], number=10, outcome=CRASHED)
    write_attempt(store, experiments[1], outcome=None, levels=experiments[1].levels[:1])
    store.paths.log_dir("exp2-a3").mkdir()
    (store.paths.logs / "driver.log").touch()
    reopened = ResultStore.open(store.paths.root)
    assert reopened.attempt_numbers() == {"exp0": 11, "exp1": 2, "exp2": 4}


def test_a_file_that_is_no_parquet_is_named(store: ResultStore) -> None:
    (store.paths.experiments / "exp0-a1.parquet").write_bytes(b"nothing")
    with pytest.raises(OutputError, match=r"exp0-a1\.parquet cannot be read"):
        store.ended_attempts()


def test_a_file_of_a_study_with_other_parameters_is_named(
    store: ResultStore,
    tmp_path: Path,
    study: StudyRecord,
    experiments: tuple[Experiment, ...],
    write_attempt: Callable[..., Attempt],
) -> None:
    other = ResultStore.create(tmp_path / "other", replace(study, parameters=()))
    attempt = write_attempt(other, experiments[0])
    source = other.paths.experiment_file(attempt.id)
    source.rename(store.paths.experiment_file(attempt.id))
    with pytest.raises(OutputError, match=r"exp0-a1\.parquet does not belong to this study"):
        store.ended_attempts()


def written_by(version: int, path: Path, *, without: Collection[str] = ()) -> None:
    """Make a row what an older version would have written."""
    later = {name for since, names in ADDED_COLUMNS.items() if since > version for name in names}
    table = pq.read_table(path)
    table = table.drop_columns(sorted({*later, *without} & set(table.schema.names)))
    metadata = {**table.schema.metadata, VERSION_KEY: str(version).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path)


@pytest.mark.parametrize("version", READABLE_VERSIONS)
def test_rows_of_an_older_version_are_read_with_nulls_for_what_they_lack(
    version: int,
    store: ResultStore,
    experiments: tuple[Experiment, ...],
    write_attempt: Callable[..., Attempt],
) -> None:
    attempts = [write_attempt(store, experiment) for experiment in experiments[:2]]
    written_by(version, store.paths.experiment_file(attempts[0].id))
    schema = experiments_schema(store.study.parameters)
    rows = read_tables(store.paths.experiments, file_schema(schema, store.study.study_id))
    assert rows.schema.names == schema.names
    assert rows["image"].to_pylist() == [None, None]
    assert rows["nodes"].to_pylist() == [1 if version >= 5 else None, 1]
    assert rows["experiment_id"].to_pylist() == [experiments[0].id, experiments[1].id]


@pytest.mark.parametrize("version", READABLE_VERSIONS)
def test_levels_of_an_older_version_are_read_beside_newer_ones(
    version: int,
    store: ResultStore,
    experiments: tuple[Experiment, ...],
    write_attempt: Callable[..., Attempt],
) -> None:
    for experiment in experiments[:2]:
        write_attempt(store, experiment)
    older, *newer = sorted(store.paths.levels.iterdir(), key=lambda path: path.name)
    written_by(version, older)
    assert newer
    schema = file_schema(LEVELS, store.study.study_id)
    rows = read_tables(store.paths.levels, schema)
    assert rows.schema.names == LEVELS.names
    assert rows["foreign_cpus"].null_count == rows.num_rows
    unwatched = "the load generator did not watch the node"
    said = None if version < 6 else unwatched
    assert rows["foreign_cpus_unknown"].to_pylist() == [said, *[unwatched] * len(newer)]


@pytest.mark.parametrize("version", READABLE_VERSIONS)
def test_a_row_that_lacks_anything_else_is_not_read(
    version: int,
    store: ResultStore,
    experiments: tuple[Experiment, ...],
    write_attempt: Callable[..., Attempt],
) -> None:
    path = store.paths.experiment_file(write_attempt(store, experiments[0]).id)
    written_by(version, path, without=["host"])
    with pytest.raises(OutputError, match="does not belong to this study"):
        store.ended_attempts()


def test_a_row_with_columns_that_its_version_did_not_have_is_not_read(
    store: ResultStore,
    experiments: tuple[Experiment, ...],
    write_attempt: Callable[..., Attempt],
) -> None:
    path = store.paths.experiment_file(write_attempt(store, experiments[0]).id)
    table = pq.read_table(path)
    older = {**table.schema.metadata, VERSION_KEY: b"4"}
    pq.write_table(table.replace_schema_metadata(older), path)
    with pytest.raises(OutputError, match="does not belong to this study"):
        store.ended_attempts()


def test_a_study_record_of_an_older_version_is_read(store: ResultStore) -> None:
    content = {**json.loads(store.paths.study.read_text()), "schema_version": 3}
    store.paths.study.write_text(json.dumps(content))
    assert ResultStore.open(store.paths.root).study == store.study


def test_study_json_is_plain_json_with_units_and_levels(store: ResultStore) -> None:
    content = json.loads(store.paths.study.read_text())
    assert content["schema_version"] == SCHEMA_VERSION
    assert content["created_at"] == "2025-03-01T12:00:00Z"
    assert content["experiments"][0]["levels"][1] == {
        "workload": "chat",
        "scenario": "D(100,100)",
        "concurrency": 16,
        "repeat": 0,
    }


def test_paths_of_an_attempt_are_unique_to_it(tmp_path: Path) -> None:
    paths = ResultPaths(tmp_path)
    assert paths.log_dir("e-a1") == tmp_path / "logs" / "e-a1"
    assert paths.requests_file("e-a1", 3).name == "e-a1-03.parquet"
    assert paths.level_file("e-a1", 120).name == "e-a1-120.parquet"

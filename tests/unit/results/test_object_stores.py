"""What only an object store can do to a driver: not answer, have no lock, know other machines."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from s3_store.server import Bucket

from autotuner.driver.progress import (
    ResultsNote,
    RoundStarted,
    StudyEnded,
    StudyEvent,
    StudyStarted,
)
from autotuner.errors import OutputError
from autotuner.execution.local import LocalExecutor
from autotuner.results import lock, uploads, writer_lease
from autotuner.results.files import ResultPaths, write_text
from autotuner.results.load import load_results
from autotuner.results.lock import Writing, sole_writer
from autotuner.results.place import ObjectPlace, place_of, write_object
from autotuner.results.stop_request import ask_to_stop
from autotuner.results.store import ResultStore
from autotuner.results.writer_lease import WriterLease, new_holder
from autotuner.spec.study import StudySpec
from autotuner.study import run

Write = Callable[..., Any]
Wait = Callable[[Callable[[], object]], bool]


def written(writing: Writing, timeout_s: float = 60.0) -> None:
    """Wait until all that was written so far is in the store."""
    assert isinstance(writing.place, ObjectPlace)
    assert writing.place.uploads is not None
    writing.place.uploads.flush(timeout_s)


def test_results_are_safe_while_the_store_does_not_answer(
    bucket: Bucket, study: Any, experiments: Any, write_attempt: Write
) -> None:
    with sole_writer(bucket.place()) as writing:
        store = ResultStore.create(writing.place, study)
        write_attempt(store, experiments[0])
        bucket.line.cut()
        attempt = write_attempt(store, experiments[1])  # returns, though nobody answers
        assert store.has_level(attempt, experiments[1].levels[0])
        assert store.attempt_numbers()["exp1"] == 2
        bucket.line.mend()
    assert sorted(load_results(bucket.uri()).experiments["experiment_id"]) == ["exp0", "exp1"]


def test_a_person_is_told_that_the_store_does_not_answer_and_that_it_does_again(
    bucket: Bucket, wait_until: Wait
) -> None:
    with sole_writer(bucket.place()) as writing:
        told: list[str] = []
        bucket.line.cut()
        write_text(writing.place / "a.txt", "a")
        assert wait_until(lambda: told.extend(writing.look()) or told)
        assert "cannot be written" in told[0]
        assert "measuring goes on, and results wait in" in told[0]
        bucket.line.mend()
        assert wait_until(lambda: told.extend(writing.look()) or len(told) > 1)
        assert "is written again" in told[1]


def test_what_could_not_be_uploaded_is_named_and_goes_first_the_next_time(
    bucket: Bucket,
    study: Any,
    experiments: Any,
    write_attempt: Write,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(lock, "PATIENCE_S", 0.5)
    with (  # noqa: PT012
        pytest.raises(OutputError, match="the same command on this machine") as error,
        sole_writer(bucket.place()) as writing,
    ):
        store = ResultStore.create(writing.place, study)
        written(writing)
        bucket.line.cut()
        write_attempt(store, experiments[0])
    assert str(tmp_path / "state") in str(error.value)
    bucket.line.mend()
    assert load_results(bucket.uri()).experiments.empty
    monkeypatch.setattr(lock, "PATIENCE_S", 60.0)
    notes: list[str] = []
    with sole_writer(bucket.place(), notes.append) as writing:
        again = ResultStore.create(writing.place, study)
        assert again.attempt_numbers()["exp0"] == 2
    assert any("go to s3://" in note for note in notes)
    assert list(load_results(bucket.uri()).experiments["experiment_id"]) == ["exp0"]
    assert not any((tmp_path / "state").rglob("0*"))


def test_leftovers_are_not_mixed_with_what_another_driver_has_written_since(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lock, "PATIENCE_S", 0.5)
    with pytest.raises(OutputError), sole_writer(bucket.place()) as writing:  # noqa: PT012
        write_text(writing.place / "a.txt", "old")
        written(writing)
        bucket.line.cut()
        write_text(writing.place / "b.txt", "old")
    bucket.line.mend()
    monkeypatch.setattr(lock, "PATIENCE_S", 60.0)
    monkeypatch.setattr(writer_lease, "EXPIRY_S", 2.0)
    monkeypatch.setattr(writer_lease, "RENEWAL_S", 0.1)
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
        with sole_writer(bucket.place()) as writing:
            write_text(writing.place / "b.txt", "new")
    notes: list[str] = []
    with sole_writer(bucket.place(), notes.append):
        pass
    assert any("is not mixed with it, and lies in" in note for note in notes)
    assert (bucket.place() / "b.txt").read_text() == "new"
    (left,) = (tmp_path / "state").rglob("0*-b.txt")
    assert left.read_text() == "old"


def test_a_driver_elsewhere_that_lives_is_not_pushed_aside(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(writer_lease, "RENEWAL_S", 0.1)
    with sole_writer(bucket.place()):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
        with (
            pytest.raises(OutputError, match=f"is being written by process {os.getpid()} on"),
            sole_writer(bucket.place()),
        ):
            pass


def test_a_dead_driver_s_lease_is_taken_over_once_it_has_run_out(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_lease, "EXPIRY_S", 0.3)
    dead = new_holder()
    WriterLease.take(bucket.place() / ".writer", dead, lock._write).abandon()
    notes: list[str] = []
    with sole_writer(bucket.place(), notes.append):
        pass
    assert f"was last written by {dead}" in notes[0]
    assert "waiting up to" in notes[0]
    assert bucket.names() == set()  # the lease is gone with its holder


def test_of_two_that_begin_at_once_only_one_goes_on(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have found nobody there; the later one's lease stays."""
    place = bucket.place() / ".writer"

    def overtaken(_: float) -> None:
        lock._write(place, b'{"host": "other", "pid": 7, "token": "t"}')

    monkeypatch.setattr(writer_lease.time, "sleep", overtaken)
    with pytest.raises(OutputError, match="is being written by process 7 on other"):
        WriterLease.take(place, new_holder(), lock._write)


def test_a_driver_that_was_taken_over_stops_and_writes_no_more(
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    wait_until: Wait,
) -> None:
    monkeypatch.setattr(writer_lease, "RENEWAL_S", 0.1)
    other = b'{"host": "other", "pid": 7, "token": "t"}'
    lost: list[OutputError] = []
    with (  # noqa: PT012
        pytest.raises(OutputError, match="is now written by process 7 on other"),
        sole_writer(bucket.place()) as writing,
    ):
        lock._write(bucket.place() / ".writer", other)

        def is_lost() -> bool:
            try:
                writing.look()
            except OutputError as error:
                lost.append(error)
            return bool(lost)

        assert wait_until(is_lost)
        write_text(writing.place / "late.txt", "x")
        with pytest.raises(OutputError, match="could not be written"):
            written(writing, 1.0)
    assert "late.txt" not in {name.rpartition("/")[2] for name in bucket.names()}
    assert (bucket.place() / ".writer").read_bytes() == other


def test_objects_are_put_in_the_order_in_which_they_were_written(
    bucket: Bucket, study: Any, experiments: Any, write_attempt: Write, monkeypatch: Any
) -> None:
    """A reader starts with an attempt's row: what it refers to must be there before."""
    put: list[str] = []

    def recorded(files: Any, path: str, content: bytes) -> None:
        put.append(path.rpartition("tiny/")[2])
        write_object(files, path, content)

    monkeypatch.setattr(uploads, "write_object", recorded)
    with sole_writer(bucket.place()) as writing:
        write_attempt(ResultStore.create(writing.place, study), experiments[0])
    pairs = [f"{kind}/exp0-a1-{n:02d}.parquet" for n in (0, 1) for kind in ("requests", "levels")]
    assert put == ["study.json", *pairs, "experiments/exp0-a1.parquet"]


def test_a_dead_driver_cannot_be_asked_to_stop(bucket: Bucket) -> None:
    dead = new_holder()
    WriterLease.take(bucket.place() / ".writer", dead, lock._write).abandon()
    with pytest.raises(OutputError, match=f"{dead}, which last wrote .* gives no sign of life"):
        ask_to_stop(ResultPaths(bucket.place()), timeout_s=0)


def test_an_error_of_the_store_is_told_at_once_and_without_keys(bucket: Bucket) -> None:
    nowhere = bucket.uri().replace(bucket.name, f"{bucket.name}-no")
    with pytest.raises(OutputError) as error, sole_writer(place_of(nowhere)):
        pass
    assert f"s3://{bucket.name}-no/results/tiny cannot be" in str(error.value)
    assert "test-only" not in str(error.value)


STUDY = """
study: stored
engine: {name: sim, flags: {time-scale: 0.05}}
model: sim-model
parameters: {max-num-seqs: [1, 4, 8]}
workloads:
  - {name: chat, scenario: "D(20,10)", concurrency: [2], stop: {seconds: 20, requests: 6}}
objective: maximize_throughput
baseline: false
finalist_servers: 2
order: plan
resources: {gpus: 0, cpus: 1}
bench: closed-loop
"""
DRIVER = """
import sys
from autotuner.execution.local import LocalExecutor
from autotuner.driver.progress import LevelFinished
from autotuner.results import writer_lease
from autotuner.spec.study import StudySpec
from autotuner.study import run
writer_lease._SETTLE_S = 0.0

def tell(event):
    if isinstance(event, LevelFinished):
        print("level", flush=True)

with LocalExecutor(cpus=1) as executor:
    run(StudySpec.from_file(sys.argv[1]), executor=executor, on_event=tell)
"""


@pytest.fixture
def study_file(bucket: Bucket, tmp_path: Path) -> Path:
    file = tmp_path / "study.yaml"
    file.write_text(f"{STUDY}output: {bucket.uri()}\n")
    return file


def test_a_study_is_measured_to_its_end_while_the_store_does_not_answer(
    bucket: Bucket, study_file: Path
) -> None:
    """Its later rounds start from results that are not in the store yet."""
    told: list[StudyEvent] = []

    def on_event(event: StudyEvent) -> None:
        told.append(event)
        if isinstance(event, StudyStarted):
            bucket.line.cut()
        # The driver waits for the store at its end, and says so.
        if {StudyEnded, ResultsNote} <= set(map(type, told)):
            bucket.line.mend()

    with LocalExecutor(cpus=2) as executor:
        results = run(StudySpec.from_file(study_file), executor=executor, on_event=on_event)
    assert any(isinstance(event, RoundStarted) for event in told)
    assert set(results.attempts["outcome"]) == {"completed"}
    assert len(results.attempts) > 3
    notes = [event.text for event in told if isinstance(event, ResultsNote)]
    assert any("measuring goes on" in note for note in notes)
    pd.testing.assert_frame_equal(load_results(bucket.uri()).attempts, results.attempts)


def test_the_same_command_goes_on_after_a_driver_was_killed(
    bucket: Bucket, study_file: Path
) -> None:
    words = [sys.executable, "-c", DRIVER, str(study_file)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == b"level\n"
        driver.kill()
    told: list[StudyEvent] = []
    with LocalExecutor(cpus=2) as executor:
        results = run(StudySpec.from_file(study_file), executor=executor, on_event=told.append)
    assert set(results.experiments["outcome"]) == {"completed"}
    assert not any(isinstance(event, ResultsNote) and "waiting" in event.text for event in told)
    # The level that the killed driver told of is there, though its attempt never ended.
    every = load_results(bucket.uri(), all_attempts=True)
    first = every.study.experiments[0].id
    assert (every.levels["attempt_id"] == f"{first}-a1").any()

"""Rules that results keep wherever they lie: in a folder, at file://, in an S3 store."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from s3_store.server import Bucket

from autotuner.cli.main import main
from autotuner.errors import OutputError
from autotuner.execution.local import LocalExecutor
from autotuner.results.files import ResultPaths, write_text
from autotuner.results.load import load_results
from autotuner.results.lock import sole_writer
from autotuner.results.place import Place, place_of
from autotuner.results.stop_request import ask_to_stop, stop_requests
from autotuner.results.store import ResultStore
from autotuner.spec.study import StudySpec
from autotuner.study import run

STUDY = """
study: placed
engine: {name: sim, flags: {time-scale: 0.05}}
model: sim-model
parameters: {max-num-seqs: [1, 4, 8]}
workloads:
  - {name: chat, scenario: "D(20,10)", concurrency: [2], stop: {seconds: 20, requests: 6}}
objective: maximize_throughput
baseline: false
finalist_servers: 1
order: plan
resources: {gpus: 0, cpus: 1}
bench: closed-loop
"""
WRITER = """
import sys, itertools
from autotuner.results import writer_lease
from autotuner.results.files import write_text
from autotuner.results.lock import sole_writer
from autotuner.results.place import Place, place_of
writer_lease._SETTLE_S = 0.0
with sole_writer(place_of(sys.argv[1])) as writing:
    (writing.place / "levels").mkdir()
    print("writes", flush=True)
    for number in itertools.count():
        write_text(writing.place / "levels" / f"{number % 3}.txt", f"{number:08d}" * 900_000)
"""


@pytest.fixture(params=["path", "file", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where there is nothing yet."""
    if request.param == "s3":
        bucket: Bucket = request.getfixturevalue("bucket")
        return bucket.uri()
    folder = tmp_path / "results" / "tiny"
    return str(folder) if request.param == "path" else folder.as_uri()


Write = Callable[..., Any]


def shown(address: str) -> list[dict[str, Any]]:
    """The ranking, and the rows that it comes from."""
    results = load_results(address)
    entries = [
        {"id": e.experiment_id, "rank": e.rank, "value": e.score.value}
        for e in results.ranking().entries
    ]
    frames = (results.levels, results.experiments, results.requests, results.pooled_levels)
    return [*entries, *({"rows": len(frame)} for frame in frames)]


def whole(folder: Place) -> list[Place]:
    """Files that a reader sees."""
    found: list[Place] = list(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if not path.name.startswith(".")]


class TestEverywhere:
    def test_what_is_written_is_read(
        self, address: str, study: Any, experiments: Any, write_attempt: Write, tmp_path: Path
    ) -> None:
        here = tmp_path / "compared with"
        for each in (address, str(here)):
            with sole_writer(place_of(each)) as writing:
                store = ResultStore.create(writing.place, study)
                for at, experiment in enumerate(experiments):
                    attempt = write_attempt(store, experiment, latency_s=1.0 + at)
                    store.write_logs(attempt, {"server.log": "ready"})
                assert store.attempt_numbers() == {"exp0": 2, "exp1": 2, "exp2": 2}
        assert shown(address) == shown(str(here))
        log = ResultPaths(place_of(address)).log_dir(attempt.id) / "server.log"
        assert log.read_text() == "ready"

    def test_a_study_goes_on_where_it_stopped(
        self, address: str, study: Any, experiments: Any, write_attempt: Write
    ) -> None:
        with sole_writer(place_of(address)) as writing:
            store = ResultStore.create(writing.place, study)
            write_attempt(store, experiments[0])
            write_attempt(store, experiments[1], levels=experiments[1].levels[:1], outcome=None)
        with sole_writer(place_of(address)) as writing:
            again = ResultStore.create(writing.place, study)
            assert again.torn_attempts() == {("exp1", 1)}
            assert again.attempt_numbers() == {"exp0": 2, "exp1": 2, "exp2": 1}
            assert [ended.experiment_id for ended in again.ended_attempts()] == ["exp0"]

    def test_a_changed_study_puts_aside_what_it_no_longer_has_and_brings_it_back(
        self, address: str, study: Any, experiments: Any, write_attempt: Write
    ) -> None:
        with sole_writer(place_of(address)) as writing:
            store = ResultStore.create(writing.place, study)
            for experiment in experiments[:2]:
                write_attempt(store, experiment)
        fewer = replace(study, study_id="study2", experiments=study.experiments[1:])
        for changed, left in ((fewer, ["exp1"]), (study, ["exp0", "exp1"])):
            with sole_writer(place_of(address)) as writing:
                store = ResultStore.create(writing.place, changed, resume_changed=True)
                ended = sorted(attempt.experiment_id for attempt in store.ended_attempts())
                assert ended == left
            assert sorted(load_results(address).experiments["experiment_id"]) == left

    def test_foreign_files_are_refused_and_left_alone(self, address: str, study: Any) -> None:
        place_of(address).mkdir(parents=True)
        write_text(place_of(address) / "thesis.tex", "x")
        with (
            pytest.raises(OutputError, match="is not empty and holds no study"),
            sole_writer(place_of(address)) as writing,
        ):
            ResultStore.create(writing.place, study)
        assert (place_of(address) / "thesis.tex").read_text() == "x"

    def test_where_there_is_nothing_no_study_can_be_read(self, address: str) -> None:
        with pytest.raises(OutputError, match="no results folder at"):
            load_results(address)

    def test_a_reader_never_sees_a_torn_file(self, address: str) -> None:
        """Of several megabytes: in a store, these are sent in parts."""
        texts = ["a" * 6_000_000, "b" * 12_000_000, "c", "d" * 18_000_000, "e" * 9]
        done = threading.Event()
        seen: set[str] = set()

        def read() -> None:
            place = place_of(address) / "one.txt"
            while not done.is_set():
                if place.exists():
                    seen.add(place.read_text())

        reader = threading.Thread(target=read)
        reader.start()
        try:
            with sole_writer(place_of(address)) as writing:
                for text in texts:
                    write_text(writing.place / "one.txt", text)
        finally:
            done.set()
            reader.join()
        assert seen <= set(texts)

    def test_a_killed_writer_leaves_whole_files_and_the_next_one_need_not_wait(
        self, address: str
    ) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, address], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"writes\n"
            levels = ResultPaths(place_of(address)).levels
            while len(whole(levels)) < 3:
                time.sleep(0.05)
            with (
                pytest.raises(OutputError, match=f"process {writer.pid}"),
                sole_writer(place_of(address)),
            ):
                pass
            writer.send_signal(signal.SIGKILL)
        notes: list[str] = []
        with sole_writer(place_of(address), notes.append):
            pass
        assert not any("waiting" in note for note in notes)
        texts = [path.read_text() for path in whole(levels)]
        assert len(texts) == 3
        assert all(len(text) == 7_200_000 and text == text[:8] * 900_000 for text in texts)

    def test_a_driver_is_asked_to_stop_and_waited_for(
        self, address: str, wait_until: Callable[[Callable[[], object]], bool]
    ) -> None:
        paths = ResultPaths(place_of(address))
        with pytest.raises(OutputError, match="no study is running in"):
            ask_to_stop(paths, timeout_s=60)
        holds = threading.Event()

        def drive() -> None:
            with (
                sole_writer(place_of(address)) as writing,
                stop_requests(ResultPaths(writing.place)) as wanted,
            ):
                holds.set()
                wait_until(wanted)

        driver = threading.Thread(target=drive)
        driver.start()
        holds.wait()
        assert ask_to_stop(paths, timeout_s=60)
        driver.join()
        assert not paths.stop_request.exists()


@dataclass
class Written:
    address: str
    folder: Path

    def study(self) -> StudySpec:
        file = self.folder / "study.yaml"
        file.write_text(f"{STUDY}output: {self.address}\n")
        return StudySpec.from_file(file)


@pytest.fixture
def written(address: str, tmp_path: Path) -> Written:
    return Written(address, tmp_path)


def test_a_whole_study_is_measured_resumed_and_shown_there(
    written: Written, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with LocalExecutor(cpus=2) as executor:
        results = run(written.study(), executor=executor)
        assert list(results.experiments["outcome"]) == ["completed"] * 3
        again = run(written.study(), executor=executor)
    assert len(again.attempts) == 3  # nothing was measured twice
    for words in (
        ["results", written.address],
        ["report", written.address],
        ["export", written.address, "--format", "json", "--image", "example.org/sim:1"],
        ["compare", written.address, written.address],
    ):
        status = main(words)
        said = capsys.readouterr()
        assert status == 0, (words, said.err)
    report = place_of(written.address) / "report.html"
    assert report.read_text().startswith("<!DOCTYPE html>")
    assert main(["report", written.address, "--output", str(tmp_path / "mine.html")]) == 0
    assert (tmp_path / "mine.html").read_text().startswith("<!DOCTYPE html>")


class TestAddresses:
    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("s3://key:sesame@bucket/prefix", "an address must not hold keys"),
            ("s3://bucket", "name a bucket and a prefix"),
            ("s3:///prefix", "name a bucket and a prefix"),
            ("ftp://host/folder", "write a path, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX"),
            ("file://folder/tiny", "with three slashes"),
            ("s3://bucket/prefix?secret_key=sesame", "unknown option 'secret_key'; known: region"),
        ],
    )
    def test_an_address_that_is_none_is_refused_with_the_fix_and_without_its_secrets(
        self, text: str, told: str
    ) -> None:
        with pytest.raises(OutputError) as error:
            place_of(text)
        assert told in str(error.value)
        assert "sesame" not in str(error.value)

    def test_a_place_is_shown_without_its_options(self) -> None:
        place = place_of("s3://bucket/a/b?region=eu-west-1")
        assert str(place / "levels") == "s3://bucket/a/b/levels"

    def test_google_s_store_can_be_named(self) -> None:
        """No more than that: no server of it runs here."""
        assert str(place_of("gs://bucket/prefix")) == "gs://bucket/prefix"

    def test_a_file_address_is_a_folder(self, tmp_path: Path) -> None:
        assert place_of((tmp_path / "a b").as_uri()) == tmp_path / "a b"

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from autotuner.bench.benchmark_job import reader_pod as module
from autotuner.bench.benchmark_job.manifests import Belonging
from autotuner.bench.benchmark_job.reader_pod import (
    Part,
    archive_of,
    files_in,
    part_of_log,
    reader_pod,
)
from autotuner.bench.benchmark_job.results import NoResultsError
from autotuner.bench.benchmark_job.storage import ClaimFolder

Print = Callable[..., str]


@pytest.fixture(params=["sh", "busybox"])
def print_part(request: pytest.FixtureRequest, tmp_path: Path) -> Print:
    """What the pod's container prints, with the claim's folder at ``tmp_path``."""
    shell = shutil.which(request.param)
    if shell is None:
        pytest.skip(f"no {request.param} here")

    def run(folder: str, offset: int = 0) -> str:
        pod = reader_pod("r", folder, ClaimFolder("c", "a"), "box", offset, Belonging("team"))
        _, flag, script, *words = pod["spec"]["containers"][0]["command"]
        script = script.replace("/tmp/", f"{tmp_path}/").replace('"/results', f'"{tmp_path}')
        argv = [shell, "sh"] if request.param == "busybox" else [shell]
        done = subprocess.run([*argv, flag, script, *words], capture_output=True, text=True)
        return done.stdout + done.stderr

    return run


@pytest.fixture
def folder(tmp_path: Path) -> str:
    results = tmp_path / "job"
    results.mkdir()
    (results / "experiment_metadata.json").write_text("{}")
    (results / "D100_10 c.json").write_text(json.dumps(list(range(5000))))
    (results / "plot.png").write_bytes(b"\0" * 1000)
    return "job"


def test_a_folders_json_files_come_through_the_log(print_part: Print, folder: str) -> None:
    files = files_in(archive_of(lambda offset: part_of_log(print_part(folder, offset))))
    assert set(files) == {"experiment_metadata.json", "D100_10 c.json"}
    assert json.loads(files["D100_10 c.json"]) == list(range(5000))


def test_a_large_archive_comes_in_several_logs(
    print_part: Print, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART_BYTES", 4096)
    asked: list[int] = []

    def read(offset: int) -> Part:
        asked.append(offset)
        return part_of_log(print_part(folder, offset))

    assert len(files_in(archive_of(read))) == 2
    assert asked[:3] == [0, 4096, 8192]


def test_a_folder_that_is_not_there_gives_no_part(print_part: Print) -> None:
    with pytest.raises(NoResultsError, match="torn"):
        part_of_log(print_part("missing"))


@pytest.mark.parametrize("cut", [0, 10, 60, 200, -2, -16])
def test_a_log_that_was_cut_gives_no_part(print_part: Print, folder: str, cut: int) -> None:
    with pytest.raises(NoResultsError, match="torn"):
        part_of_log(print_part(folder)[:cut])


def test_the_beginning_of_a_log_that_a_kubelet_has_dropped_is_missed(
    print_part: Print, folder: str
) -> None:
    with pytest.raises(NoResultsError, match="torn"):
        part_of_log(print_part(folder)[100:])


def test_results_that_change_while_they_are_read_are_refused() -> None:
    parts = {0: Part(8, "0" * 64, b"1234"), 4: Part(8, "0" * 64, b"5678")}
    with pytest.raises(NoResultsError, match="changed"):
        archive_of(parts.__getitem__)


def test_an_empty_part_ends_the_reading() -> None:
    with pytest.raises(NoResultsError, match="changed"):
        archive_of(lambda offset: Part(8, "0" * 64, b""))


def test_what_is_no_archive_has_no_files() -> None:
    with pytest.raises(NoResultsError, match="archive"):
        files_in(b"x" * 1024)

"""The row of a server that fills the disk it runs on: a small one, mounted for it alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.matrix import Column, Row
from faults.processes import ProcessWatch, eventually
from faults.studies import output_of, start_driver, write_study
from faults.verdict import Expected, judge_processes, judge_results, note_cleanup

from autotuner.spec.experiment import FailureKind

pytestmark = pytest.mark.ray

PATIENCE_S = 180.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or mount is None or unmount is None:
        pytest.skip("only root may mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    words = [mount, "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    mounted = subprocess.run(words, check=False, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run([unmount, "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("row", ["fills the disk"], indirect=True)
def test_a_server_that_fills_the_disk_does_not_take_the_study_with_it(
    row: Row, watch: ProcessWatch, small_disk: Path, tmp_path: Path
) -> None:
    """One at a time: a neighbour on the same disk would rightly fail, too."""
    study = write_study(
        tmp_path,
        watch,
        faulty={"fault-fill-disk-after-requests": 3},
        changes={"resources": {"gpus": 0, "cpus": os.cpu_count() or 1}},
    )
    ray = Path("/tmp") / f"ray-{watch.mark}"
    environment = {**os.environ, "TMPDIR": str(small_disk), "RAY_TMPDIR": str(ray)}
    started = time.time()
    driver = start_driver(study, environment=environment)
    ended = eventually(lambda: driver.poll() is not None, PATIENCE_S)
    if not ended:
        driver.kill()
    status = driver.wait()
    row.check(Column.IN_TIME, ended, f"{time.time() - started:.1f} s", "the driver still runs")
    row.check(Column.WENT_ON, status == 0, "ok", f"exit status {status}: {output_of(study)}")
    judge_processes(row, watch)
    note_cleanup(row, judge_results(row, study, Expected.of(FailureKind.DISK_FULL)), study, watch)
    files = [path for path in small_disk.rglob("*") if path.is_file() and path.stat().st_size]
    kept = small_disk / f"autotuner-caches-{os.getuid()}"  # of the node, for the next study
    left = [str(path) for path in files if kept not in path.parents]
    row.check(Column.NO_PROCESS, not left, "ok", f"files are left on the disk: {left}")
    shutil.rmtree(ray, ignore_errors=True)
    row.settle()

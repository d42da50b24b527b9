"""Rows of the matrix that need several hosts: a raylet, a network and the GCS that fail."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest
from faults.lab import RECONNECT_S, Lab, why_no_lab
from faults.matrix import Column, Row
from faults.processes import ProcessWatch, Seen, eventually
from faults.studies import FAULTY, FaultStudy, command_line, output_of, workload, write_study
from faults.verdict import (
    Expected,
    judge_processes,
    judge_results,
    judge_resumed,
)

from autotuner.spec.experiment import FailureKind

pytestmark = [pytest.mark.ray, pytest.mark.slow_faults]

PATIENCE_S = 240.0
LEASE_S = 10.0
LEVEL_S = 12.0
CLEAR_S = 15.0
"""From a fault, or the end of a lease, until nothing of the attempt may be left."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    if reason := why_no_lab():
        pytest.skip(reason)
    with Lab() as lab:
        yield lab


@pytest.fixture
def study(lab: Lab, watch: ProcessWatch) -> FaultStudy:
    folder = lab.folder / watch.mark
    folder.mkdir()
    changes = {
        "resources": {"gpus": 1},
        "timeouts": {"lease_s": LEASE_S},
        "workloads": [workload((1, 2), seconds=LEVEL_S, requests=None)],
    }
    return write_study(folder, watch, faulty={"env.FIRST": "yes"}, changes=changes)


def start(lab: Lab, study: FaultStudy) -> subprocess.Popen[bytes]:
    words = command_line(study, "--address", lab.address)
    return lab.run(0, words, study.path.with_suffix(".out"))


def victim(watch: ProcessWatch, driver: subprocess.Popen[bytes], study: FaultStudy) -> Seen:
    """The server of the faulty experiment's first attempt, once it is under load."""
    found: list[Seen] = []

    def serves() -> bool:
        assert driver.poll() is None, output_of(study)
        found[:] = [s for s in watch.alive() if s.is_server and s.label == FAULTY]
        return bool(found)

    assert eventually(serves, PATIENCE_S), output_of(study)
    time.sleep(4.0)  # into its first level
    return found[0]


def judge_end(
    row: Row, driver: subprocess.Popen[bytes], study: FaultStudy, watch: ProcessWatch, since: float
) -> None:
    """A study whose driver lived through the fault."""
    ended = eventually(lambda: driver.poll() is not None, PATIENCE_S)
    if not ended:
        driver.kill()
    status = driver.wait()
    took = f"{time.time() - since:.0f} s"
    row.check(Column.IN_TIME, ended, took, f"the driver still ran {took} after the fault")
    row.check(Column.WENT_ON, status == 0, "ok", f"exit status {status}: {output_of(study)}")
    judge_processes(row, watch)
    judge_results(row, study, Expected.of(FailureKind.NODE_LOST, "completed"))


def judge_cleanup(row: Row, watch: ProcessWatch, attempt: str, at: float, allowed_s: float) -> None:
    cleared = watch.cleared(at + allowed_s - time.time(), attempt)
    late = f"of {attempt} there live {allowed_s:g} s later: {watch.alive(attempt)}"
    row.check(Column.NO_PROCESS, cleared, "ok", late)
    assert watch.cleared(PATIENCE_S, attempt), late
    row.cleanup_s.append(max(0.0, (watch.last_seen(attempt) or at) - at))


@pytest.mark.parametrize("row", ["raylet killed"], indirect=True)
def test_an_attempt_of_a_node_whose_raylet_died_is_made_elsewhere(
    row: Row, lab: Lab, study: FaultStudy, watch: ProcessWatch
) -> None:
    driver = start(lab, study)
    server = victim(watch, driver, study)
    node = lab.node_of(server.pid)
    lab.kill_raylet(node)
    at = time.time()
    judge_cleanup(row, watch, server.attempt, at, CLEAR_S)
    judge_end(row, driver, study, watch, at)
    lab.power_off(node)
    lab.start()
    row.settle()


@pytest.mark.parametrize("row", ["node partitioned"], indirect=True)
def test_a_node_that_is_cut_off_stops_its_server_by_itself(
    row: Row, lab: Lab, study: FaultStudy, watch: ProcessWatch
) -> None:
    driver = start(lab, study)
    server = victim(watch, driver, study)
    node = lab.node_of(server.pid)
    lab.cut(node)
    at = time.time()
    try:
        judge_cleanup(row, watch, server.attempt, at, LEASE_S + CLEAR_S / 2)
        judge_end(row, driver, study, watch, at)
    finally:
        lab.restore(node)
        lab.power_off(node)
        lab.start()
    row.settle()


@pytest.mark.parametrize("row", ["GCS killed"], indirect=True)
def test_without_a_gcs_the_study_ends_and_goes_on_in_the_next_cluster(
    row: Row, lab: Lab, study: FaultStudy, watch: ProcessWatch
) -> None:
    """Ray without fault tolerance ends its drivers with the GCS; results must survive that."""
    driver = start(lab, study)
    server = victim(watch, driver, study)
    lab.kill_gcs()
    at = time.time()
    judge_cleanup(row, watch, server.attempt, at, RECONNECT_S + 2 * CLEAR_S)
    ended = eventually(lambda: driver.poll() is not None, PATIENCE_S)
    row.check(Column.IN_TIME, ended, f"{time.time() - at:.0f} s", "the driver still runs")
    judge_processes(row, watch)
    for number in (0, *lab.workers):
        lab.power_off(number)
    lab.start()
    status = start(lab, study).wait(PATIENCE_S)
    judge_resumed(row, study, status, output_of(study))
    row.settle()

"""Ways to stop a study: its servers go although they do not want to, its results stay."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from faults.matrix import Column, Row
from faults.processes import ProcessWatch
from faults.studies import (
    FaultStudy,
    drive_to_first_level,
    output_of,
    start_driver,
    workload,
    write_study,
)
from faults.verdict import judge_processes, judge_resumed

pytestmark = pytest.mark.ray

PATIENCE_S = 120.0
PROMISED_S = 10.0
MACHINE = 2.0
"""Machines differ, and a test is no clock: twice the promise."""
INTERRUPTED = 130


def by_signal(number: signal.Signals) -> Callable[[FaultStudy, subprocess.Popen[str]], None]:
    return lambda _, driver: driver.send_signal(number)


def by_command(study: FaultStudy, driver: subprocess.Popen[str]) -> None:
    command = [sys.executable, "-m", "autotuner.cli.main", "stop", str(study.output)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith("faults has stopped; its results are kept in")


def twice(_: FaultStudy, driver: subprocess.Popen[str]) -> None:
    driver.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    driver.send_signal(signal.SIGTERM)


@pytest.mark.parametrize(
    ("row", "stop"),
    [
        ("SIGTERM", by_signal(signal.SIGTERM)),
        pytest.param("Ctrl-C", by_signal(signal.SIGINT), marks=pytest.mark.slow_faults),
        pytest.param("autotuner stop", by_command, marks=pytest.mark.slow_faults),
        pytest.param("SIGTERM twice", twice, marks=pytest.mark.slow_faults),
    ],
    indirect=["row"],
)
def test_a_study_that_is_stopped_keeps_its_results_and_goes_on_later(
    row: Row,
    stop: Callable[[FaultStudy, subprocess.Popen[str]], None],
    watch: ProcessWatch,
    tmp_path: Path,
) -> None:
    stubborn = {"fault-ignore-sigterm": True, "fault-spawn-daemon": True}
    levels = {
        "workloads": [workload((1, 2), seconds=4.0, requests=None)],
        "timeouts": {"stop_s": 8.0},
    }
    study = write_study(tmp_path, watch, faulty=stubborn, healthy=1, changes=levels)
    driver = drive_to_first_level(study)
    time.sleep(0.5)  # into the second level
    attempts, at = watch.attempts(), time.time()
    stop(study, driver)
    status = driver.wait(PATIENCE_S)
    took_s = time.time() - at
    row.check(Column.IN_TIME, took_s < MACHINE * PROMISED_S, f"{took_s:.1f} s")
    row.check(Column.KIND, status == INTERRUPTED, "exit 130", f"{status}: {output_of(study)}")
    judge_processes(row, watch)
    row.cleanup_s += [max(0.0, (watch.last_seen(attempt) or at) - at) for attempt in attempts]
    kept = pd.read_parquet(study.output / "levels")
    row.check(Column.ROWS, (kept["status"] == "ok").any(), "ok", "the first level is lost")
    judge_resumed(row, study, start_driver(study).wait(PATIENCE_S), output_of(study))
    row.settle()

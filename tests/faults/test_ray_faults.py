"""Rows of the matrix in which processes of Ray, or the driver, are killed on one machine."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from faults.matrix import Column, Row
from faults.processes import ProcessWatch, Seen
from faults.studies import (
    carry_out,
    drive_to_first_level,
    is_marked,
    output_of,
    start_driver,
    workload,
    write_study,
)
from faults.verdict import Expected, judge_processes, judge_results, judge_resumed

from autotuner.driver.progress import LevelFinished, StudyEvent
from autotuner.execution.base import Executor
from autotuner.spec.experiment import FailureKind

pytestmark = pytest.mark.ray

PATIENCE_S = 120.0
CLEAR_S = 10.0
"""From a kill until nothing of the attempt may be left."""
LEVELS = {"workloads": [workload((1, 2), seconds=2.5, requests=None)]}
"""Long enough that a kill after the first one hits the second."""


def actor_above(seen: Seen) -> psutil.Process:
    """The Ray worker that a process of an attempt descends from."""
    parents = psutil.Process(seen.pid).parents()
    return next(parent for parent in parents if parent.name().startswith("ray::"))


def kill_actor(watch: ProcessWatch, attempt: str) -> None:
    os.kill(actor_above(watch.alive(attempt)[0]).pid, signal.SIGKILL)


def kill_server(watch: ProcessWatch, attempt: str) -> None:
    os.kill(min(s.pid for s in watch.alive(attempt) if s.is_server), signal.SIGKILL)


def kill_outer_supervisor(watch: ProcessWatch, attempt: str) -> None:
    outer = min(_supervisors(watch, attempt), key=lambda seen: seen.pid)
    os.kill(outer.pid, signal.SIGKILL)


def kill_both_supervisors(watch: ProcessWatch, attempt: str) -> None:
    for seen in _supervisors(watch, attempt):
        os.kill(seen.pid, signal.SIGKILL)


def _supervisors(watch: ProcessWatch, attempt: str) -> list[Seen]:
    return [seen for seen in watch.alive(attempt) if seen.is_supervisor]


KILLS = [
    ("actor killed", kill_actor, Expected.of(FailureKind.ACTOR_LOST, "completed")),
    ("server killed", kill_server, Expected.of(FailureKind.SERVER_CRASHED, "completed")),
    pytest.param(
        "outer supervisor killed",
        kill_outer_supervisor,
        Expected.of("completed"),
        marks=pytest.mark.slow_faults,
    ),
    pytest.param(
        "both supervisors killed",
        kill_both_supervisors,
        Expected.of(FailureKind.SERVER_CRASHED, "completed"),
        marks=pytest.mark.slow_faults,
    ),
]


@pytest.mark.parametrize(("row", "kill", "expected"), KILLS, indirect=["row"])
def test_a_process_that_is_killed_under_load_costs_one_attempt_at_most(
    row: Row,
    kill: Callable[[ProcessWatch, str], None],
    expected: Expected,
    watch: ProcessWatch,
    ray_executor: Executor,
    tmp_path: Path,
) -> None:
    study = write_study(tmp_path, watch, faulty={"env.FIRST": "yes"}, changes=LEVELS)
    killed: list[tuple[str, float]] = []

    def kill_first(event: StudyEvent) -> None:
        if killed or not isinstance(event, LevelFinished):
            return
        if is_marked(event.attempt, study.faulty_mark):
            time.sleep(0.5)  # into the second level
            kill(watch, event.attempt.id)
            killed.append((event.attempt.id, time.time()))

    course = carry_out(study, ray_executor, limit_s=4 * PATIENCE_S, on_event=kill_first)
    longest = max(course.durations(study.faulty_mark), default=0.0)
    row.check(Column.IN_TIME, course.in_time and longest < PATIENCE_S, f"{longest:.1f} s")
    judge_processes(row, watch)
    stored = judge_results(row, study, expected)
    ((attempt, at),) = killed
    if expected.outcomes[0] != "completed":
        row.cleanup_s.append(max(0.0, (watch.last_seen(attempt) or at) - at))
        kept = stored.levels[stored.levels["attempt_id"] == attempt]
        ok = (kept["status"] == "ok").sum()
        row.check(Column.ROWS, ok >= 1, "ok", "the level before the kill is lost")
    row.settle()


@pytest.mark.parametrize("row", ["driver killed"], indirect=True)
def test_a_killed_driver_leaves_nothing_and_the_same_command_goes_on(
    row: Row, watch: ProcessWatch, tmp_path: Path
) -> None:
    study = write_study(tmp_path, watch, faulty={"env.FIRST": "yes"}, healthy=1, changes=LEVELS)
    driver = drive_to_first_level(study)
    time.sleep(0.5)
    below = psutil.Process(driver.pid).children(recursive=True)
    attempts = watch.attempts()
    driver.kill()
    at = time.time()
    driver.wait()
    cleared = watch.cleared(CLEAR_S)
    row.check(Column.IN_TIME, cleared, f"{time.time() - at:.1f} s", "its processes outlive it")
    judge_processes(row, watch, patience_s=0.0)
    # Two of Ray's own, its agents, look for their GCS for a minute before they end.
    rest = [process for process in below if not _name(process).endswith("Agent")]
    left = psutil.wait_procs(rest, timeout=CLEAR_S)[1]
    row.check(Column.NO_PROCESS, not left, "ok", f"of its Ray there live: {left}")
    row.cleanup_s += [max(0.0, (watch.last_seen(attempt) or at) - at) for attempt in attempts]
    status = start_driver(study).wait(PATIENCE_S)
    judge_resumed(row, study, status, output_of(study))
    row.settle()


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return process.name()
    return ""

"""A study as a Ray job: it runs like any other, and stopping the job leaves nothing behind."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.head import Head, ray_head
from faults.matrix import Column, Row
from faults.processes import ProcessWatch, eventually
from faults.studies import FaultStudy, command_line, workload, write_study
from faults.verdict import judge_processes, judge_resumed

pytestmark = [pytest.mark.ray, pytest.mark.slow_faults]

PATIENCE_S = 180.0
STOP_S = 30.0
"""From `ray job stop` until nothing of the study may be left."""


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with ray_head() as head:
        yield head


def submit(head: Head, study: FaultStudy, *words: str) -> tuple[int, str]:
    """Submit the study's own command; by default wait for its end."""
    entrypoint = shlex.split(shlex.join(command_line(study)))
    for _ in range(10):
        answer = head.job("submit", *words, "--", *entrypoint)
        if "No available agent" not in answer.stdout + answer.stderr:
            break
        time.sleep(3.0)  # the agent comes up later than its node
    return answer.returncode, answer.stdout + answer.stderr


@pytest.mark.parametrize("row", ["ray job stop"], indirect=True)
def test_a_stopped_job_leaves_nothing_and_submitted_again_goes_on(
    row: Row, head: Head, watch: ProcessWatch, tmp_path: Path
) -> None:
    levels = {"workloads": [workload((1, 2), seconds=5.0, requests=None)]}
    study = write_study(tmp_path, watch, faulty={"env.FIRST": "yes"}, healthy=1, changes=levels)
    name = f"study-{watch.mark}"
    status, output = submit(head, study, "--no-wait", "--submission-id", name)
    assert status == 0, output
    measured = study.output / "levels"
    begun = eventually(lambda: any(measured.glob("[!.]*.parquet")), PATIENCE_S)
    assert begun, head.job("logs", name).stdout[-3000:]
    attempts = {seen.attempt for seen in watch.alive()} - {""}
    at = time.time()
    stopped = head.job("stop", name)
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    judge_processes(row, watch, STOP_S)
    row.cleanup_s += [max(0.0, (watch.last_seen(attempt) or at) - at) for attempt in attempts]
    took = f"{time.time() - at:.0f} s"
    over = eventually(lambda: "STOPPED" in head.job("status", name).stdout.upper(), STOP_S)
    row.check(Column.IN_TIME, over, took, head.job("status", name).stdout[-500:])
    judge_resumed(row, study, *submit(head, study))
    row.settle()

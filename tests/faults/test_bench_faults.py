"""Rows of the matrix in which genai-bench is at fault: a stand-in that misbehaves, and the real
one, killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from faults.matrix import Column, Row
from faults.processes import ProcessWatch, Seen, eventually
from faults.studies import carry_out, is_marked, workload, write_study
from faults.verdict import Expected, judge_processes, judge_results, note_cleanup

from autotuner.bench.genai_bench import find_executable
from autotuner.driver.progress import PhaseEntered, StudyEvent
from autotuner.errors import LaunchError
from autotuner.execution.base import Executor
from autotuner.spec.experiment import FailureKind, Phase

pytestmark = pytest.mark.ray

STAND_IN = Path(__file__).with_name("stand_in_bench.py")
TINY_LLAMA = Path(__file__).parents[2] / ".cache" / "tiny-llama"
SLACK_S = 60.0
FAULTS = {"hangs": [pytest.mark.slow_faults], "writes broken JSON": [], "writes nothing": []}
LEVEL_S = 3.0
GRACE_S = 3.0
FAILED_ONCE = Expected.of(FailureKind.BENCH_FAILED, "completed")
FAILED_TWICE = Expected.of(FailureKind.BENCH_FAILED, FailureKind.BENCH_FAILED)


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A program beside an interpreter, as genai-bench's environment has them."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("genai-bench", "python"):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STAND_IN}" "$@"\n')
        program.chmod(0o755)
    return folder / "genai-bench"


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        pytest.param(f"genai-bench {fault}", fault, marks=marks, id=fault)
        for fault, marks in FAULTS.items()
    ],
    indirect=["row"],
)
def test_a_load_generator_at_fault_is_not_the_server_s(
    row: Row, fault: str, watch: ProcessWatch, ray_executor: Executor, stand_in: Path
) -> None:
    study = write_study(
        stand_in.parent,
        watch,
        faulty={"env.HF_FAULT_BENCH": fault},
        changes={
            "bench": {"name": "genai-bench", "executable": str(stand_in)},
            "timeouts": {"level_grace_s": GRACE_S},
            "workloads": [workload(seconds=LEVEL_S)],
        },
    )
    levels_s = 2 * (LEVEL_S + GRACE_S)
    course = carry_out(study, ray_executor, limit_s=2 * (levels_s + SLACK_S))
    longest = max(course.durations(study.faulty_mark), default=0.0)
    row.check(Column.IN_TIME, course.in_time and longest < levels_s + SLACK_S, f"{longest:.1f} s")
    judge_processes(row, watch)
    note_cleanup(row, judge_results(row, study, FAILED_TWICE), study, watch)
    row.settle()


def load_processes(watch: ProcessWatch, attempt: str) -> list[Seen]:
    return [
        seen
        for seen in watch.alive(attempt)
        if "genai_bench_shim" in seen.command and not seen.is_supervisor
    ]


@pytest.mark.slow_faults
@pytest.mark.genai_bench
@pytest.mark.parametrize("row", ["genai-bench killed"], indirect=True)
def test_a_killed_genai_bench_is_tried_again(
    row: Row, watch: ProcessWatch, ray_executor: Executor, tmp_path: Path
) -> None:
    """The real one is killed in its first level, together with what it has forked."""
    try:
        find_executable(None)
    except LaunchError as error:
        pytest.skip(str(error))
    if not (TINY_LLAMA / "tokenizer.json").exists():
        pytest.skip("the tiny model, whose tokenizer is used, is missing: `make test` makes it")
    study = write_study(
        tmp_path,
        watch,
        faulty={"env.FIRST": "yes"},
        healthy=1,
        changes={
            "bench": "genai-bench",
            "model": str(TINY_LLAMA),
            "engine": {"environment": {"HF_HUB_OFFLINE": "1"}},
            "workloads": [workload((1,), seconds=8.0, requests=None)],
        },
    )
    victims: list[str] = []

    def kill_first(event: StudyEvent) -> None:
        if victims or not isinstance(event, PhaseEntered) or event.phase is not Phase.LOAD:
            return
        if is_marked(event.attempt, study.faulty_mark):
            victims.append(event.attempt.id)
            assert eventually(lambda: load_processes(watch, victims[0]), SLACK_S)
            time.sleep(1.0)
            for seen in load_processes(watch, victims[0]):
                os.kill(seen.pid, signal.SIGKILL)

    course = carry_out(study, ray_executor, limit_s=6 * SLACK_S, on_event=kill_first)
    longest = max(course.durations(study.faulty_mark), default=0.0)
    row.check(Column.IN_TIME, course.in_time, f"{longest:.1f} s")
    judge_processes(row, watch)
    note_cleanup(row, judge_results(row, study, FAILED_ONCE), study, watch)
    row.settle()

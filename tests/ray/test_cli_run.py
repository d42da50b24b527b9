"""`autotuner run` as a user starts it: a process of its own, a Ray that it starts itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.ray

STUDY = """
study: cli
engine: {name: sim, flags: {time-scale: 0.1}}
model: sim-model
parameters:
  max-num-seqs: [1, 8]
workloads:
  - {name: chat, scenario: "D(50,20)", concurrency: [1, 4], stop: {seconds: 20, requests: 10}}
objective: {name: maximize_throughput, at: {concurrency: 4}}
baseline: false
finalist_servers: 1
order: plan
resources: {gpus: 0}
bench: closed-loop
output: out
"""


def start(tmp_path: Path, text: str) -> subprocess.Popen[str]:
    (tmp_path / "study.yaml").write_text(text)
    return subprocess.Popen(
        [sys.executable, "-m", "autotuner.cli.main", "run", str(tmp_path / "study.yaml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_a_study_ends_with_a_ranked_table_and_exit_status_0(tmp_path: Path) -> None:
    driver = start(tmp_path, STUDY)
    output = driver.communicate(timeout=300)[0]
    assert driver.returncode == 0, output
    assert "best (simulated): max-num-seqs=" in output
    assert "SIMULATED" in output
    assert f"results: {tmp_path / 'out'}" in output
    assert len(pd.read_parquet(tmp_path / "out" / "levels")) == 4


def test_a_study_in_which_all_fail_exits_with_2_and_says_why(tmp_path: Path) -> None:
    unchecked = "engine: {name: sim, check_flags: false, flags: {no-such-flag: 1}}"
    driver = start(
        tmp_path, STUDY.replace("engine: {name: sim, flags: {time-scale: 0.1}}", unchecked)
    )
    output = driver.communicate(timeout=300)[0]
    assert driver.returncode == 2, output
    assert "config_rejected" in output
    assert "unrecognized arguments: --no-such-flag" in output
    assert "no experiment succeeded" in output
    rows = pd.read_parquet(tmp_path / "out" / "experiments")
    assert list(rows["attempt"]) == [1, 1]  # a rejected configuration is never tried again


def test_a_flag_that_the_engine_does_not_know_exits_with_1_before_anything_starts(
    tmp_path: Path,
) -> None:
    driver = start(tmp_path, STUDY.replace("max-num-seqs:", "max-num-sequences:"))
    output = driver.communicate(timeout=300)[0]
    assert driver.returncode == 1, output
    said = " ".join(output.split())
    assert "study.yaml:6: parameters.max-num-sequences: sim" in said
    assert "did you mean `max-num-seqs`?" in said
    assert list((tmp_path / "out" / "experiments").iterdir()) == []


def test_ctrl_c_in_the_terminal_keeps_what_was_measured_and_exits_with_130(
    tmp_path: Path,
) -> None:
    endless = STUDY.replace("concurrency: [1, 4]", "concurrency: [4, 1]").replace(
        "seconds: 20, requests: 10", "seconds: 10"
    )
    driver = start(tmp_path, endless.replace("[1, 8]", "[8]"))
    deadline = time.monotonic() + 200
    while not any((tmp_path / "out" / "levels").glob("*.parquet")):
        assert driver.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(driver.pid, signal.SIGINT)  # a terminal sends it to the whole group
    output = driver.communicate(timeout=60)[0]
    assert driver.returncode == 130, output
    levels = pd.read_parquet(tmp_path / "out" / "levels").set_index("concurrency")
    assert levels.loc[4, "status"] == "ok"
    assert levels.loc[1, "status"] in ("failed", "not_measured")
    assert "Traceback" not in output

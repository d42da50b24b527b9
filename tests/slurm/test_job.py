"""The Slurm recipe as a real Slurm runs it: a job of two nodes, its signals and its end."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from slurm.slurm_lab import SlurmLab, why_no_slurm

REASON = why_no_slurm()
pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow_faults,
    pytest.mark.skipif(REASON is not None, reason=f"no Slurm here: {REASON}"),
]

BATCH = Path(__file__).parents[2] / "cluster" / "slurm" / "autotune.sbatch"
PATIENCE_S = 240.0
STUDY = """
study: on-slurm
engine: {name: sim, flags: {time-scale: 0.1}}
model: sim-model
parameters: {max-num-seqs: [1, 2, 4, 8, 16, 32]}
workloads:
  - {name: chat, scenario: "D(50,20)", concurrency: [2, 4], stop: {seconds: 4, requests: 1000}}
objective: {name: maximize_throughput, over: best}
baseline: false
finalist_servers: 1
resources: {gpus: 1, cpus: 1}
bench: closed-loop
"""


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmLab]:
    with SlurmLab() as lab:
        yield lab


def submit(slurm: SlurmLab, study: str) -> str:
    (slurm.folder / "study.yaml").write_text(study)
    variables = {
        "AUTOTUNER_PROGRAMS": str(Path(sys.executable).parent),
        "AUTOTUNER_NODE_TMP": str(slurm.folder / "tmp"),
        "AUTOTUNER_SIM_GPUS": str(slurm.folder / "tmp" / "gpus"),
    }
    words = ["--gres=gpu:2", "--parsable", str(BATCH), "study.yaml", "results"]
    return slurm.command("sbatch", *words, **variables).strip()


def log_of(slurm: SlurmLab, job: str) -> str:
    return (slurm.folder / f"autotuner-{job}.log").read_text(errors="replace")


def experiments(slurm: SlurmLab) -> list[Path]:
    return list((slurm.folder / "results" / "experiments").glob("*.parquet"))


def test_what_a_job_stops_at_its_end_is_on_its_own_nodes(slurm: SlurmLab) -> None:
    """`ray stop` ends every Ray that it sees; the machine that the lab is on may have others."""
    script = slurm.folder / "look.sh"
    script.write_text("#!/bin/bash\nsrun bash -c 'cat /proc/[0-9]*/comm'\n")
    job = slurm.command("sbatch", "--parsable", "--nodes=2", "--output=look", str(script)).strip()
    assert slurm.ended(job, PATIENCE_S)["JobState"] == "COMPLETED"
    seen = (slurm.folder / "look").read_text().split()
    assert seen.count("slurmd") == 2
    assert "munged" not in seen  # of the machine, as are the tests themselves
    assert not any(name.startswith("pytest") for name in seen)


def test_a_mistake_in_the_study_is_the_exit_status_of_the_job(slurm: SlurmLab) -> None:
    job = submit(slurm, STUDY.replace("parameters:", "parametres:"))
    ended = slurm.ended(job, PATIENCE_S)
    assert (ended["JobState"], ended["ExitCode"]) == ("FAILED", "1:0"), log_of(slurm, job)
    assert "parametres" in log_of(slurm, job), log_of(slurm, job)
    assert ended["Restarts"] == "0"


def test_a_job_whose_time_is_over_queues_again_and_goes_on(slurm: SlurmLab) -> None:
    job = submit(slurm, STUDY)
    deadline = time.monotonic() + PATIENCE_S
    while not experiments(slurm):
        assert time.monotonic() < deadline, slurm.told() + log_of(slurm, job)
        assert slurm.job(job)["JobState"] in {"PENDING", "CONFIGURING", "RUNNING"}, log_of(
            slurm, job
        )
        time.sleep(0.2)
    slurm.command("scancel", "--batch", "--signal=USR1", job)
    ended = slurm.ended(job, PATIENCE_S)
    told = log_of(slurm, job)
    assert (ended["JobState"], ended["ExitCode"]) == ("COMPLETED", "0:0"), told
    assert ended["Restarts"] == "1"
    assert "queued again; it goes on where it stopped" in told
    rows = pd.read_parquet(slurm.folder / "results" / "experiments")
    completed = rows[rows["outcome"] == "completed"]
    assert sorted(completed["param_max_num_seqs"]) == [1, 2, 4, 8, 16, 32]  # nothing twice
    assert set(completed["host"]) == {"node1", "node2"}
    assert {tuple(ids) for ids in completed["gpu_ids"]} == {("0",), ("1",)}
    # The token is gone, was in no log, and nobody but its owner could read it.
    assert not list(slurm.folder.glob(".autotuner-*"))
    assert not re.search(r"[0-9a-f]{64}", told)

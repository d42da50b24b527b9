"""A search through real actors: what is asked, left out, and gone on with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.ray

STUDY = """
study: searched
engine: {name: sim, flags: {time-scale: 0.1}}
model: sim-model
parameters:
  max-num-seqs: {min: 1, max: 64, scale: log}
  max-num-batched-tokens: [256, 1024, 4096]
search: {strategy: adaptive, max_experiments: LIMIT}
workloads:
  - {name: chat, scenario: "D(50,20)", concurrency: [1, 4, 16], stop: {seconds: 20, requests: 32}}
objective: {name: maximize_throughput, over: best}
finalist_servers: 1
resources: {gpus: 0}
bench: closed-loop
output: out
"""


def run(tmp_path: Path, limit: int) -> str:
    (tmp_path / "study.yaml").write_text(STUDY.replace("LIMIT", str(limit)))
    command = [sys.executable, "-m", "autotuner.cli.main", "run", str(tmp_path / "study.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    output = done.stdout + done.stderr
    assert done.returncode in (0, 3), output
    return output


def test_a_search_leaves_levels_out_with_reasons_and_goes_on_where_it_ended(tmp_path: Path) -> None:
    run(tmp_path, 2)
    first = pd.read_parquet(tmp_path / "out" / "experiments")
    begun = set(first["experiment_id"])
    assert len(begun) == 2

    output = run(tmp_path, 5)
    attempts = pd.read_parquet(tmp_path / "out" / "experiments")
    assert len(set(attempts["experiment_id"])) == 5
    searched = attempts[attempts["purpose"] == first["purpose"].iloc[0]]
    assert begun < set(searched["experiment_id"])
    assert not searched["experiment_id"].duplicated().any()  # nothing is searched twice
    assert "5 of 22 candidates were measured, chosen by adaptive" in " ".join(output.split())

    levels = pd.read_parquet(tmp_path / "out" / "levels")
    assert set(levels["attempt_id"]) == set(attempts["attempt_id"])
    left_out = levels[levels["status"] == "skipped"]
    assert len(left_out) > 0
    assert left_out["reason"].notna().all()
    assert not (attempts["outcome"] == "failed").any()

"""A real head without authentication, and a driver that has a token file from elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.head import Head, ray_head

pytestmark = pytest.mark.ray

STUDY = """
study: without-a-token
engine: {name: sim, flags: {time-scale: 0.1}}
model: sim-model
parameters: {max-num-seqs: [8]}
workloads:
  - {name: chat, scenario: "D(50,20)", concurrency: [4], stop: {seconds: 20, requests: 10}}
objective: maximize_throughput
baseline: false
finalist_servers: 1
max_attempts: 1
resources: {gpus: 0}
bench: closed-loop
output: out
"""


@pytest.fixture(scope="module")
def open_head() -> Iterator[Head]:
    with ray_head(mode="disabled") as head:
        yield head


def run(head: Head, folder: Path, **told: str) -> subprocess.CompletedProcess[str]:
    """`autotuner run` by a user who once started a Ray of their own, which left a token."""
    (folder / ".ray").mkdir()
    (folder / ".ray" / "auth_token").write_text("f00dfeed" * 8)
    (folder / "study.yaml").write_text(STUDY)
    environment = {k: v for k, v in head.environment.items() if not k.startswith("RAY_")}
    words = ["run", "study.yaml", "--address", f"127.0.0.1:{head.port}"]
    return subprocess.run(
        [sys.executable, "-m", "autotuner.cli.main", *words],
        env={**environment, "HOME": str(folder), **told},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_a_token_file_does_not_spoil_a_study_on_a_cluster_without_tokens(
    open_head: Head, tmp_path: Path
) -> None:
    """Workers without a token were refused by a driver that wanted one: all attempts lost."""
    driver = run(open_head, tmp_path)
    assert driver.returncode == 0, driver.stdout + driver.stderr
    assert "actor_lost" not in driver.stdout


def test_a_driver_that_insists_on_tokens_is_told_so_before_anything_starts(
    open_head: Head, tmp_path: Path
) -> None:
    driver = run(open_head, tmp_path, RAY_AUTH_MODE="token")
    assert driver.returncode == 1
    assert "runs without authentication, and RAY_AUTH_MODE=token is set here" in driver.stderr
    assert not list((tmp_path / "out").glob("experiments/*"))

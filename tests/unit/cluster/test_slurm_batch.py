"""What the batch script says, besides what it does in tests/slurm."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

PATH = Path(__file__).parents[3] / "cluster" / "slurm" / "autotune.sbatch"
TEXT = PATH.read_text()
DIRECTIVES = dict(re.findall(r"(?m)^#SBATCH --([\w-]+)(?:=(.*))?$", TEXT))


def test_the_shell_understands_it() -> None:
    subprocess.run(["/bin/bash", "-n", str(PATH)], check=True)
    assert "\nset -euo pipefail\n" in TEXT


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck here")
def test_shellcheck_finds_nothing() -> None:
    program = shutil.which("shellcheck") or ""
    checked = subprocess.run([program, str(PATH)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_directives_stand_before_the_first_command() -> None:
    """Slurm stops reading them there."""
    commands = [n for n, line in enumerate(TEXT.splitlines()) if line and line[0] != "#"]
    directives = [n for n, line in enumerate(TEXT.splitlines()) if line.startswith("#SBATCH")]
    assert max(directives) < min(commands)


def test_nodes_are_the_jobs_own_and_one_ray_runs_on_each() -> None:
    assert "exclusive" in DIRECTIVES
    assert DIRECTIVES["mem"] == "0"
    assert DIRECTIVES["ntasks-per-node"] == "1"
    assert "--cpu-bind=none" in TEXT
    assert '--num-gpus "${SLURM_GPUS_ON_NODE:-0}"' in TEXT


def test_the_end_of_the_time_is_told_to_the_script_alone() -> None:
    """A signal to the step would reach the raylets and the servers at the same time."""
    assert re.fullmatch(r"B:USR1@\d+", DIRECTIVES["signal"])
    assert re.search(r"(?m)^trap '.*' USR1$", TEXT)
    assert "requeue" in DIRECTIVES


def test_a_lost_node_does_not_end_the_study_whatever_the_site_does() -> None:
    assert "no-kill" in DIRECTIVES
    for flag in ("--no-kill", "--kill-on-bad-exit=0", "--wait=0"):
        assert flag in TEXT


def test_the_token_is_the_jobs_own_and_readable_for_nobody_else() -> None:
    assert "umask 077 && mktemp -d" in TEXT
    assert "umask 077 && od" in TEXT
    exported = re.findall(r"(?m)^export (.*RAY_AUTH.*)$", TEXT)
    assert exported == ['RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$private/token"']
    assert "trap 'rm -rf \"$private\"' EXIT" in TEXT


def test_workers_of_ray_do_not_distort_what_is_measured() -> None:
    for setting in (
        "RAY_worker_niceness=0",
        "RAY_worker_oom_score_adjustment=0",
        "RAY_process_group_cleanup_enabled=1",
    ):
        assert setting in TEXT

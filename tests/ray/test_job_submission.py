"""A study as a Ray job, from a folder of the user's, on a cluster that has no autotuner."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from faults.head import Head, ray_head

pytestmark = pytest.mark.ray

REPOSITORY = Path(__file__).parents[2]
IN_JOBS_FOLDER = "${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}"

# Tells of itself before it serves, by means that are its own.
SERVER = """\
env > {folder}/server.env
pwd > {folder}/server.cwd
exec env PYTHONPATH={repository} {python} -m autotuner.engines.sim_server --model sim-model \\
    --served-model-name $2 --host 127.0.0.1 --port $1 --time-scale 0.1
"""
STUDY = """
study: submitted
engine: {{name: custom, command: [bash, {folder}/serve.sh, "{{port}}", "{{served_name}}"]}}
model: sim-model
parameters:
  env.CASE: [one, two]
workloads:
  - {{name: chat, scenario: "D(50,20)", concurrency: [4], stop: {{seconds: 20, requests: 10}}}}
objective: maximize_throughput
baseline: false
finalist_servers: 1
order: plan
resources: {{gpus: 0, cpus: 1}}
bench: closed-loop
"""


@dataclass
class Submitted:
    status: int
    log: str
    folder: Path
    """Where the study's server tells of itself, and results may lie."""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with all that autotuner needs, and without autotuner."""
    folder = tmp_path_factory.mktemp("cluster") / "venv"
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    # An editable install is one of .pth files, which are not followed from here.
    (site / "rest.pth").write_text(sysconfig.get_paths()["purelib"])
    python = folder / "bin" / "python"
    alone = subprocess.run([python, "-c", "import autotuner"], capture_output=True, cwd="/")
    assert alone.returncode == 1
    assert subprocess.run([python, "-c", "import ray"], cwd="/").returncode == 0
    return python


@pytest.fixture(scope="module")
def head(python: Path) -> Iterator[Head]:
    with ray_head(python=python) as head:
        yield head


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # From a copy: a build leaves a folder behind, whose content would be in the next wheel.
    source = folder / "source"
    shutil.copytree(REPOSITORY / "autotuner", source / "autotuner")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    words = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder)]
    subprocess.run([*words, str(source)], check=True)
    (wheel,) = folder.glob("autotuner-*.whl")
    return wheel


def submit(
    head: Head, folder: Path, environment: dict[str, object], entrypoint: Sequence[str]
) -> Submitted:
    """`ray job submit --working-dir WORK -- ENTRYPOINT`, where WORK looks like a repository."""
    work = folder / "work"
    for name in ("cluster", "tests"):
        (work / name).mkdir(parents=True)
        (work / name / "__init__.py").touch()
    for file in folder.glob("*.whl"):
        file.rename(work / file.name)
    told = {"folder": folder, "repository": REPOSITORY, "python": sys.executable}
    (work / "study.yaml").write_text(STUDY.format(**told))
    (folder / "serve.sh").write_text(SERVER.format(**told))
    words = ["--working-dir", str(work), "--runtime-env-json", json.dumps(environment)]
    for _ in range(10):
        answer = head.job("submit", *words, "--", *entrypoint)
        if "No available agent" not in answer.stdout + answer.stderr:
            break
        time.sleep(3.0)  # the agent comes up later than its node
    return Submitted(answer.returncode, answer.stdout + answer.stderr, folder)


@pytest.fixture(scope="module")
def by_wheel(head: Head, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Submitted:
    """As the documents have it: the wheel in the folder, the results elsewhere."""
    folder = tmp_path_factory.mktemp("by-wheel")
    (folder / wheel.name).write_bytes(wheel.read_bytes())
    pip = {"packages": [f"{IN_JOBS_FOLDER}/{wheel.name}"], "pip_install_options": ["--no-deps"]}
    words = ["autotuner", "run", "study.yaml", "--output", str(folder / "out")]
    return submit(head, folder, {"pip": pip}, words)


def test_a_study_runs_from_a_wheel_on_a_cluster_without_autotuner(by_wheel: Submitted) -> None:
    assert by_wheel.status == 0, by_wheel.log
    rows = pd.read_parquet(by_wheel.folder / "out" / "experiments")
    assert list(rows["outcome"]) == ["completed"] * 2


def test_the_jobs_log_is_read_line_by_line(by_wheel: Submitted) -> None:
    _, _, log = by_wheel.log.partition("Running entrypoint for job")
    progress = [line for line in log.splitlines() if "[1/2]" in line]
    assert [line.split("] ")[1].split()[0] for line in progress] == [
        "started",
        "chat",
        "completed;",
    ]
    study = log.partition("results: ")[0]
    assert "\x1b" not in study
    assert "\r" not in study


def test_folders_of_the_job_are_not_on_the_servers_path(by_wheel: Submitted) -> None:
    """A folder `cluster` or `tests` beside the study would shadow an engine's module."""
    environment = (by_wheel.folder / "server.env").read_text().splitlines()
    assert any(line.startswith("CASE=") for line in environment)  # it is the server's
    assert not [line for line in environment if line.startswith(("PYTHONPATH=", "RAY_"))]
    named = [line for line in environment if "working_dir_files" in line]
    assert named == []
    cwd = (by_wheel.folder / "server.cwd").read_text()
    assert "runtime_resources" not in cwd


def test_results_in_rays_copy_of_the_folder_are_refused(
    head: Head, python: Path, tmp_path: Path
) -> None:
    """They would be removed with the copy, and a night with them."""
    package = {"py_modules": [str(REPOSITORY / "autotuner")]}
    job = submit(
        head, tmp_path, package, [str(python), "-m", "autotuner.cli.main", "run", "study.yaml"]
    )
    assert job.status != 0
    assert "results would be lost: /" in job.log
    assert "started" not in job.log
    assert not list(head.folder.glob("session_*/runtime_resources/working_dir_files/*/results"))


def test_modules_that_the_job_brings_do_not_collide_with_ours(
    head: Head, python: Path, tmp_path: Path
) -> None:
    package = {"py_modules": [str(REPOSITORY / "autotuner")]}
    words = [str(python), "-m", "autotuner.cli.main", "run", "study.yaml", "--output"]
    job = submit(head, tmp_path, package, [*words, str(tmp_path / "out")])
    assert job.status == 0, job.log
    rows = pd.read_parquet(tmp_path / "out" / "experiments")
    assert list(rows["outcome"]) == ["completed"] * 2

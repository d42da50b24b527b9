"""`--address`: a cluster that was started by `ray start`, with the token that it asks for."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import pytest

from autotuner.engines.sim_devices import SIM_GPUS_VARIABLE, make_devices

pytestmark = pytest.mark.ray

STUDY = """
study: attached
engine: {name: sim, flags: {time-scale: 0.1}}
model: sim-model
parameters:
  max-num-seqs: [1, 8]
workloads:
  - {name: chat, scenario: "D(50,20)", concurrency: [4], stop: {seconds: 20, requests: 10}}
objective: maximize_throughput
baseline: false
finalist_servers: 1
order: plan
resources: {gpus: 0}
bench: closed-loop
output: out
"""


@dataclass
class Cluster:
    address: str
    environment: dict[str, str]
    gpus: Path
    """Of its two simulated devices."""


def free_port() -> int:
    # Ray's own workers take ports from 10002 to 19999.
    for port in range(20_100, 20_200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("no free port")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head node of its own home, temporary folder and token, with two simulated GPUs."""
    home = tmp_path_factory.mktemp("home")
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text(uuid.uuid4().hex)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    environment |= {"HOME": str(home), "RAY_DISABLE_IMPORT_WARNING": "1"}
    make_devices(home / "gpus", 2)
    environment[SIM_GPUS_VARIABLE] = str(home / "gpus")
    port = free_port()
    ray = Path(sys.executable).with_name("ray")
    # Not below pytest's folder: the path of a Unix socket has at most 107 characters.
    temporary = Path("/tmp") / f"ray-{uuid.uuid4().hex[:8]}"
    words = ["start", "--head", "--block", "--port", str(port), "--num-cpus", "2"]
    words += ["--num-gpus", "2"]
    words += ["--include-dashboard=false", "--temp-dir", str(temporary), "--disable-usage-stats"]
    with (home / "ray.log").open("w") as log:
        head = subprocess.Popen(
            [str(ray), *words],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while "Ray runtime started" not in (text := (home / "ray.log").read_text()):
            assert head.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.2)
        yield Cluster(f"127.0.0.1:{port}", environment, home / "gpus")
    finally:
        tree = psutil.Process(head.pid).children(recursive=True)
        head.send_signal(signal.SIGTERM)
        try:
            head.wait(30)
        except subprocess.TimeoutExpired:
            head.kill()
            head.wait()
        for process in psutil.wait_procs(tree, timeout=10)[1]:
            process.kill()


def run(
    study: Path, *words: str, environment: dict[str, str], text: str = STUDY
) -> subprocess.CompletedProcess[str]:
    study.write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "autotuner.cli.main", "run", str(study), *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_a_study_runs_on_a_cluster_that_asks_for_a_token(cluster: Cluster, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    driver = run(study, "--address", cluster.address, environment=cluster.environment)
    assert driver.returncode == 0, driver.stdout + driver.stderr
    assert "best (simulated): max-num-seqs=" in driver.stdout
    token = (Path(cluster.environment["HOME"]) / ".ray" / "auth_token").read_text()
    assert token not in driver.stdout + driver.stderr


@pytest.mark.parametrize(
    ("token", "told"), [(None, "asks for a token, and there is none in"), ("x" * 32, "refuses the")]
)
def test_a_token_that_is_missing_or_wrong_is_named_before_ray_tries(
    cluster: Cluster, tmp_path: Path, token: str | None, told: str
) -> None:
    (tmp_path / ".ray").mkdir()
    if token is not None:
        (tmp_path / ".ray" / "auth_token").write_text(token)
    environment = {**cluster.environment, "HOME": str(tmp_path)}
    words = ("--address", cluster.address)
    driver = run(tmp_path / "study.yaml", *words, environment=environment)
    assert driver.returncode == 1
    assert told in driver.stderr
    assert str(tmp_path / ".ray" / "auth_token") in driver.stderr
    assert "InvalidAuthToken" not in driver.stderr  # Ray's own retries


def test_without_an_address_the_cluster_of_the_environment_is_used(
    cluster: Cluster, tmp_path: Path
) -> None:
    """As a Ray job has it: a second Ray inside the first would count the same devices again."""
    nowhere = {**cluster.environment, "RAY_ADDRESS": "127.0.0.1:9"}
    driver = run(tmp_path / "study.yaml", environment=nowhere)
    assert driver.returncode == 1
    assert "no Ray at '127.0.0.1:9'" in driver.stderr
    here = {**cluster.environment, "RAY_ADDRESS": cluster.address}
    driver = run(tmp_path / "study.yaml", environment=here)
    assert driver.returncode == 0, driver.stdout + driver.stderr
    assert "Ray dashboard" not in driver.stdout  # this cluster has none; one started here would


ON_GPUS = STUDY.replace("resources: {gpus: 0}", "timeouts: {device_s: 1}").replace(
    "max-num-seqs: [1, 8]",
    "case: {type: tied, values: [{max-num-seqs: 1, fault-keep-device-memory: true},\n"
    "    {max-num-seqs: 2}, {max-num-seqs: 3}, {max-num-seqs: 4}]}",
)


@pytest.fixture
def clean_gpus(cluster: Cluster) -> Iterator[Path]:
    yield cluster.gpus
    for stuck in cluster.gpus.glob("*/stuck"):
        stuck.unlink()


def test_a_device_that_an_attempt_leaves_dirty_goes_to_nobody(
    cluster: Cluster, tmp_path: Path, clean_gpus: Path
) -> None:
    words = ("--address", cluster.address)
    driver = run(tmp_path / "s.yaml", *words, environment=cluster.environment, text=ON_GPUS)
    assert driver.returncode == 0, driver.stdout + driver.stderr
    rows = pd.read_parquet(tmp_path / "out" / "experiments").sort_values("param_max_num_seqs")
    assert list(rows["outcome"]) == ["completed"] * 4  # it was measured all the same
    first, *others = rows.to_dict("records")
    (dirty,) = first["gpu_ids"]
    assert f"after the end, device {dirty} (simulated) holds 16.0 GiB" in first["slot_fault"]
    # The one that ran beside it may have had the other device only.
    assert {device for row in others for device in row["gpu_ids"]} == {str(1 - int(dirty))}
    assert "kept from others" in driver.stdout


def test_a_device_that_somebody_else_holds_costs_no_attempt(
    cluster: Cluster, tmp_path: Path, clean_gpus: Path
) -> None:
    (clean_gpus / "0" / "stuck").write_text(str(2**35))
    text = ON_GPUS.replace(", fault-keep-device-memory: true", "") + "max_attempts: 1\n"
    words = ("--address", cluster.address)
    driver = run(tmp_path / "s.yaml", *words, environment=cluster.environment, text=text)
    assert driver.returncode == 0, driver.stdout + driver.stderr
    rows = pd.read_parquet(tmp_path / "out" / "experiments")
    failed = rows[rows["outcome"] == "failed"]
    assert list(failed["failure_kind"]) == ["dirty_gpu"]
    assert "device 0 (simulated) holds 32.0 GiB" in failed["failure_message"].iloc[0]
    completed = rows[rows["outcome"] == "completed"]
    assert completed["experiment_id"].nunique() == 4
    assert {device for ids in completed["gpu_ids"] for device in ids} == {"1"}


def test_the_cluster_still_runs_after_the_study_has_ended(cluster: Cluster) -> None:
    host, port = cluster.address.split(":")
    with socket.create_connection((host, int(port)), timeout=5):
        pass


def test_the_doctor_checks_every_node_of_the_cluster(cluster: Cluster) -> None:
    doctor = subprocess.run(
        [sys.executable, "-m", "autotuner.cli.main", "doctor", "--address", cluster.address],
        env=cluster.environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    # What it finds is up to the machine; that the node has answered is not.
    assert doctor.returncode in {0, 2}, doctor.stdout + doctor.stderr
    assert f"the Ray cluster at {cluster.address}: 1 node, and this driver" in doctor.stdout
    assert "process groups on, subreaper off" in doctor.stdout
    assert "in step with the driver's" in doctor.stdout

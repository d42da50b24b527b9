"""The units and the script for machines without a scheduler."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray
from bare_metal.units import FOLDER, environment_file, read_unit, start_words
from ray.scripts.scripts import start

from autotuner.bench.genai_bench import PINNED_VERSION
from autotuner.cli import run

RAY_UNITS = ("ray-head.service", "ray-worker.service")
UNITS = (*RAY_UNITS, "autotuner-study@.service")
SCRIPTS = ("install.sh",)


@pytest.fixture(params=RAY_UNITS)
def unit(request: pytest.FixtureRequest) -> dict[str, str]:
    return read_unit(FOLDER / request.param)


@pytest.fixture
def environment() -> dict[str, str]:
    written = environment_file((FOLDER / "ray.env").read_text())
    return {**written, "NODE_IP": "192.0.2.11", "HEAD_IP": "192.0.2.10"}


def options(name: str, environment: dict[str, str]) -> dict[str, Any]:
    program, command, *words = start_words(read_unit(FOLDER / name), environment)
    assert (program, command) == ("/opt/autotuner/bin/ray", "start")
    return dict(start.make_context("start", words).params)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong_with_a_unit(name: str, tmp_path: Path) -> None:
    for each in UNITS:
        text = (FOLDER / each).read_text()
        (tmp_path / each).write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text))
    path = tmp_path / name.replace("@.", "@night.")
    if path.name != name:
        path.symlink_to(tmp_path / name)
    program = shutil.which("systemd-analyze") or ""
    verified = subprocess.run(
        [program, "verify", "--man=no", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # It looks at the machine's own units too.
    told = [line for line in verified.stderr.splitlines() if re.search("ray-|autotuner", line)]
    assert told == []


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_would_find_a_mistake(tmp_path: Path) -> None:
    text = (FOLDER / RAY_UNITS[0]).read_text().replace("RestartSec", "RestartSecs")
    path = tmp_path / RAY_UNITS[0]
    path.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text))
    program = shutil.which("systemd-analyze") or ""
    verified = subprocess.run(
        [program, "verify", "--man=no", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "RestartSecs" in verified.stderr


def test_a_ray_that_ends_is_started_again_for_ever(unit: dict[str, str]) -> None:
    """A node that was cut off ends, and never rejoins by itself."""
    assert unit["Restart"] == "always"
    assert unit["StartLimitIntervalSec"] == "0"
    assert "--block" in unit["ExecStart"].split()  # else its end is not noticed
    assert unit["Type"] == "exec"


def test_servers_get_the_time_to_end_in_order(unit: dict[str, str]) -> None:
    assert unit["KillMode"] == "control-group"
    assert int(unit["TimeoutStopSec"]) >= 120


def test_a_server_that_takes_all_memory_does_not_end_the_node(unit: dict[str, str]) -> None:
    """By default systemd stops a whole unit when the kernel has killed one process of it."""
    assert unit["OOMPolicy"] == "continue"
    assert int(unit["OOMScoreAdjust"]) < 0


def test_limits_are_those_that_doctor_wants(unit: dict[str, str]) -> None:
    assert int(unit["LimitNOFILE"]) >= 65_535
    assert unit["LimitMEMLOCK"] == "infinity"
    assert unit["LimitCORE"] == "0"
    assert unit["TasksMax"] == "infinity"


def test_nodes_run_as_a_user_that_is_not_root_and_know_the_token(
    unit: dict[str, str], environment: dict[str, str]
) -> None:
    assert unit["User"] == "autotuner"
    assert unit["EnvironmentFile"] == "/etc/autotuner/ray.env"  # without "-": it has to be there
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_AUTH_TOKEN_PATH"] == "/etc/autotuner/token"  # noqa: S105
    assert "RAY_AUTH_TOKEN" not in environment


def test_workers_of_ray_do_not_distort_what_is_measured(environment: dict[str, str]) -> None:
    assert environment["RAY_worker_niceness"] == "0"
    assert environment["RAY_worker_oom_score_adjustment"] == "0"
    assert environment["RAY_process_group_cleanup_enabled"] == "1"


def test_ray_understands_what_starts_a_node(environment: dict[str, str]) -> None:
    head, worker = (options(name, environment) for name in RAY_UNITS)
    assert head["head"]
    assert (head["num_cpus"], head["num_gpus"]) == (0, 0)
    assert worker["num_gpus"] is None  # as many as there are
    assert worker["address"] == f"{environment['HEAD_IP']}:{head['port']}"
    assert (head["node_ip_address"], worker["node_ip_address"]) == ("192.0.2.11",) * 2
    assert head["dashboard_host"] == "127.0.0.1"


def test_a_head_with_gpus_may_take_part(environment: dict[str, str]) -> None:
    head = options(RAY_UNITS[0], {**environment, "HEAD_RESOURCES": ""})
    assert (head["num_cpus"], head["num_gpus"]) == (None, None)


def test_every_port_is_known_so_that_a_firewall_can_let_it_through(
    environment: dict[str, str],
) -> None:
    page = (FOLDER.parents[1] / "docs" / "cluster-bare-metal.md").read_text()
    for name in RAY_UNITS:
        chosen = options(name, environment)
        for port in (
            "node_manager_port",
            "object_manager_port",
            "runtime_env_agent_port",
            "dashboard_agent_grpc_port",
            "metrics_export_port",
        ):
            assert 6380 <= chosen[port] <= 6384
        assert (chosen["min_worker_port"], chosen["max_worker_port"]) == (10_002, 19_999)
    assert "6379-6384" in page
    assert "10002-19999" in page


def test_a_study_goes_on_after_a_crash_and_not_after_its_end() -> None:
    study = read_unit(FOLDER / "autotuner-study@.service")
    assert study["Restart"] == "on-failure"
    final = {str(run.EXIT_NO_SUCCESS), str(run.EXIT_INTERRUPTED)}
    assert set(study["RestartPreventExitStatus"].split()) == final
    assert study["KillMode"] == "mixed"  # SIGTERM to the driver, which ends the rest
    assert "/var/lib/autotuner/results/%i" in study["ExecStart"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_strict_and_fetch_nothing_to_run_it(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert "\nset -euo pipefail\n" in text
    assert not re.search(r"curl|wget", text)
    subprocess.run(["/bin/bash", "-n", str(FOLDER / name)], check=True)


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck here")
@pytest.mark.parametrize("name", SCRIPTS)
def test_shellcheck_finds_nothing(name: str) -> None:
    program = shutil.which("shellcheck") or ""
    checked = subprocess.run(
        [program, str(FOLDER / name)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_the_script_installs_the_versions_that_belong_together() -> None:
    text = (FOLDER / "install.sh").read_text()
    assert f"\nRAY_VERSION={ray.__version__}\n" in text
    assert f"\nGENAI_BENCH_VERSION={PINNED_VERSION}\n" in text
    assert "sys.version_info < (3, 11)" in text
    assert sys.version_info >= (3, 11)


def test_the_token_is_the_nodes_own_and_nobody_elses() -> None:
    text = (FOLDER / "install.sh").read_text()
    assert "umask 077 && od" in text
    assert "chmod 0600 /etc/autotuner/token" in text
    for path in FOLDER.iterdir():
        assert not re.search(r"[0-9a-f]{32}|RAY_AUTH_TOKEN=", path.read_text()), path.name

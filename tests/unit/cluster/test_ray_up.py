"""The files for `ray up`, by Ray's own rules and by ours."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import start

from autotuner.bench.genai_bench import PINNED_VERSION
from autotuner.version import __version__

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "cluster" / "ray-up"
FILES = sorted(path.name for path in FOLDER.glob("*.yaml"))
SET = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN_PATH": "$HOME/.ray/auth_token",
    "RAY_worker_niceness": "0",
    "RAY_worker_oom_score_adjustment": "0",
    "RAY_process_group_cleanup_enabled": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@pytest.fixture(params=FILES)
def written(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / request.param).read_text()))


@pytest.fixture
def prepared(written: dict[str, Any]) -> dict[str, Any]:
    return dict(prepare_config(written))


def started(config: dict[str, Any], side: str) -> str:
    """The command that starts Ray on the `head` or a `worker`."""
    (command,) = (
        command for command in config[f"{side}_start_ray_commands"] if "ray start" in command
    )
    return str(command)


def words_of(command: str) -> list[str]:
    return shlex.split(command.rpartition("/ray start ")[2])


def options_of(command: str) -> dict[str, Any]:
    """What Ray's own command line makes of it."""
    return dict(start.make_context("start", words_of(command)).params)


def test_there_are_files_to_test() -> None:
    assert FILES == ["aws.yaml", "onprem.yaml"]


def test_rays_own_validator_takes_the_file(prepared: dict[str, Any]) -> None:
    validate_config(prepared)


def test_a_mistake_would_be_found(written: dict[str, Any]) -> None:
    written["file_mount"] = {}
    with pytest.raises(Exception, match="file_mount"):
        validate_config(prepare_config(written))


@pytest.mark.parametrize("side", ["head", "worker"])
def test_every_node_is_told_of_the_token_and_measures_undistorted(
    prepared: dict[str, Any], side: str
) -> None:
    before = started(prepared, side).partition("/ray start")[0]
    exported = dict(re.findall(r"(RAY_\w+)=([^\s;]+)", before.partition("export ")[2]))
    assert exported == SET
    # In one shell with `ray start`, before it.
    assert before.index("export ") < before.rindex(";")


@pytest.mark.parametrize("side", ["head", "worker"])
def test_the_shell_and_ray_understand_what_starts_a_node(
    prepared: dict[str, Any], side: str
) -> None:
    for command in prepared[f"{side}_start_ray_commands"]:
        subprocess.run(["/bin/bash", "-n", "-c", command], check=True)
    assert options_of(started(prepared, side))["head"] is (side == "head")


def test_workers_join_where_the_head_listens(prepared: dict[str, Any]) -> None:
    head, worker = (options_of(started(prepared, side)) for side in ("head", "worker"))
    assert worker["address"] == f"$RAY_HEAD_IP:{head['port']}"
    for port in ("object_manager_port", "node_manager_port"):
        assert worker[port] == head[port] != 0


def test_nothing_is_measured_on_the_head(prepared: dict[str, Any]) -> None:
    options = options_of(started(prepared, "head"))
    assert (options["num_cpus"], options["num_gpus"]) == (0, 0)
    head = prepared["available_node_types"][prepared["head_node_type"]]
    # On premises all machines are of one type, and Ray overrides nothing there.
    assert head["resources"] in ({"CPU": 0, "GPU": 0}, {})


def test_the_dashboard_listens_to_its_own_machine_alone(prepared: dict[str, Any]) -> None:
    assert options_of(started(prepared, "head"))["dashboard_host"] == "127.0.0.1"


def test_the_token_travels_as_a_file_and_stands_in_none_of_ours(written: dict[str, Any]) -> None:
    assert written["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"  # noqa: S105
    assert written["setup_commands"][0] == "chmod 600 ~/.ray/auth_token"
    assert not re.search(r"RAY_AUTH_TOKEN=|[0-9a-f]{32}|BEGIN .*KEY", yaml.dump(written))


@pytest.mark.parametrize("kind", ["head", "worker"])
def test_every_node_gets_what_make_install_makes_in_environments_of_their_own(
    prepared: dict[str, Any], kind: str
) -> None:
    commands = "\n".join(prepared[f"{kind}_setup_commands"])
    installed = dict(
        re.findall(r"~/environments/([\w-]+)/bin/python -m pip install (.*)", commands)
    )
    assert f"genai-bench=={PINNED_VERSION}" in installed["genai-bench"]
    assert f"ray[default]=={ray.__version__}" in commands
    assert f"autotuner-{__version__}-py3-none-any.whl" in installed["autotuner"]
    for name in installed:
        assert f"python3 -m venv ~/environments/{name}" in commands
    for command in prepared[f"{kind}_setup_commands"]:
        subprocess.run(["/bin/bash", "-n", "-c", command], check=True)


def test_the_wheel_of_this_version_is_what_is_sent(written: dict[str, Any]) -> None:
    sent = {Path(path).name for path in written["file_mounts"].values()}
    assert f"autotuner-{__version__}-py3-none-any.whl" in sent


def test_gpu_nodes_come_when_they_are_needed_and_go_when_they_are_not() -> None:
    config = prepare_config(yaml.safe_load((FOLDER / "aws.yaml").read_text()))
    types = dict(config["available_node_types"])
    head = types.pop(config["head_node_type"])
    assert head["max_workers"] == 0
    assert types
    for each in types.values():
        assert each["min_workers"] == 0
        assert 0 < each["max_workers"] <= config["max_workers"]
        assert each["labels"]["ray.io/accelerator-type"]
    assert 5 <= config["idle_timeout_minutes"] <= 60
    assert config["provider"]["cache_stopped_nodes"] is False


def test_machines_on_premises_all_take_part() -> None:
    config = prepare_config(yaml.safe_load((FOLDER / "onprem.yaml").read_text()))
    (kind,) = config["available_node_types"].values()
    count = len(config["provider"]["worker_ips"])
    assert kind["min_workers"] == kind["max_workers"] == config["max_workers"] == count


def test_what_a_user_has_to_fit_works_for_nobody_as_it_is() -> None:
    """Addresses of documentation, and an image that is none: nothing starts at another's cost."""
    onprem = yaml.safe_load((FOLDER / "onprem.yaml").read_text())["provider"]
    assert all(ip.startswith("192.0.2.") for ip in [onprem["head_ip"], *onprem["worker_ips"]])
    aws = yaml.safe_load((FOLDER / "aws.yaml").read_text())
    images = {each["node_config"]["ImageId"] for each in aws["available_node_types"].values()}
    assert images == {"ami-00000000000000000"}

"""The docker command: what docker's own parser makes of it."""

from __future__ import annotations

import argparse
import csv
import io
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from autotuner.engines.registry import load_engine
from autotuner.export.deployment import Deployment, Options
from autotuner.export.docker import docker_script

Make = Callable[..., Deployment]
Run = Callable[..., tuple[list[str], dict[str, str]]]


def parsed(argv: list[str]) -> argparse.Namespace:
    """As docker reads its arguments: options end at the image, the rest is the container's."""
    assert argv[0] == "run"
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--detach", action="store_true")
    for name in ("name", "restart", "gpus", "shm-size", "publish", "entrypoint", "mount", "volume"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("image")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser.parse_args(argv[1:])


@pytest.fixture
def run(run_script: Run) -> Callable[[Deployment], argparse.Namespace]:
    return lambda made: parsed(
        run_script(docker_script(made), "docker", {"HF_TOKEN": "hf_real", "API_KEY": "k"})[0]
    )


Docker = Callable[[Deployment], argparse.Namespace]


def in_container(made: Deployment) -> list[str]:
    return load_engine(made.server.engine).command(
        made.server, host="0.0.0.0", port=made.options.port, served_name=made.served_name
    )


def test_the_images_own_entry_point_is_not_put_before_the_command(
    deployment: Make, run: Docker
) -> None:
    made = deployment()
    found = run(made)
    assert [found.entrypoint, *found.arguments] == in_container(made)
    assert found.entrypoint == "vllm"
    assert found.arguments[0] == "serve"


def test_a_program_of_the_nodes_is_not_looked_for_in_the_image(
    deployment: Make, run: Docker
) -> None:
    assert run(deployment(executable="/opt/venv/bin/vllm")).entrypoint == "vllm"
    assert run(deployment("sglang", executable="/opt/venv/bin/python")).entrypoint == "python3"


def test_the_container_gets_gpus_shared_memory_and_a_restart(deployment: Make, run: Docker) -> None:
    found = run(deployment(gpus=4))
    assert found.gpus == "4"
    assert found.shm_size == "16gb"
    assert found.restart == "unless-stopped"
    assert found.detach


def test_without_gpus_none_are_asked_for(deployment: Make, run: Docker) -> None:
    assert run(deployment(gpus=0, options=Options(image="cpu:1"))).gpus is None


def test_a_model_folder_is_mounted_read_only_where_it_was(deployment: Make, run: Docker) -> None:
    found = run(deployment(model="/models/qwen"))
    assert found.mount == "type=bind,src=/models/qwen,dst=/models/qwen,readonly"
    assert found.volume is None


def test_a_hub_model_gets_the_callers_cache(deployment: Make, run: Docker) -> None:
    assert run(deployment()).volume == "/home/me/.cache/huggingface:/root/.cache/huggingface"
    moved = deployment(environment={"HF_HOME": "/data/hf"})
    assert run(moved).volume.endswith(":/data/hf")


def test_it_is_published_on_loopback_only(deployment: Make, run: Docker) -> None:
    found = run(deployment(options=Options(port=9000)))
    assert found.publish == "127.0.0.1:9000:9000"
    assert found.arguments[found.arguments.index("--port") + 1] == "9000"


def test_docker_takes_a_secret_from_the_callers_environment(
    deployment: Make, run_script: Run, run: Docker
) -> None:
    made = deployment(environment={"HF_TOKEN": "***"})
    assert "HF_TOKEN" in run(made).env
    _, variables = run_script(docker_script(made), "docker", {"HF_TOKEN": "hf_real"})
    assert variables.get("HF_TOKEN") == "hf_real"


def test_every_value_arrives_unchanged(
    hostile: str, hostile_deployment: Callable[[str], Deployment], run: Docker
) -> None:
    made = hostile_deployment(hostile)
    found = run(made)
    assert [found.entrypoint, *found.arguments] == in_container(made)
    assert f"NOTE={hostile}" in found.env
    folder = f"/models/{hostile}"
    (mount,) = csv.reader(io.StringIO(found.mount, newline=""), strict=True)
    assert mount == ["type=bind", f"src={folder}", f"dst={folder}", "readonly"]


def test_paths_that_the_container_lacks_are_named(deployment: Make) -> None:
    text = docker_script(
        deployment(
            model="/models/a", flags={"chat-template": "/etc/t.jinja", "tokenizer": "/models/a/tok"}
        )
    )
    assert "# NOT MOUNTED, for you to add: chat-template /etc/t.jinja\n" in text


DOCKER = shutil.which("docker")


@pytest.mark.skipif(DOCKER is None, reason="no docker command on PATH")
class TestDockersOwnParser:
    """The real command parses everything before it looks for its daemon, which is not there."""

    def answer(self, argv: list[str], tmp_path: Path) -> str:
        assert DOCKER is not None
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "DOCKER_HOST": f"unix://{tmp_path}/nobody.sock",
        }
        done = subprocess.run(
            [DOCKER, *argv], env=environment, capture_output=True, text=True, check=False
        )
        return done.stderr.lower()

    def test_it_takes_the_command(
        self,
        hostile: str,
        hostile_deployment: Callable[[str], Deployment],
        run_script: Run,
        tmp_path: Path,
    ) -> None:
        made = hostile_deployment(hostile)
        argv, _ = run_script(docker_script(made), "docker", {"HF_TOKEN": "x"})
        answer = self.answer(argv, tmp_path)
        assert "unknown flag" not in answer
        assert "invalid" not in answer
        assert "nobody.sock" in answer or "cannot connect" in answer

    def test_it_would_refuse_another(self, tmp_path: Path) -> None:
        for wrong in (["--gpu", "1"], ["--mount", "type=bind,source"], ["--shm-size", "much"]):
            answer = self.answer(["run", *wrong, "image"], tmp_path)
            assert "cannot connect" not in answer
            assert "nobody.sock" not in answer

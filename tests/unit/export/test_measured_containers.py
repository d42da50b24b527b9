"""Servers that were measured in containers are deployed as they were measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml

from autotuner.export.deployment import Deployment, Options
from autotuner.export.formats import Format, written
from autotuner.spec.launching import (
    DockerSettings,
    LaunchSettings,
    Mount,
    OmeSettings,
    PodSettings,
)

Make = Callable[..., Deployment]
IMAGE = "registry.example:5000/vllm:measured"
POD = PodSettings(image=IMAGE)
LAUNCHES = [DockerSettings(image=IMAGE), POD, OmeSettings("llama", pod=POD)]
CONTAINERS = [Format.DOCKER, Format.COMPOSE, Format.KUBERNETES, Format.OME]


@pytest.mark.parametrize("format_", CONTAINERS)
@pytest.mark.parametrize("launch", LAUNCHES, ids=lambda launch: launch.kind)
def test_every_format_takes_the_image_that_was_measured(
    format_: Format, launch: LaunchSettings, deployment: Make
) -> None:
    assert IMAGE in written(deployment(launch=launch), format_)
    mine = written(deployment(launch=launch, options=Options(image="mine:1")), format_)
    assert "mine:1" in mine
    assert IMAGE not in mine


@pytest.mark.parametrize("format_", CONTAINERS)
@pytest.mark.parametrize("engine", ["sim", "custom"])
def test_an_engine_without_a_known_image_has_the_one_that_was_measured(
    format_: Format, engine: str, deployment: Make
) -> None:
    made = deployment(engine, launch=DockerSettings(image=IMAGE), versions=(), gpus=0)
    assert IMAGE in written(made, format_)


def test_a_program_of_the_image_stays_as_it_was_measured(deployment: Make) -> None:
    launch = DockerSettings(image=IMAGE)
    kept = deployment(executable="/opt/venv/bin/vllm", launch=launch)
    assert kept.command_in_container[0] == "/opt/venv/bin/vllm"
    assert deployment(launch=launch).command_in_container[0] == "vllm"
    assert deployment("sim", launch=launch).command_in_container[0] == "python3"


def test_mounts_of_the_nodes_are_named_as_missing(deployment: Make) -> None:
    mounts = (Mount("/opt/venv", "/venv"), Mount("/models/a", "/models/a"))
    launch = DockerSettings(image=IMAGE, mounts=mounts)
    (note,) = deployment(model="/models/a", launch=launch).container_notes
    assert note == "NOT MOUNTED, for you to add: /opt/venv at /venv"


@pytest.mark.parametrize(
    ("format_", "size"),
    [
        (Format.DOCKER, "--shm-size 8gb"),
        (Format.COMPOSE, 'shm_size: "8gb"'),
        (Format.KUBERNETES, 'sizeLimit: "8Gi"'),
        (Format.OME, 'sizeLimit: "8Gi"'),
    ],
)
@pytest.mark.parametrize(
    "launch",
    [
        DockerSettings(image=IMAGE, shm_gib=8.0),
        replace(POD, shm_gib=8.0),
        OmeSettings("llama", pod=replace(POD, shm_gib=8.0)),
    ],
    ids=lambda launch: launch.kind,
)
def test_shared_memory_is_as_large_as_it_was(
    format_: Format, size: str, launch: LaunchSettings, deployment: Make
) -> None:
    assert size in written(deployment(launch=launch), format_)


def test_the_cluster_is_asked_for_the_gpus_that_were_measured(deployment: Make) -> None:
    made = deployment(launch=replace(POD, gpu_resource="amd.com/gpu"), gpus=2)
    for format_ in (Format.KUBERNETES, Format.OME):
        text = written(made, format_)
        assert 'amd.com/gpu: "2"' in text
        assert "nvidia.com" not in text


def test_omes_base_model_is_the_one_that_was_measured(deployment: Make) -> None:
    launch = OmeSettings("llama", base_model_kind="BaseModel", pod=POD)
    text = written(deployment(launch=launch), Format.OME)
    service: dict[str, Any] = list(yaml.safe_load_all(text))[1]
    assert service["spec"]["model"] == {"name": "llama", "kind": "BaseModel"}
    assert "Needs the BaseModel 'llama'" in text


@pytest.mark.parametrize("launch", LAUNCHES, ids=lambda launch: launch.kind)
def test_a_script_says_that_the_engine_was_that_of_an_image(
    launch: LaunchSettings, deployment: Make
) -> None:
    assert f"# Measured in the image {IMAGE}: the engine must be" in written(
        deployment(launch=launch), Format.SHELL
    )
    assert "Measured in" not in written(deployment(), Format.SHELL)


def test_what_the_image_was_is_in_the_header_and_the_record(deployment: Make) -> None:
    made = deployment(launch=DockerSettings(image=IMAGE))
    rows = [{**row, "image": IMAGE, "image_id": "sha256:1"} for row in made.selection.rows]
    made = replace(made, selection=replace(made.selection, rows=rows))
    record = json.loads(written(made, Format.JSON))
    assert record["server"]["launcher"] == "docker"
    assert record["provenance"]["image"] == [IMAGE]
    assert record["provenance"]["image_id"] == ["sha256:1"]

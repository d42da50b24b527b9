"""Settings of launchers within experiments: what an id takes account of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autotuner.spec.experiment import Experiment, content_id
from autotuner.spec.launching import (
    DockerSettings,
    LaunchSettings,
    Mount,
    OmeSettings,
    PodSettings,
    decisive_settings,
)
from autotuner.spec.server import Footprint, Model, ServerConfig

DOCKER = DockerSettings(image="vllm:1")
POD = PodSettings(image="vllm:1")
OME = OmeSettings("llama", pod=POD)


def id_of(launch: LaunchSettings | None, quota: str | None = None) -> str:
    server = ServerConfig(
        "vllm",
        Model("/m", "/m"),
        {},
        launcher="process" if launch is None else launch.kind,
        launch=launch,
    )
    return Experiment.id_of(server, (), Footprint(1, quota=quota), {"name": "genai-bench"})


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        (DOCKER, {"pull": "always"}),
        (DOCKER, {"daemon": "unix:///other.sock"}),
        (POD, {"namespace": "other"}),
        (POD, {"kubeconfig": "/other"}),
        (POD, {"context": "other"}),
        (POD, {"quota": "other"}),
        (POD, {"unschedulable_s": 1.0}),
        (POD, {"image_pull_secrets": ("other",)}),
        (POD, {"labels": {"a": "b"}}),
        (POD, {"annotations": {"a": "b"}}),
    ],
)
def test_where_and_how_objects_are_kept_is_no_other_experiment(
    settings: Any, change: dict[str, Any]
) -> None:
    assert id_of(replace(settings, **change)) == id_of(settings)
    if isinstance(settings, PodSettings):
        assert id_of(replace(OME, pod=replace(settings, **change))) == id_of(OME)


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        (DOCKER, {"image": "vllm:2"}),
        (DOCKER, {"network": "bridge"}),
        (DOCKER, {"ipc": "host"}),
        (DOCKER, {"shm_gib": 8.0}),
        (DOCKER, {"memory_gib": 8.0}),
        (DOCKER, {"runtime": "nvidia"}),
        (DOCKER, {"user": "1000"}),
        (DOCKER, {"hub_cache": "/cache"}),
        (DOCKER, {"mounts": (Mount("/a", "/a"),)}),
        (DOCKER, {"ulimits": {"memlock": -1}}),
        (POD, {"image": "vllm:2"}),
        (POD, {"gpu_resource": "amd.com/gpu"}),
        (POD, {"requests": {"cpu": "8"}}),
        (POD, {"shm_gib": 8.0}),
        (POD, {"model_claim": "a"}),
        (POD, {"model_on_nodes": True}),
        (POD, {"secret": "a"}),
        (POD, {"runtime_class": "a"}),
        (POD, {"node_selector": {"a": "b"}}),
        (POD, {"tolerations": ({"key": "a"},)}),
        (POD, {"affinity": {"nodeAffinity": {}}}),
        (OME, {"base_model": "other"}),
        (OME, {"runtime": "rt"}),
        (OME, {"pod": replace(POD, image="vllm:2")}),
    ],
)
def test_what_a_server_gets_is_part_of_the_experiment(
    settings: Any, change: dict[str, Any]
) -> None:
    assert id_of(replace(settings, **change)) != id_of(settings)


def test_a_process_a_container_a_pod_and_a_service_are_different_experiments() -> None:
    assert len({id_of(launch) for launch in (None, DOCKER, POD, OME)}) == 4


def test_a_quota_is_where_gpus_are_counted_and_no_other_experiment() -> None:
    assert id_of(POD, "a") == id_of(POD, "b") == id_of(POD)


def test_what_an_id_is_made_from_are_plain_values() -> None:
    content = decisive_settings(replace(DOCKER, mounts=(Mount("/a", "/b"),)))
    assert content["mounts"] == ({"source": "/a", "target": "/b", "read_only": True},)
    assert content_id(content) == content_id({**content, "mounts": list(content["mounts"])})

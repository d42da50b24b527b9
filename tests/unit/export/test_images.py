"""Which image holds the engine as it was measured."""

from __future__ import annotations

import pytest

from autotuner.errors import UserError
from autotuner.export.images import image_of
from autotuner.spec.launching import (
    DockerSettings,
    LaunchSettings,
    OmeSettings,
    PodSettings,
)
from autotuner.spec.server import Footprint, Model, ServerConfig

ONE_GPU = Footprint(gpus_per_node=1)
MEASURED = "registry.example:5000/vllm:measured"


def server_of(engine: str, launch: LaunchSettings | None = None) -> ServerConfig:
    return ServerConfig(engine, Model("/m", "/m"), {}, launch=launch)


@pytest.mark.parametrize(
    ("engine", "version", "image"),
    [
        ("vllm", "0.10.1", "vllm/vllm-openai:v0.10.1"),
        ("vllm", "0.6.3.post1", "vllm/vllm-openai:v0.6.3.post1"),
        ("sglang", "0.5.2", "lmsysorg/sglang:v0.5.2"),
    ],
)
def test_the_image_has_the_measured_version(engine: str, version: str, image: str) -> None:
    assert image_of(server_of(engine), [version], ONE_GPU, None) == image


@pytest.mark.parametrize(
    "version", ["0.10.1+cu128", "0.10.1rc1", "0.1.dev1+g1234", "nightly", "0.10", ""]
)
def test_what_is_no_release_has_no_image(version: str) -> None:
    with pytest.raises(UserError, match="name the image with --image"):
        image_of(server_of("vllm"), [version], ONE_GPU, None)


def test_an_unknown_version_and_two_versions_need_a_name() -> None:
    with pytest.raises(UserError, match="is not known"):
        image_of(server_of("vllm"), [], ONE_GPU, None)
    with pytest.raises(UserError, match=r"several versions of vllm \(0.9.0, 0.10.0\)"):
        image_of(server_of("vllm"), ["0.9.0", "0.10.0"], ONE_GPU, None)


def test_an_image_for_gpus_is_not_taken_for_a_server_without() -> None:
    with pytest.raises(UserError, match="without a GPU"):
        image_of(server_of("vllm"), ["0.10.1"], Footprint(gpus_per_node=0), None)


@pytest.mark.parametrize("engine", ["custom", "sim", "their-engine"])
def test_an_engine_without_a_known_image_needs_a_name(engine: str) -> None:
    with pytest.raises(UserError, match=f"no image is known for the engine '{engine}'"):
        image_of(server_of(engine), ["1.0.0"], ONE_GPU, None)


@pytest.mark.parametrize(
    "image", ["mine", "registry.example:5000/team/vllm:v1", "vllm@sha256:" + "a" * 64]
)
def test_the_users_image_wins(image: str) -> None:
    assert image_of(server_of("vllm"), ["0.10.1"], ONE_GPU, image) == image


@pytest.mark.parametrize("image", ["", "-v", "a b", "a;b", "a\nb", "$(x)"])
def test_what_is_no_name_of_an_image_is_refused(image: str) -> None:
    with pytest.raises(UserError, match="no name of an image"):
        image_of(server_of("vllm"), ["0.10.1"], ONE_GPU, image)


@pytest.mark.parametrize(
    "launch",
    [
        DockerSettings(image=MEASURED),
        PodSettings(image=MEASURED),
        OmeSettings("llama", pod=PodSettings(image=MEASURED)),
    ],
)
@pytest.mark.parametrize("engine", ["vllm", "sim", "custom"])
def test_the_image_that_was_measured_wins_over_that_of_the_version(
    engine: str, launch: LaunchSettings
) -> None:
    server = server_of(engine, launch)
    without_gpu = Footprint(gpus_per_node=0)
    assert image_of(server, ["0.10.1"], ONE_GPU, None) == MEASURED
    assert image_of(server, [], without_gpu, None) == MEASURED
    assert image_of(server, ["0.10.1"], ONE_GPU, "mine") == "mine"


def test_a_runtime_of_the_cluster_leaves_the_image_to_the_version() -> None:
    server = server_of("vllm", OmeSettings("llama", runtime="rt"))
    assert image_of(server, ["0.10.1"], ONE_GPU, None) == "vllm/vllm-openai:v0.10.1"

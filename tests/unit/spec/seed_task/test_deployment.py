"""As what servers a task file starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from autotuner.errors import StudyFileError
from autotuner.spec.launching import DockerSettings, OmeSettings, PodSettings
from autotuner.spec.study import StudySpec

if TYPE_CHECKING:
    from .conftest import TaskWriter

OME: dict[str, Any] = {
    "deployment_mode": "ome",
    "model": {"id_or_path": "llama-1b", "namespace": "tuning"},
    "base_runtime": "sglang-llama",
}


def test_a_local_task_starts_processes_without_a_word(task: TaskWriter) -> None:
    spec = task.load(deployment_mode="local")
    assert (spec.launcher, spec.launch) == ("process", None)
    assert not [w for w in spec.warnings if w.startswith(("deployment_mode", "runtime_image"))]


def test_a_task_without_a_mode_starts_processes_and_names_the_other_way(task: TaskWriter) -> None:
    assert task.load(deployment_mode=None).launcher == "process"
    warning = task.warning("deployment_mode", deployment_mode=None)
    assert "servers start as processes on the nodes" in warning
    assert "the engine must be installed there" in warning
    assert "--launcher ome" in warning


def test_an_unknown_mode_is_refused(task: TaskWriter) -> None:
    assert "allowed: docker, ome, local" in task.problem(deployment_mode="slurm").fix


@pytest.mark.parametrize(
    ("engine", "image", "moves"),
    [("sglang", "lmsysorg/sglang:v0.5.2-cu126", False), ("vllm", "vllm/vllm-openai:latest", True)],
)
def test_a_docker_task_without_a_tag_has_the_first_autotuners_image(
    task: TaskWriter, engine: str, image: str, moves: bool
) -> None:
    changes = {"deployment_mode": "docker", "base_runtime": engine, "parameters": None}
    spec = task.load(**changes)
    assert (spec.launcher, spec.launch) == ("docker", DockerSettings(image=image))
    warning = task.warning("runtime_image_tag", **changes)
    assert f"not given: the image {image}" in warning
    assert ("another one every few weeks" in warning) == moves


def test_a_tag_names_the_image_of_a_docker_task(task: TaskWriter) -> None:
    spec = task.load(deployment_mode="docker", runtime_image_tag="v0.5.3")
    assert spec.launch == DockerSettings(image="lmsysorg/sglang:v0.5.3")
    assert not [w for w in spec.warnings if w.startswith(("runtime_image_tag", "deployment_mode"))]


@pytest.mark.parametrize("tag", ["a b", 5, "a:b", ""])
def test_what_is_no_tag_is_refused(task: TaskWriter, tag: object) -> None:
    problem = task.problem(deployment_mode="docker", runtime_image_tag=tag)
    assert problem.key == "runtime_image_tag"
    assert "no image's tag" in problem.fix


def test_a_tag_means_nothing_to_processes(task: TaskWriter) -> None:
    warning = task.warning("runtime_image_tag", runtime_image_tag="v0.5.3")
    assert "left out: the engine's version is the one installed on the nodes" in warning


def test_a_bare_model_of_a_docker_task_is_the_folder_it_was(task: TaskWriter) -> None:
    changes = {"deployment_mode": "docker", "model": {"id_or_path": "llama-1b"}}
    assert task.load(**changes).model.path == "/mnt/data/models/llama-1b"
    assert "/mnt/data/models/llama-1b" in task.warning("model.id_or_path", **changes)
    other = {"deployment_mode": "docker", "model": {"id_or_path": "org/model"}}
    assert task.load(**other).model.path == "org/model"


def test_an_ome_task_uses_its_base_model_runtime_and_namespace(task: TaskWriter) -> None:
    spec = task.load(**OME)
    assert (spec.launcher, spec.engine.name) == ("ome", "sglang")
    assert spec.launch == OmeSettings(
        "llama-1b", runtime="sglang-llama", pod=PodSettings(namespace="tuning")
    )
    assert not [w for w in spec.warnings if w.startswith("model.")]
    assert "not from a BenchmarkJob" in task.warning("deployment_mode", **OME)
    tagged = {**OME, "runtime_image_tag": "v1"}
    assert "that of the runtime" in task.warning("runtime_image_tag", **tagged)


def test_an_ome_task_that_names_only_the_engine_gets_a_runtime_made(task: TaskWriter) -> None:
    spec = task.load(**{**OME, "base_runtime": "sglang", "runtime_image_tag": "v1"})
    pod = PodSettings(image="lmsysorg/sglang:v1", namespace="tuning")
    assert spec.launch == OmeSettings("llama-1b", pod=pod)


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"model": {"id_or_path": "org/model"}}, "model.id_or_path", "ClusterBaseModel"),
        ({"model": {"id_or_path": None, "name": "A"}}, "model.name", "ClusterBaseModel"),
        (
            {"model": {"id_or_path": "a", "namespace": "A_B"}},
            "model.namespace",
            "name of a namespace",
        ),
        ({"benchmark": {"model_tokenizer": None}}, "benchmark.model_tokenizer", "which tokenizer"),
        ({"base_runtime": "sglang_Llama"}, "base_runtime", "no serving runtime's name"),
    ],
)
def test_what_ome_cannot_know_is_refused(
    task: TaskWriter, changes: dict[str, Any], key: str, words: str
) -> None:
    problem = task.problem(**{**OME, **changes})
    assert problem.key == key
    assert words in problem.fix


def test_the_command_line_chooses_another_launcher(task: TaskWriter) -> None:
    path = task.write(**OME)
    assert StudySpec.from_file(path, "process").launch is None
    docker = StudySpec.from_file(path, "docker", "mine:1")
    assert docker.launch == DockerSettings(image="mine:1")
    assert docker.model.path == "/mnt/data/models/llama-1b"
    pod = StudySpec.from_file(path, "kubernetes", "mine:1").launch
    assert pod == PodSettings(image="mine:1", namespace="tuning")


@pytest.mark.parametrize(
    ("launcher", "image", "key", "words"),
    [
        (None, "mine", "--image", "--launcher docker"),
        ("docker", "a b", "--image", "no image's name"),
        ("dockr", None, "--launcher", "did you mean `docker`?"),
    ],
)
def test_a_mistake_on_the_command_line_is_explained(
    task: TaskWriter, launcher: str | None, image: str | None, key: str, words: str
) -> None:
    with pytest.raises(StudyFileError) as caught:
        StudySpec.from_file(task.write(), launcher, image)
    (problem,) = caught.value.problems
    assert problem.key == key
    assert words in problem.fix

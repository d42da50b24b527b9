"""Which engine and model a task file means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import TaskWriter


@pytest.mark.parametrize("name", ["vllm", "sglang", "SGLang"])
def test_an_engines_name_is_taken_without_a_word(task: TaskWriter, name: str) -> None:
    spec = task.load(base_runtime=name, parameters=None)
    assert spec.engine.name == name.lower()
    assert not [w for w in spec.warnings if w.startswith("base_runtime")]


@pytest.mark.parametrize(
    ("runtime", "parameters", "engine", "why"),
    [
        ("sglang-llama-small", {}, "sglang", "its name begins so"),
        ("vllm-0.9", {}, "vllm", "its name begins so"),
        ("llama-vllm-rt", {}, "vllm", "its name says so"),
        ("llama-rt", {"schedule_policy": ["lpm"]}, "sglang", "such as schedule-policy"),
        ("llama-rt", {"max-num-seqs": [8]}, "vllm", "such as max-num-seqs"),
    ],
)
def test_a_serving_runtimes_name_is_read_with_a_warning(
    task: TaskWriter, runtime: str, parameters: dict[str, Any], engine: str, why: str
) -> None:
    changes = {"base_runtime": runtime, "parameters": parameters}
    assert task.load(**changes).engine.name == engine
    warning = task.warning("base_runtime", **changes)
    assert f"{runtime} is read as the engine {engine}" in warning
    assert why in warning


@pytest.mark.parametrize(
    ("runtime", "parameters"),
    [
        ("llama-rt", {"tp_size": [1]}),
        ("llama-rt", {"max-num-seqs": [8], "mem_frac": [0.8]}),
        ("tensorrt-llm", {"mem_frac": [0.8]}),
        (5, {}),
    ],
)
def test_a_runtime_that_tells_no_engine_is_refused(
    task: TaskWriter, runtime: object, parameters: dict[str, Any]
) -> None:
    problem = task.problem(base_runtime=runtime, parameters=parameters)
    assert problem.key == "base_runtime"
    assert "sglang" in problem.fix


def test_the_model_may_have_either_name_or_both_alike(task: TaskWriter) -> None:
    alike = {"name": "org/model", "id_or_path": "org/model"}
    for model in ({"name": "org/model", "id_or_path": None}, alike):
        assert task.load(model=model).model.path == "org/model"


def test_two_different_models_are_refused(task: TaskWriter) -> None:
    problem = task.problem(model={"name": "org/other"})
    assert problem.key == "model.name"
    assert "another model than id_or_path: org/model" in problem.fix


def test_a_missing_model_is_asked_for(task: TaskWriter) -> None:
    assert task.problem(model={"id_or_path": None}).key == "model.id_or_path"


def test_a_bare_name_was_a_folder_of_the_first_autotuner(task: TaskWriter) -> None:
    warning = task.warning("model.id_or_path", model={"id_or_path": "llama-1b"})
    assert "write the folder in full, or a hub id" in warning


def test_a_path_starts_at_the_file(task: TaskWriter) -> None:
    spec = task.load(model={"id_or_path": "./models/tiny"})
    assert spec.model.path == str(task.folder / "models" / "tiny")

"""How a task file brings servers up: ``deployment_mode``, and all about images and clusters."""

from __future__ import annotations

from collections.abc import Mapping

from autotuner.spec.cluster_names import name_fault, namespace_fault
from autotuner.spec.images import image_fault
from autotuner.spec.launching import DockerSettings, LaunchSettings, OmeSettings, PodSettings
from autotuner.spec.names import LAUNCHERS
from autotuner.spec.seed_task.notes import NOT_APPLICABLE, Notes
from autotuner.spec.seed_task.runtime import ENGINES
from autotuner.spec.server import Model
from autotuner.spec.study_launch_choice import check_image_option
from autotuner.spec.study_launching import Overrides
from autotuner.spec.study_problems import unknown_name

__all__ = ["read_launch", "read_launcher"]

_MODES = {"docker": "docker", "ome": "ome", "local": "process"}
_IMAGES = {"sglang": "lmsysorg/sglang:v0.5.2-cu126", "vllm": "vllm/vllm-openai:latest"}
"""What the first autotuner started where no tag was given."""
_LEFT_OUT = {
    "gpu_type": "experiments take any GPU of the cluster",
    "clusterbasemodel_config": "base models are not made from presets",
    "clusterservingruntime_config": "serving runtimes are not made from presets",
    "storage": "the model is read where `model` says, or where OME's base model does",
}


def read_launcher(task: Mapping[str, object], overrides: Overrides, notes: Notes) -> str:
    """The launcher that the mode, or the command line, means."""
    for key, why in _LEFT_OUT.items():
        if key in task:
            notes.warn((key,), f"{NOT_APPLICABLE}: {why}")
    mode = task.get("deployment_mode")
    if mode is not None and mode not in _MODES:
        notes.problems.add(("deployment_mode",), unknown_name(str(mode), _MODES, "mode"))
        return LAUNCHERS[0]
    if overrides.launcher is not None:
        if overrides.launcher not in LAUNCHERS:
            fix = unknown_name(overrides.launcher, LAUNCHERS, "launcher")
            notes.problems.add(("--launcher",), fix)
            return LAUNCHERS[0]
        return overrides.launcher
    if mode is None:
        notes.warn(
            ("deployment_mode",),
            "not given: servers start as processes on the nodes, so the engine must be installed "
            "there; the first autotuner took ome, which is --launcher ome here",
        )
    elif mode == "ome":
        notes.warn(
            ("deployment_mode",),
            "ome: the base model must exist in the cluster, and the load comes from genai-bench on "
            "the nodes, not from a BenchmarkJob",
        )
    return _MODES[str(mode or "local")]


def read_launch(
    task: Mapping[str, object],
    launcher: str,
    engine: str | None,
    model: Model | None,
    overrides: Overrides,
    notes: Notes,
) -> LaunchSettings | None:
    """Settings of the launcher; None where it needs none, or the task has problems."""
    check_image_option(overrides.image, launcher, notes.problems)
    runtime = _serving_runtime(task) if launcher == "ome" else None
    if "runtime_image_tag" in task and (launcher == "process" or runtime is not None):
        whose = "the one installed on the nodes" if runtime is None else "that of the runtime"
        notes.warn(("runtime_image_tag",), f"{NOT_APPLICABLE}: the engine's version is {whose}")
    if launcher == "process" or engine is None or model is None:
        return None
    image = overrides.image
    if image is None and runtime is None:
        image = _image(task, engine, notes)
    if launcher == "docker":
        return DockerSettings(image=image)
    pod = PodSettings(image=image, namespace=_namespace(task, notes))
    return pod if launcher == "kubernetes" else _ome(task, model, runtime, pod, notes)


def _ome(
    task: Mapping[str, object], model: Model, runtime: str | None, pod: PodSettings, notes: Notes
) -> OmeSettings:
    if name_fault(model.path) is not None:
        fix = (
            "OME knows models by the names of its objects: write that of a ClusterBaseModel, such "
            "as llama-3-2-1b-instruct, or take the launcher docker"
        )
        notes.problems.add(("model", _model_key(task)), fix)
    benchmark = task.get("benchmark")
    if not isinstance(benchmark, dict) or benchmark.get("model_tokenizer") is None:
        fix = (
            "the base model's folder is not on the nodes: say which tokenizer counts tokens, such "
            "as `model_tokenizer: meta-llama/Llama-3.2-1B-Instruct`"
        )
        notes.problems.add(("benchmark", "model_tokenizer"), fix, show=False)
    if runtime is not None and name_fault(runtime) is not None:
        fix = "this is no serving runtime's name, nor an engine's; write sglang or vllm"
        notes.problems.add(("base_runtime",), fix)
    return OmeSettings(model.path, runtime=runtime, pod=pod)


def _image(task: Mapping[str, object], engine: str, notes: Notes) -> str:
    tag = task.get("runtime_image_tag")
    if tag is None:
        image = _IMAGES[engine]
        moves = ", which is another one every few weeks" if image.endswith(":latest") else ""
        notes.warn(
            ("runtime_image_tag",),
            f"not given: the image {image}, as in the first autotuner{moves}; --image names "
            "another",
        )
        return image
    image = f"{_IMAGES[engine].partition(':')[0]}:{tag}"
    if not isinstance(tag, str) or image_fault(image) is not None:
        fix = "this is no image's tag; write it as text, such as v0.11.0"
        notes.problems.add(("runtime_image_tag",), fix)
    return image


def _namespace(task: Mapping[str, object], notes: Notes) -> str | None:
    model = task.get("model")
    namespace = model.get("namespace") if isinstance(model, dict) else None
    if namespace is None:
        return None
    if not isinstance(namespace, str) or namespace_fault(namespace) is not None:
        fix = "write the name of a namespace: lower-case letters, digits and -"
        notes.problems.add(("model", "namespace"), fix)
    return str(namespace)


def _serving_runtime(task: Mapping[str, object]) -> str | None:
    """The runtime that the task names; None where it names the engine alone."""
    runtime = task.get("base_runtime")
    is_runtime = isinstance(runtime, str) and runtime.lower() not in ENGINES
    return str(runtime) if is_runtime else None


def _model_key(task: Mapping[str, object]) -> str:
    model = task.get("model")
    return "id_or_path" if isinstance(model, dict) and model.get("id_or_path") else "name"

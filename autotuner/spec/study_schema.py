"""The sections of a study file, as written: which keys exist and what each takes.

Rules that look at more than one section are in `study_file` and its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from autotuner.spec.cluster_names import name_fault
from autotuner.spec.images import image_fault, is_release
from autotuner.spec.study_problems import flow_text
from autotuner.spec.study_values import cpu_numbers, flag_value_fault

__all__ = [
    "BenchSection",
    "BenchmarkJobSection",
    "CpuSection",
    "EngineSection",
    "Image",
    "ModelSection",
    "ResourcesSection",
    "Section",
    "Text",
    "TimeoutsSection",
    "checked",
    "example",
    "fault",
]


def fault(fix: str) -> PydanticCustomError:
    """An error whose text reaches the user as it is."""
    # Braces would be read as placeholders of a template, so the text is passed as a value.
    return PydanticCustomError("study", "{fix}", {"fix": fix})


def checked(fault_of: Callable[[str], str | None]) -> AfterValidator:
    """A validator of text by what is wrong with it in words for the user."""

    def check(value: str) -> str:
        if (fix := fault_of(value)) is not None:
            raise fault(fix)
        return value

    return AfterValidator(check)


def _flag_value(value: object) -> object:
    if (fix := flag_value_fault(value)) is not None:
        raise fault(fix)
    return value


def _environment_value(value: object) -> object:
    if value is None:
        raise fault('an environment variable is text; write "" for an empty one, or leave it out')
    if isinstance(value, dict | list):
        raise fault("an environment variable is text; put the value in quotes")
    return _flag_value(value)


def _command(value: object) -> object:
    if isinstance(value, str):
        raise fault("write a list of words, as nothing is run through a shell: [word, word, ...]")
    return value


def _command_word(value: object) -> object:
    if isinstance(value, dict) and len(value) == 1 and list(value.values()) == [None]:
        raise fault(
            f'put a placeholder in quotes, or YAML reads a mapping: "{{{next(iter(value))}}}"'
        )
    return value


def _version_fault(version: str) -> str | None:
    if is_release(version):
        return None
    if is_release(version.removeprefix("v")):
        return f"write the release without v: {version.removeprefix('v')}"
    return "write a whole release, such as 0.11.0; any other image is named with `image`"


def _cpu_set(value: object) -> object:
    items: list[int | str] = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, bool) or not isinstance(item, int | str):
            raise fault('write CPU numbers: "0-3,8" or [0, 1, 2] or 5')
        items.append(item)
    try:
        return cpu_numbers(items)
    except ValueError as error:
        raise fault(str(error)) from None


def _cpus(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"reserve": value}
    if not isinstance(value, dict | None):
        raise fault('write a whole number of CPUs, such as 2, or {server: "0-3", load: "4-5"}')
    return value


def example(value: object, **limits: Any) -> Any:
    """A field with an example for its error messages, and pydantic's limits."""
    text = value if isinstance(value, str) else flow_text(value)
    return Field(examples=[text], **limits)


Text = Annotated[str, Field(min_length=1)]
Image = Annotated[Text, checked(image_fault)]
FlagValue = Annotated[Any, AfterValidator(_flag_value)]
EnvironmentValue = Annotated[Any, AfterValidator(_environment_value)]
CommandWord = Annotated[Text, BeforeValidator(_command_word)]
CpuSet = Annotated[tuple[int, ...], BeforeValidator(_cpu_set)]
Seconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """Base of all sections: no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    hints: ClassVar[Mapping[str, str]] = {}
    """A wrong key that people are likely to write -> what to write instead."""


class EngineSection(Section):
    name: Text = example("vllm")
    version: Annotated[Text, checked(_version_fault)] | None = example("0.11.0", default=None)
    image: Image | None = example("registry.example:5000/vllm:mine", default=None)
    executable: Text | None = example("vllm", default=None)
    flags: dict[str, FlagValue] | None = example("{dtype: bfloat16}", default=None)
    environment: dict[str, EnvironmentValue] | None = example('{NAME: "1"}', default=None)
    command: Annotated[list[CommandWord] | None, BeforeValidator(_command)] = example(
        '[python, serve.py, --port, "{port}"]', default=None
    )
    check_flags: bool = example("false", default=True)

    hints = {
        "env": "unknown key; did you mean `environment`?",
        "args": "unknown key; did you mean `flags`?",
        "tag": "unknown key; did you mean `version`?",
        "container": "unknown key; did you mean `image`?",
        "parameters": "unknown key here; `parameters` stands at the top level of the file",
    }


class ModelSection(Section):
    path: Text = example("../models/llama")
    tokenizer: Text | None = example("../models/llama", default=None)


class CpuSection(Section):
    reserve: int | None = example(2, default=None, ge=1)
    server: CpuSet = example('"0-3"', default=())
    load: CpuSet = example('"4-5"', default=())


def _exclusive(value: object) -> object:
    if value != "node":
        raise fault("write `exclusive: node`, or leave this key out where nodes may be shared")
    return value


class ResourcesSection(Section):
    gpus: int | None = example(1, default=None, ge=0)
    gpus_per_node: int | None = example(8, default=None, ge=1)
    gpu_type: Text | None = example("H100", default=None)
    exclusive: Annotated[str | None, BeforeValidator(_exclusive)] = example("node", default=None)
    cpus: Annotated[CpuSection | None, BeforeValidator(_cpus)] = example(2, default=None)

    hints = {
        "nodes": "unknown key; write `gpus_per_node`: what is wider then spans several nodes",
        **dict.fromkeys(
            ("gpu_model", "gpu", "accelerator", "accelerator_type"),
            "unknown key; did you mean `gpu_type`?",
        ),
        "max_gpus": "unknown key here; `max_gpus` stands at the top level of the file",
    }


class TimeoutsSection(Section):
    device_s: Seconds | None = example(60, default=None)
    start_s: Seconds | None = example(600, default=None)
    warmup_s: Seconds | None = example(300, default=None)
    level_grace_s: Seconds | None = example(120, default=None)
    no_token_s: Seconds | None = example(120, default=None)
    stop_s: Seconds | None = example(20, default=None)
    lease_s: Annotated[float, Field(ge=10)] | None = example(120, default=None)


def _gpu_type_fault(name: str) -> str | None:
    if name in _OME_GPU_TYPES:
        return None
    return f"OME knows only {', '.join(_OME_GPU_TYPES)}; leave this key out for any other"


_OME_GPU_TYPES = ("H100", "A100", "MI300", "A10")


class BenchmarkJobSection(Section):
    storage: Text = example("pvc://results/tuning")
    read_from: Text | None = example("/mnt/results/tuning", default=None)
    image: Image | None = example("registry.example/genai-bench:1", default=None)
    reader_image: Image | None = example("busybox:1.36", default=None)
    gpu_type: Annotated[Text, checked(_gpu_type_fault)] | None = example("H100", default=None)
    hub_secret: Annotated[Text, checked(name_fault)] | None = example("hub-token", default=None)

    hints = {
        "output": "unknown key; did you mean `storage`?",
        "output_location": "unknown key; did you mean `storage`?",
        "storage_uri": "unknown key; did you mean `storage`?",
        "secret": "unknown key; did you mean `hub_secret`?",
        "gpu": "unknown key; did you mean `gpu_type`?",
    }


class BenchSection(Section):
    name: Text = example("genai-bench")
    executable: Text | None = example("genai-bench", default=None)
    workers: int = example(4, default=0, ge=0)
    benchmark_job: BenchmarkJobSection | None = example(
        "{storage: 'pvc://results/tuning'}", default=None
    )

    hints = {
        "num_workers": "unknown key; did you mean `workers`?",
        "storage": "unknown key here; write `benchmark_job: {storage: ...}`",
    }

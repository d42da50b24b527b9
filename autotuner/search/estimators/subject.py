"""An experiment in the terms that estimators know: its flags as parallel sizes and formats."""

from __future__ import annotations

from collections.abc import Mapping

from autotuner.engines.base import normal_name, parallel_size
from autotuner.search.estimators.base import Load, Subject
from autotuner.spec.server import Footprint, ServerConfig, Value
from autotuner.spec.workload import Level, Workload

__all__ = ["load_of", "subject_of"]

_TENSOR = ("tensor-parallel-size", "tp-size", "tp")
_PIPELINE = ("pipeline-parallel-size", "pp-size", "pp")
_DATA = ("data-parallel-size", "dp-size", "dp")
_EXPERT = ("expert-parallel-size", "ep-size", "ep")

_FORMATS = {
    "fp8": "fp8",
    "fp8_e4m3": "fp8",
    "fp8_e5m2": "fp8",
    "fp8_per_token_head": "fp8",
    "fp8_per_tensor": "fp8",
    "fp8_per_block": "fp8",
    "w8a8_fp8": "fp8",
    "w8a8_int8": "int8",
    "int8": "int8",
    "modelopt_fp8": "fp8",
    "modelopt": "fp8",
    "fbgemm_fp8": "fp8",
    "ptpc_fp8": "fp8",
    "modelopt_fp4": "fp4",
    "nvfp4": "fp4",
    "fp4_e2m1": "fp4",
    "mxfp4": "fp4",
    "petit_nvfp4": "fp4",
    "bf16": "bf16",
    "bfloat16": "bf16",
    "fp16": "bf16",
    "float16": "bf16",
    "half": "bf16",
}
"""What values of flags say of a number format. Of those that read a model already quantized, such
as ``awq``, its config.json says more."""


def subject_of(
    server: ServerConfig,
    footprint: Footprint,
    *,
    gpu: str | None = None,
    engine_version: str | None = None,
) -> Subject:
    """The server as estimators see it.

    Args:
        gpu: Model of the GPUs; None: the one that the study asks for, if it does.

    Raises:
        PlanError: a parallel size is no positive whole number, or is given in two spellings.
    """
    flags = server.flags
    tensor, data = parallel_size(flags, *_TENSOR), parallel_size(flags, *_DATA)
    expert, group = 1, tensor
    if server.engine == "vllm":
        # The experts of a layer lie on all GPUs of all replicas, in whole or in parts.
        group = tensor * data
        expert = group if _is_set(flags, "enable-expert-parallel") else 1
    elif server.engine == "sglang":
        expert = parallel_size(flags, *_EXPERT)
        if _is_set(flags, "enable-dp-attention"):
            # The replicas of the attention share the tensor-parallel GPUs.
            tensor = max(1, tensor // data)
    return Subject(
        engine=server.engine,
        model=server.model.path,
        gpu=gpu or footprint.gpu_type,
        gpus=footprint.gpus,
        tensor_parallel=tensor,
        pipeline_parallel=parallel_size(flags, *_PIPELINE),
        data_parallel=data,
        expert_parallel=expert,
        expert_group=group,
        weights=_format(flags, "quantization", "q"),
        kv_cache=_format(flags, "kv-cache-dtype"),
        flags=dict(flags),
        engine_version=engine_version,
    )


def load_of(workload: Workload, level: Level) -> Load:
    """The level's load; of a dataset, whose requests are not known, 64 tokens in and out."""
    tokens_in, tokens_out = workload.typical_tokens
    return Load(max(1, tokens_in), max(1, tokens_out), level.concurrency)


def _is_set(flags: Mapping[str, Value], name: str) -> bool:
    return any(normal_name(given) == name and value is True for given, value in flags.items())


def _format(flags: Mapping[str, Value], *names: str) -> str | None:
    """The number format that a flag asks for; None where the model decides."""
    for given, value in flags.items():
        if normal_name(given) in names and isinstance(value, str):
            return _FORMATS.get(value.lower())
    return None

"""Quantisation of a task file as flags of the engine: ``quant_config``.

The first autotuner dropped what an engine cannot do, so that a search compared equal servers;
here it is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from autotuner.spec.seed_task.choices import Point, Setting, read_points
from autotuner.spec.seed_task.notes import Notes
from autotuner.spec.server import Value
from autotuner.spec.study_problems import did_you_mean

__all__ = ["read_quantization"]

KEY = "quant_config"
_FIELDS = ("gemm_dtype", "kvcache_dtype", "attention_dtype", "moe_dtype")
_AUTO = "auto"
_PRESETS: Mapping[str, Mapping[str, str]] = {
    name: dict(zip(_FIELDS, values, strict=True))
    for name, values in {
        "default": (_AUTO, _AUTO, _AUTO, _AUTO),
        "kv-cache-fp8": (_AUTO, "fp8_e5m2", _AUTO, _AUTO),
        "dynamic-fp8": ("fp8", "fp8_e5m2", "fp8", "fp8"),
        "bf16-stable": ("bfloat16", "fp8_e5m2", _AUTO, _AUTO),
        "aggressive-moe": ("bfloat16", "fp8_e5m2", "fp8", "w4afp8"),
    }.items()
}
_KNOWN = {
    "gemm_dtype": (_AUTO, "float16", "bfloat16", "float32", "fp8", "int8"),
    "kvcache_dtype": (
        *(_AUTO, "fp16", "bfloat16", "fp8", "fp8_e5m2", "fp8_e4m3"),
        *("int8", "int4"),
    ),
    "attention_dtype": (
        *(_AUTO, "float16", "bfloat16", "fp8", "fp8_e5m2", "fp8_e4m3"),
        "fp8_block",
    ),
    "moe_dtype": (_AUTO, "float16", "bfloat16", "fp8", "w4afp8", "mxfp4", "int8"),
}
_CACHE_TYPES = {
    "vllm": {"fp8": "fp8", "fp8_e5m2": "fp8_e5m2", "fp8_e4m3": "fp8_e4m3", "bfloat16": "bfloat16"},
    "sglang": {"fp8": "fp8_e5m2", "fp8_e5m2": "fp8_e5m2", "fp8_e4m3": "fp8_e4m3"},
}
_QUANTISED_MODEL = re.compile(r"awq|gptq|gguf|fp4|fp8|int4|int8", re.IGNORECASE)


def read_quantization(
    content: object, engine: str, model: str, notes: Notes
) -> list[dict[str, Value]]:
    """Flags of each combination under ``quant_config``; what is wrong goes to the problems.

    Args:
        model: name or path of the model; it often says that the weights are quantised already.
    """
    points = read_points(content, KEY, _FIELDS, _PRESETS, _fault, notes)
    return [_Resolver(engine, model, point, notes).flags() for point in points]


def _fault(field: str, value: object) -> str | None:
    known = _KNOWN[field]
    if isinstance(value, str) and value in known:
        return None
    near = did_you_mean(str(value), known)
    hint = f"did you mean {near}?" if near else f"known: {', '.join(known)}"
    return f"unknown type of numbers; {hint}"


class _Resolver:
    """One combination of the four fields, turned into flags of one engine."""

    def __init__(self, engine: str, model: str, point: Point, notes: Notes) -> None:
        self._engine = engine
        self._model = model
        self._point = point
        self._notes = notes

    def flags(self) -> dict[str, Value]:
        return {**self._gemm(), **self._cache(), **self._attention(), **self._experts()}

    def _gemm(self) -> dict[str, Value]:
        setting = self._setting("gemm_dtype")
        if setting is None:
            return {}
        if setting.value == "int8":
            self._refuse(
                setting,
                "quantises no weights to int8 at start; serve a model whose weights are "
                "quantised, or choose fp8",
            )
            return {}
        if setting.value != "fp8":
            return {"dtype": setting.value}
        if _QUANTISED_MODEL.search(self._model):
            self._notes.warn(
                setting.loc,
                f"{setting} is left out: by its name, {self._model} is quantised already",
            )
            return {}
        return {"quantization": "fp8"}

    def _cache(self) -> dict[str, Value]:
        setting = self._setting("kvcache_dtype")
        if setting is None:
            return {}
        known = _CACHE_TYPES[self._engine]
        flag = known.get(str(setting.value))
        if flag is None:
            self._refuse(setting, f"has no such KV cache; it has {', '.join(known)}")
            return {}
        if flag != setting.value:
            self._notes.warn(setting.loc, f"{setting} is {flag}, as in the first autotuner")
        return {"kv-cache-dtype": flag}

    def _attention(self) -> dict[str, Value]:
        setting = self._setting("attention_dtype")
        if setting is None:
            return {}
        if self._engine == "sglang" and setting.value in ("fp8", "fp8_e5m2", "fp8_e4m3"):
            return {"attention-backend": "flashinfer"}
        if not self._follows(setting, "gemm_dtype"):
            self._refuse(setting, "takes the type of its attention from gemm_dtype; leave it out")
        return {}

    def _experts(self) -> dict[str, Value]:
        setting = self._setting("moe_dtype")
        if setting is None or self._follows(setting, "gemm_dtype"):
            return {}
        if self._engine != "sglang" or setting.value not in ("w4afp8", "mxfp4"):
            more = ", w4afp8 or mxfp4" if self._engine == "sglang" else ""
            self._refuse(setting, f"gives its experts the type of gemm_dtype{more}")
            return {}
        gemm = self._setting("gemm_dtype")
        if gemm is not None and gemm.value == "fp8":
            self._refuse(setting, f"has one quantization, and {gemm} sets it too; keep one")
        return {"quantization": setting.value, "moe-runner-backend": "flashinfer_mxfp4"}

    def _setting(self, field: str) -> Setting | None:
        setting = self._point.get(field)
        return None if setting is None or setting.value == _AUTO else setting

    def _follows(self, setting: Setting, field: str) -> bool:
        other = self._setting(field)
        return other is not None and other.value == setting.value

    def _refuse(self, setting: Setting, why: str) -> None:
        self._notes.problems.add(setting.loc, f"{setting}: {self._engine} {why}")

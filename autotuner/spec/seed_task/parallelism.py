"""Parallel sizes of a task file as flags of the engine: ``parallel_config``."""

from __future__ import annotations

from collections.abc import Mapping

from autotuner.spec.seed_task.choices import Point, read_points
from autotuner.spec.seed_task.notes import Notes
from autotuner.spec.server import Value

__all__ = ["read_parallelism"]

KEY = "parallel_config"
_EXPERTS = "enable_expert_parallel"
_FIELDS = ("tp", "pp", "dp", "cp", "dcp", _EXPERTS, "moe_dense_tp", "moe_tp", "moe_ep")
# Not of moe_dense_tp, whose default is tp.
_ONE_IS_DEFAULT = frozenset({"tp", "pp", "dp", "cp", "dcp", "moe_tp", "moe_ep"})
_FLAGS: Mapping[str, Mapping[str, str]] = {
    "vllm": {
        "tp": "tensor-parallel-size",
        "pp": "pipeline-parallel-size",
        "dp": "data-parallel-size",
        "dcp": "decode-context-parallel-size",
        _EXPERTS: "enable-expert-parallel",
    },
    "sglang": {
        "tp": "tp-size",
        "pp": "pp-size",
        "dp": "dp-size",
        "moe_dense_tp": "moe-dense-tp-size",
    },
}
_SHARED: Mapping[str, Mapping[str, bool | int]] = {
    "single-gpu": {"tp": 1, "pp": 1, "dp": 1},
    "high-throughput": {"tp": 1, "pp": 1, "dp": 8},
    "large-model-tp": {"tp": 8, "pp": 1, "dp": 1},
    "large-model-tp-pp": {"tp": 8, "pp": 2, "dp": 1},
    "balanced": {"tp": 2, "pp": 1, "dp": 4},
}
_PRESETS: Mapping[str, Mapping[str, Mapping[str, bool | int]]] = {
    "vllm": {
        **_SHARED,
        "moe-optimized": {"tp": 2, "pp": 1, "dp": 8, _EXPERTS: True},
        "long-context": {"tp": 4, "pp": 1, "dp": 1, "dcp": 4},
    },
    "sglang": {**_SHARED, "moe-optimized": {"tp": 2, "pp": 1, "dp": 8, "moe_dense_tp": 2}},
}


def read_parallelism(content: object, engine: str, notes: Notes) -> list[dict[str, Value]]:
    """Flags of each combination under ``parallel_config``; mistakes go to the problems."""
    points = read_points(content, KEY, _FIELDS, _PRESETS[engine], _fault, notes)
    return [_flags(point, engine, notes) for point in points]


def _fault(field: str, value: object) -> str | None:
    if field == _EXPERTS:
        return None if isinstance(value, bool) else "write true or false, without quotes"
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        return "a parallel size is a whole number of at least 1, without quotes"
    return None


def _flags(point: Point, engine: str, notes: Notes) -> dict[str, Value]:
    known = _FLAGS[engine]
    flags: dict[str, Value] = {}
    for field, setting in point.items():
        if setting.value is False or (setting.value == 1 and field in _ONE_IS_DEFAULT):
            continue
        if field in known:
            flags[known[field]] = setting.value
            continue
        able = ", ".join(known)
        fix = f"{setting}: {engine} cannot be told so; of these fields it takes {able}"
        notes.problems.add(setting.loc, fix)
    if engine == "sglang":
        _check_replicas(point, notes)
    return flags


def _check_replicas(point: Point, notes: Notes) -> None:
    sizes = {field: point[field].value if field in point else 1 for field in ("tp", "dp")}
    tensor, data = int(sizes["tp"]), int(sizes["dp"])
    if tensor % data:
        setting = point["dp"]
        whose = f" (preset {setting.preset})" if setting.preset else ""
        fix = (
            f"sglang: tp {tensor} is not divisible by dp {data}{whose}, which the first autotuner "
            f"refused too; for {data} replicas that share no GPU, write the sizes under "
            f"`parameters`: {{tp-size: [{tensor}], dp-size: [{data}]}}"
        )
        notes.problems.add(setting.loc, fix)

"""The search space of a task file: ``parameters``, ``quant_config`` and ``parallel_config``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from autotuner.spec.seed_task import parallelism, quantization
from autotuner.spec.seed_task.notes import Notes
from autotuner.spec.server import Value, is_number
from autotuner.spec.source_lines import Loc
from autotuner.spec.study import Axis
from autotuner.spec.study_parameters import canonical, read_parameters
from autotuner.spec.study_problems import flow_text, unknown_name
from autotuner.spec.study_ranges import Range, range_values

__all__ = ["combinations", "parallel_sizes", "read_axes"]

_CHOICES = ("choice", "categorical")
_RANGES = ("continuous", "integer")
_RANGE_KEYS = ("type", "low", "high", "log")

# Names of the first autotuner's own -> the engine's flag.
_RENAMED: Mapping[str, Mapping[str, str]] = {
    "sglang": {
        "tp_size": "tp-size",
        "mem_frac": "mem-fraction-static",
        "mem-frac": "mem-fraction-static",
        "max_total_tokens": "max-total-tokens",
        "schedule_policy": "schedule-policy",
    },
    "vllm": {
        **{f"tp{dash}size": "tensor-parallel-size" for dash in "-_"},
        **{f"pp{dash}size": "pipeline-parallel-size" for dash in "-_"},
        **{f"dp{dash}size": "data-parallel-size" for dash in "-_"},
        **{f"mem{dash}frac": "gpu-memory-utilization" for dash in "-_"},
    },
}
_ONLY_SGLANG = {
    "mem-fraction-static": "vllm calls its share of the GPU's memory gpu-memory-utilization",
    "max-total-tokens": "vllm sizes its KV cache by kv-cache-memory-bytes",
    "schedule-policy": "vllm has scheduling-policy, with other values: fcfs and priority",
}
# Spellings that the engines take for the same flag, by the first one.
_SAME: Mapping[str, str] = {
    spelling: spellings[0]
    for spellings in (
        ("tensor-parallel-size", "tp-size", "tp"),
        ("pipeline-parallel-size", "pp-size", "pp"),
        ("data-parallel-size", "dp-size", "dp"),
        ("decode-context-parallel-size", "dcp"),
        ("quantization", "q"),
    )
    for spelling in spellings
}
_SIZES = frozenset({"tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size"})


def read_axes(
    task: Mapping[str, object], engine: str, model: str, notes: Notes
) -> tuple[Axis, ...]:
    """The axes of all three sections. A flag under ``parameters`` wins over a derived one."""
    axes = _explicit(task.get("parameters"), engine, notes)
    explicit = {_flag(name): name for axis in axes for name in axis.parameters}
    if (content := task.get(quantization.KEY)) is not None:
        points = quantization.read_quantization(content, engine, model, notes)
        axes += _derived(quantization.KEY, points, explicit, notes)
    if (content := task.get(parallelism.KEY)) is not None:
        points = parallelism.read_parallelism(content, engine, notes)
        axes += _derived(parallelism.KEY, points, explicit, notes)
    return tuple(axes)


def combinations(axes: Sequence[Axis]) -> int:
    """How many points the grid has."""
    return math.prod(len(axis.points) for axis in axes)


def parallel_sizes(axes: Sequence[Axis]) -> dict[str, Value]:
    """The first point's parallel sizes: a large model does not start with fewer GPUs."""
    return {
        name: value
        for axis in axes
        for name, value in axis.points[0].items()
        if _flag(name) in _SIZES and value
    }


def _flag(name: str) -> str:
    """One spelling for all that an engine takes for the same flag."""
    return _SAME.get(canonical(name), canonical(name))


def _explicit(content: object, engine: str, notes: Notes) -> list[Axis]:
    if isinstance(content, dict):
        prepared = {name: _prepared(name, spec, notes) for name, spec in content.items()}
        content = {name: spec for name, spec in prepared.items() if spec is not None}
    space = read_parameters(content, notes.problems, {}, engine)
    axes: list[Axis] = []
    owners: dict[str, str] = {}
    for axis in space.axes:
        name, loc = axis.name, ("parameters", axis.name)
        if engine == "vllm" and (why := _ONLY_SGLANG.get(canonical(name))) is not None:
            notes.problems.add(loc, f"this is a flag of sglang; {why}", show=False)
        flag = _RENAMED[engine].get(name, name)
        if flag != name:
            notes.warn(loc, f"read as the flag {flag} of {engine}")
        owner = owners.setdefault(_flag(flag), name)
        if canonical(owner) != canonical(name):  # one name spelled in two ways is noted already
            fix = f"parameters.{owner} sets the same flag; remove one of them"
            notes.problems.add(loc, fix, show=False)
        values = [point[name] for point in axis.points if name in point]
        if None in values:
            notes.warn(loc, "null leaves the flag out; the first autotuner wrote the word None")
        axes.append(Axis(flag, tuple({flag: value} for value in values)))
    return axes


def _prepared(name: str, spec: object, notes: Notes) -> object:
    """A parameter as a study file writes it; None where it has problems, which are noted."""
    loc: Loc = ("parameters", name)
    if isinstance(spec, bool | int | float | str):
        return [spec]
    if not isinstance(spec, dict):
        return spec if spec is not None else [None]
    kind = spec.get("type", _CHOICES[0])
    if kind in _RANGES:
        return _range(spec, loc, notes)
    if kind not in _CHOICES:
        fix = unknown_name(str(kind), (*_CHOICES, *_RANGES), "type")
        notes.problems.add((*loc, "type"), fix)
        return None
    return {**spec, "type": "choice"}


def _range(spec: Mapping[str, object], loc: Loc, notes: Notes) -> object:
    """A range as a study file writes its values; None where it has problems, which are noted."""
    for key in spec:
        if key not in _RANGE_KEYS:
            notes.problems.add((*loc, key), unknown_name(str(key), _RANGE_KEYS))
    low, high = (_end(spec, key, loc, notes) for key in ("low", "high"))
    if low is None or high is None:
        return None
    if low >= high:
        notes.problems.add((*loc, "high"), f"this must be above `low`, which is {low:g}")
        return None
    log = spec.get("log") is True
    if log and low <= 0:
        fix = "a log scale has no zero and nothing below; write a number above 0"
        notes.problems.add((*loc, "low"), fix)
        return None
    values = range_values(Range(low, high, log=log))
    if spec["type"] == "continuous":
        values = tuple(map(float, values))
    notes.warn(
        loc,
        f"a range is tried at {len(values)} values, from {values[0]:g} to {values[-1]:g}: "
        f"{flow_text(values)}; write a list for others",
    )
    return list(values)


def _end(spec: Mapping[str, object], key: str, loc: Loc, notes: Notes) -> int | float | None:
    value = spec.get(key)
    whole = spec["type"] == "integer"
    if is_number(value) and not (whole and value != int(value)):
        return int(value) if whole else float(value)
    fix = f"write a{' whole' if whole else ''} number, without quotes: the range's {key} end"
    notes.problems.add((*loc, key), fix, show=key in spec)
    return None


def _derived(
    name: str, points: Sequence[Mapping[str, Value]], explicit: Mapping[str, str], notes: Notes
) -> list[Axis]:
    kept: list[Mapping[str, Value]] = []
    for point in points:
        for flag in point:
            if _flag(flag) in explicit:
                notes.warn((name,), f"sets {flag} too; the one under `parameters` counts")
        left = {flag: v for flag, v in point.items() if _flag(flag) not in explicit}
        if left not in kept:
            kept.append(left)
    if not any(kept):
        if points:
            notes.warn((name,), "sets no flag of the engine")
        return []
    if len(kept) < len(points):
        notes.warn((name,), f"its {len(points)} combinations give {len(kept)} different servers")
    return [Axis(name, tuple(kept))]

"""The presets of a study file, ``preset``, and what they add to what the file says itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from autotuner.spec.presets import (
    Layouts,
    Preset,
    PresetParameter,
    preset_names,
    preset_versions,
    read_preset,
)
from autotuner.spec.server import Value
from autotuner.spec.source_lines import Loc
from autotuner.spec.study import Axis, Condition, Exclusion, ParameterRef, Resources, UsedPreset
from autotuner.spec.study_parameters import SearchSpace, canonical
from autotuner.spec.study_problems import Problems, unknown_name

__all__ = ["Presets", "read_presets", "with_presets"]

_OWN = "set by the study"


@dataclass(frozen=True, slots=True)
class Presets:
    """The presets of a file, in its order, and what they may know of the servers."""

    presets: tuple[Preset, ...]
    newest: frozenset[str]
    """Names of those that were given without a version."""


def read_presets(content: object, problems: Problems, engine: str | None) -> Presets:
    """The file's ``preset``: one, or a list of them; what is wrong goes to ``problems``.

    Args:
        content: What the file holds under the key; None: no preset.
        engine: Name of the engine, None where it could not be read.
    """
    if content is None:
        return Presets((), frozenset())
    items = content if isinstance(content, list) else [content]
    found: list[Preset] = []
    newest: set[str] = set()
    for index, item in enumerate(items):
        loc: Loc = ("preset", index) if isinstance(content, list) else ("preset",)
        preset = _named(item, loc, problems, engine)
        if preset is None:
            continue
        if any(earlier.name == preset.name for earlier in found):
            problems.add(loc, "this preset stands here twice; keep one of them")
        found.append(preset)
        if "@" not in str(item):
            newest.add(preset.name)
    return Presets(tuple(found), frozenset(newest))


def _named(item: object, loc: Loc, problems: Problems, engine: str | None) -> Preset | None:
    if not isinstance(item, str):
        problems.add(loc, "write the name of a preset, such as vllm/throughput, or a list of them")
        return None
    name, at, number = item.partition("@")
    versions = preset_versions(name)
    if not versions:
        problems.add(loc, unknown_name(name, preset_names(), "preset"))
        return None
    preset = read_preset(name, versions[-1])
    if engine is not None and engine != preset.engine:
        own = [other for other in preset_names() if other.startswith(f"{engine}/")]
        fix = f"for engine {engine} there are: {', '.join(own)}" if own else "there is none"
        problems.add(loc, f"this preset is of engine {preset.engine}; {fix}")
        return None
    if not at:
        return preset
    if number not in map(str, versions):
        there = ", ".join(f"{name}@{version}" for version in versions)
        problems.add(loc, f"there is no such version of this preset; there are: {there}")
        return None
    return read_preset(name, int(number))


def with_presets(
    space: SearchSpace, given: Presets, resources: Resources, max_gpus: int | None
) -> tuple[SearchSpace, tuple[Exclusion, ...], tuple[UsedPreset, ...]]:
    """The space of the file with what its presets add, their rules, and what was taken of each.

    Whatever the file sets itself, as a parameter or for all experiments, wins over every preset; of
    several presets, the last one wins.
    """
    builder = _Builder(space, resources, max_gpus)
    for preset in reversed(given.presets):
        builder.take(preset)
    used = tuple(replace(one, newest=one.name in given.newest) for one in reversed(builder.used))
    axes = (*space.axes, *(axis for axes in reversed(builder.axes) for axis in axes))
    values = dict(space.values)
    tied = dict(space.tied)
    for axis in axes[len(space.axes) :]:
        for name in axis.parameters:
            values[name] = tuple(point[name] for point in axis.points if name in point)
        if axis.parameters != (axis.name,):
            tied[axis.name] = axis.parameters
    spelled = {canonical(name): name for name in values}
    rules = {
        tuple(rule.conditions): rule
        for preset in given.presets
        for rule in (_spelled(rule, spelled) for rule in preset.exclusions)
    }
    return SearchSpace(axes, values, tied), tuple(rules.values()), used


@dataclass(slots=True)
class _Builder:
    """Takes presets, the one that wins first."""

    space: SearchSpace
    resources: Resources
    max_gpus: int | None
    axes: list[tuple[Axis, ...]] = field(default_factory=list)
    used: list[UsedPreset] = field(default_factory=list)
    _setter: dict[str, str] = field(default_factory=dict)
    """Flag, whatever its spelling and without ``no-`` -> who has set it."""

    def __post_init__(self) -> None:
        self._setter = {_flag(name): _OWN for name in self.space.values}

    def take(self, preset: Preset) -> None:
        left_out: dict[str, str] = {}
        chosen: list[Axis] = []
        notes: list[str] = []
        for parameter in preset.parameters:
            values = self._values(parameter)
            if isinstance(values, str):
                left_out[parameter.name] = values
                continue
            chosen.append(Axis(parameter.name, tuple({parameter.name: v} for v in values)))
            notes += [parameter.note] if parameter.note else []
        layouts = self._layouts(preset.layouts)
        if isinstance(layouts, str):
            left_out[" x ".join(preset.layouts.sizes)] = layouts
        elif layouts:
            chosen.append(Axis(self._label(), layouts))
        for axis in chosen:
            self._setter |= {_flag(name): str(preset) for name in axis.parameters}
        self.axes.append(tuple(chosen))
        self.used.append(
            UsedPreset(
                preset.name, preset.version, preset.goal, tuple(chosen), left_out, tuple(notes)
            )
        )

    def _values(self, parameter: PresetParameter) -> tuple[Value, ...] | str:
        if (setter := self._setter.get(_flag(parameter.name))) is not None:
            return setter if setter == _OWN else f"set by {setter}"
        return parameter.cpu if self.resources.gpus == 0 else parameter.gpu

    def _layouts(self, layouts: Layouts) -> tuple[Mapping[str, int], ...] | str:
        """Those that may be tried; or why none is."""
        names = [
            name for size in layouts.sizes for name in (size, *layouts.also_called.get(size, ()))
        ]
        setters = {self._setter[_flag(name)] for name in names if _flag(name) in self._setter}
        if setters:
            return _OWN if _OWN in setters else f"set by {min(setters)}"
        fixed, bound = self.resources.gpus, self.resources.gpus_per_node
        if fixed == 0:
            return "there are no GPUs"
        if fixed is not None:
            fitting = [one for one in layouts.values if math.prod(one.values()) == fixed]
            return tuple(fitting) or f"none takes exactly {fixed} GPUs (resources.gpus)"
        if bound is None:
            return "say how many GPUs a node has: resources.gpus_per_node"
        most = bound if self.max_gpus is None else min(bound, self.max_gpus)
        return tuple(
            one
            for one in layouts.values
            if math.prod(one.values()) <= most and layouts.replicas not in one
        )

    def _label(self) -> str:
        taken = {axis.name for axis in self.space.axes} | set(self.space.values)
        label = "layout"
        while label in taken:
            label += "_"
        return label


def _flag(name: str) -> str:
    return canonical(name).removeprefix("no-")


def _spelled(rule: Exclusion, spelled: Mapping[str, str]) -> Exclusion:
    """The rule with the names of flags as the file spells them."""
    return replace(rule, conditions=tuple(_conditions(rule.conditions, spelled)))


def _conditions(conditions: Sequence[Condition], spelled: Mapping[str, str]) -> Iterator[Condition]:
    for condition in conditions:
        operand = condition.operand
        if isinstance(operand, ParameterRef):
            operand = ParameterRef(spelled.get(operand.name, operand.name))
        name = spelled.get(condition.parameter, condition.parameter)
        yield replace(condition, parameter=name, operand=operand)

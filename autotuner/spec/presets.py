"""Search spaces that come with autotuner: what experts turn first, per engine and goal.

Each version of each is a file of its own under ``preset_files/ENGINE/``, ``GOAL-VERSION.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from autotuner.spec.server import Value
from autotuner.spec.study import Condition, Exclusion, Operator, ParameterRef

__all__ = ["Layouts", "Preset", "PresetParameter", "preset_names", "preset_versions", "read_preset"]

_FOLDER = files("autotuner.spec") / "preset_files"
_FILE = re.compile(r"(?P<goal>[a-z-]+)-(?P<version>\d+)\.yaml")


@dataclass(frozen=True, slots=True)
class PresetParameter:
    """A parameter, and what a preset has to say of it."""

    name: str
    why: str
    gpu: tuple[Value, ...] | str
    """Values to try on GPUs, or why there are none."""
    cpu: tuple[Value, ...] | str
    """The same for a server without a GPU."""
    note: str = ""
    """What the user must know before the winner is used."""


@dataclass(frozen=True, slots=True)
class Layouts:
    """How a server's GPUs may be split: sizes whose product is their number."""

    why: str
    values: tuple[Mapping[str, int], ...]
    replicas: str | None = None
    """The size that repeats a server. It shows nothing per GPU that one server does not show, so it
    is tried only where the number of GPUs is fixed."""
    also_called: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Other names of the same sizes."""

    @property
    def sizes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for layout in self.values for name in layout))


@dataclass(frozen=True, slots=True)
class Preset:
    """One version of a space."""

    name: str
    """``ENGINE/GOAL``."""
    version: int
    goal: str
    parameters: tuple[PresetParameter, ...]
    layouts: Layouts
    exclusions: tuple[Exclusion, ...]

    @property
    def engine(self) -> str:
        return self.name.partition("/")[0]

    def __str__(self) -> str:
        """``ENGINE/GOAL@VERSION``, as a study file names it."""
        return f"{self.name}@{self.version}"


@cache
def _versions() -> Mapping[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    for engine in _FOLDER.iterdir():
        for file in engine.iterdir() if engine.is_dir() else ():
            if (match := _FILE.fullmatch(file.name)) is not None:
                found.setdefault(f"{engine.name}/{match['goal']}", []).append(int(match["version"]))
    return {name: tuple(sorted(found[name])) for name in sorted(found)}


def preset_names() -> tuple[str, ...]:
    """``ENGINE/GOAL`` of every preset."""
    return tuple(_versions())


def preset_versions(name: str) -> tuple[int, ...]:
    """The versions of a preset, the newest last; empty where there is no such preset."""
    return _versions().get(name, ())


@cache
def read_preset(name: str, version: int) -> Preset:
    """One that `preset_versions` names."""
    engine, _, goal = name.partition("/")
    text = (_FOLDER / engine / f"{goal}-{version}.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    return Preset(
        name,
        version,
        content["goal"],
        tuple(_parameter(key, said) for key, said in content["parameters"].items()),
        _layouts(content["layouts"]),
        tuple(_exclusion(rule) for rule in content["exclude"]),
    )


def _parameter(name: str, said: Mapping[str, Any]) -> PresetParameter:
    gpu, cpu = _values(said["gpu"]), _values(said["cpu"])
    return PresetParameter(name, said["why"], gpu, cpu, said.get("note", ""))


def _values(said: list[Value] | str) -> tuple[Value, ...] | str:
    return said if isinstance(said, str) else tuple(said)


def _layouts(said: Mapping[str, Any]) -> Layouts:
    values = tuple(said["values"])
    return Layouts(said["why"], values, said.get("replicas"), said.get("also_called", {}))


def _exclusion(rule: Mapping[str, Any]) -> Exclusion:
    conditions = (c for name, test in rule["when"].items() for c in _conditions(name, test))
    return Exclusion(tuple(conditions), rule["reason"])


def _conditions(name: str, test: Any) -> Iterator[Condition]:
    if not isinstance(test, dict):
        yield Condition(name, Operator.EQUALS, test)
        return
    for word, operand in test.items():
        other = ParameterRef(operand["parameter"]) if isinstance(operand, dict) else operand
        yield Condition(name, Operator(word), other)

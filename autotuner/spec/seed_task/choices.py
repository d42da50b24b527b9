"""The points of a section whose fields hold a value, a list of values, or a preset.

``quant_config`` and ``parallel_config`` are such sections: all combinations of their fields are
points of one axis, as one point sets several flags that belong together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from autotuner.spec.seed_task.notes import Notes
from autotuner.spec.source_lines import Loc
from autotuner.spec.study_problems import unknown_name

__all__ = ["Point", "Setting", "read_points"]

FieldValue = bool | int | str
_PRESET_KEYS = ("preset", "presets")


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of a field, and who gave it."""

    field: str
    value: FieldValue
    loc: Loc
    preset: str | None = None

    def __str__(self) -> str:
        """In words, e.g. ``gemm_dtype int8`` or ``moe_dtype fp8 (preset dynamic-fp8)``."""
        value = str(self.value).lower() if isinstance(self.value, bool) else self.value
        return f"{self.field} {value}" + (f" (preset {self.preset})" if self.preset else "")


Point = Mapping[str, Setting]
"""Field -> its setting; fields that nobody sets are absent."""


def read_points(
    content: object,
    key: str,
    fields: tuple[str, ...],
    presets: Mapping[str, Mapping[str, FieldValue]],
    fault: Callable[[str, object], str | None],
    notes: Notes,
) -> list[Point]:
    """All combinations of a section; what is wrong goes to the problems.

    Args:
        content: what the file holds under ``key``.
        fields: names of the section's fields.
        presets: name -> its fields. A field that the section sets itself wins over a preset's.
        fault: what is wrong with a value of a field, or None.
    """
    if not isinstance(content, dict):
        example = f"{key}: {{{fields[0]}: ...}} or {key}: {{preset: {next(iter(presets))}}}"
        notes.problems.add((key,), f"write a mapping: {example}")
        return []
    for name in content:
        if name not in (*fields, *_PRESET_KEYS):
            notes.problems.add((key, name), unknown_name(name, (*fields, *_PRESET_KEYS)))
    bases = _presets(content, key, presets, notes)
    own: list[list[Setting]] = []
    for field in fields:
        if content.get(field) is None:
            continue
        settings = [
            Setting(field, value, loc)  # type: ignore[arg-type]  # what `fault` lets through
            for value, loc in _values(content, key, field, notes)
            if _accepted(fault(field, value), loc, notes)
        ]
        own.append(settings)
    return [
        {**base, **{setting.field: setting for setting in chosen}}
        for base in bases
        for chosen in itertools.product(*own)
    ]


def _presets(
    content: Mapping[str, object],
    key: str,
    presets: Mapping[str, Mapping[str, FieldValue]],
    notes: Notes,
) -> list[dict[str, Setting]]:
    given = [name for name in _PRESET_KEYS if content.get(name) is not None]
    if len(given) > 1:
        notes.problems.add((key, "preset"), "remove this key, and name all presets in `presets`")
    if not given:
        return [{}]
    bases = []
    for name, loc in _values(content, key, given[-1], notes):
        if not isinstance(name, str) or name not in presets:
            notes.problems.add(loc, unknown_name(str(name), presets, "preset"))
            continue
        bases.append({f: Setting(f, v, loc, name) for f, v in presets[name].items()})
    return bases


def _values(
    content: Mapping[str, object], key: str, field: str, notes: Notes
) -> list[tuple[object, Loc]]:
    value = content[field]
    if not isinstance(value, list):
        return [(value, (key, field))]
    if not value:
        fix = "the list is empty; write at least one value, or remove the key"
        notes.problems.add((key, field), fix)
    return [(item, (key, field, index)) for index, item in enumerate(value)]


def _accepted(fix: str | None, loc: Loc, notes: Notes) -> bool:
    if fix is not None:
        notes.problems.add(loc, fix)
    return fix is None

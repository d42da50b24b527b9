"""The search space of a study file: ``parameters``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autotuner.spec.server import Value
from autotuner.spec.source_lines import Loc, Source, dotted
from autotuner.spec.study import ENVIRONMENT_PREFIX, Axis
from autotuner.spec.study_problems import Problems, flow_text, unknown_name
from autotuner.spec.study_ranges import is_range, read_range
from autotuner.spec.study_values import (
    flag_name_fault,
    flag_value_fault,
    parallel_size_fault,
    variable_name_fault,
)

__all__ = ["SearchSpace", "canonical", "literal", "read_parameters", "text_of"]

_NO_DICT = (
    "write a list of values, {min: ..., max: ...}, {type: choice, values: [...]} or {type: tied, "
    "values: [{...}, ...]}; if the engine wants JSON, write the JSON text in quotes"
)
_TYPES = ("choice", "tied", "range")
_TYPE_HINTS = {
    "range": "a range is written {min: 1, max: 1024}, with `step`, `count` or `scale: log`",
    **dict.fromkeys(
        ("continuous", "integer", "float", "int", "uniform"),
        "write {min: ..., max: ...}; whole ends give whole numbers",
    ),
    **dict.fromkeys(("loguniform", "log_uniform", "log"), "write {min: ..., max: ..., scale: log}"),
}


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """The axes, and every name that a condition may mention."""

    axes: tuple[Axis, ...]
    values: Mapping[str, tuple[Value, ...] | None]
    """Parameter (``env.NAME`` included) or fixed flag -> its values; None: not readable."""
    tied: Mapping[str, tuple[str, ...]]
    """Name of a tied axis -> the parameters it sets."""


def text_of(source: Source, loc: Loc, value: object) -> str:
    """The value of an environment variable, spelled as in the file: ``yes`` stays ``yes``."""
    return value if isinstance(value, str) else source.written.get(loc, str(value))


def literal(source: Source, loc: Loc, parameter: str, value: Value) -> Value:
    """A value of ``parameter``; a variable knows no booleans, so they stay text there."""
    if parameter.startswith(ENVIRONMENT_PREFIX) and isinstance(value, bool):
        return text_of(source, loc, value)
    return value


def read_parameters(
    content: object, problems: Problems, fixed: Mapping[str, Loc], engine: str | None
) -> SearchSpace:
    """The search space of the file's ``parameters``.

    Args:
        content: what the file holds under the key; None means no parameter.
        problems: takes what is wrong.
        fixed: flags and variables (``env.NAME``) that all experiments share -> where they stand.
        engine: name of the engine, None where it could not be read.
    """
    reader = _ParameterReader(problems, fixed, engine)
    if content is not None and not isinstance(content, dict):
        problems.add(("parameters",), "write a mapping, such as `max-num-seqs: [16, 64]`")
    elif content:
        for name, spec in content.items():
            reader.axis(name, spec)
    return SearchSpace(tuple(reader.axes), reader.values, reader.tied)


class _ParameterReader:
    def __init__(self, problems: Problems, fixed: Mapping[str, Loc], engine: str | None) -> None:
        self.axes: list[Axis] = []
        self.values: dict[str, tuple[Value, ...] | None] = {}
        self.tied: dict[str, tuple[str, ...]] = {}
        self._problems = problems
        self._engine = engine
        self._owners = {canonical(name): loc for name, loc in fixed.items()}

    def axis(self, name: str, spec: object) -> None:
        loc: Loc = ("parameters", name)
        kind, values, values_loc = "choice", spec, loc
        if isinstance(spec, dict) and is_range(spec):
            self._range(name, spec, loc)
            return
        if isinstance(spec, dict):
            unpacked = self._unpack(spec, loc)
            if unpacked is None:
                self._claim(name, loc)
                self.values[name] = None
                return
            kind, values = unpacked
            values_loc = (*loc, "values")
        if not isinstance(values, list) or not values:
            if kind == "choice":
                self._claim(name, loc)
            self.values[name] = None
            self._problems.add(values_loc, _not_a_list(values, kind))
        elif kind == "tied":
            self._tied(name, values, values_loc)
        else:
            self._choice(name, values, values_loc)

    def _unpack(self, spec: dict[str, object], loc: Loc) -> tuple[str, object] | None:
        if "type" not in spec and "values" not in spec:
            self._problems.add(loc, _NO_DICT)
            return None
        for key in spec:
            if key not in ("type", "values"):
                self._problems.add((*loc, key), unknown_name(key, ("type", "values")))
        kind = spec.get("type", "choice")
        if kind not in ("choice", "tied"):
            fix = _TYPE_HINTS.get(str(kind)) or unknown_name(str(kind), _TYPES, "type")
            self._problems.add((*loc, "type"), fix)
            return None
        if "values" not in spec:
            self._problems.add(loc, "the key `values` is missing; add a list: `values: [...]`")
            return None
        return str(kind), spec["values"]

    def _choice(self, name: str, values: list[object], loc: Loc) -> None:
        self._claim(name, loc[:2])
        seen: dict[str, int] = {}
        points: list[dict[str, Value]] = []
        for index, value in enumerate(values):
            point = self._point(name, value, (*loc, index))
            if point is not None:
                self._once(seen, point, (*loc, index))
                points.append(point)
        self.values[name] = tuple(point[name] for point in points)
        self.axes.append(Axis(name, tuple(points)))

    def _range(self, name: str, spec: Mapping[str, object], loc: Loc) -> None:
        self._claim(name, loc)
        values = read_range(spec, self._problems, loc)
        self.values[name] = values
        for value in values or ():
            fix = parallel_size_fault(name, value, self._engine)
            if fix is not None:
                self._problems.add(loc, f"{value} is among the values; {fix}")
                return
        if values is not None:
            self.axes.append(Axis(name, tuple({name: value} for value in values)))

    def _tied(self, name: str, values: list[object], loc: Loc) -> None:
        seen: dict[str, int] = {}
        found: dict[str, list[Value]] = {}
        points: list[dict[str, Value]] = []
        for index, value in enumerate(values):
            place: Loc = (*loc, index)
            if not isinstance(value, dict) or not value:
                fix = "write a mapping of parameters that change together: {name: value, ...}"
                self._problems.add(place, fix)
                continue
            point: dict[str, Value] = {}
            for parameter, inner in value.items():
                if parameter not in found:
                    found[parameter] = []
                    self._claim(parameter, (*place, parameter))
                point |= self._point(parameter, inner, (*place, parameter)) or {}
                found[parameter] += [point[parameter]] if parameter in point else []
            self._once(seen, point, place)
            points.append(point)
        self.values.update({parameter: tuple(values) for parameter, values in found.items()})
        self.tied[name] = tuple(found)
        self.axes.append(Axis(name, tuple(points)))

    def _point(self, name: str, value: object, loc: Loc) -> dict[str, Value] | None:
        fix = flag_value_fault(value) or parallel_size_fault(name, value, self._engine)
        if fix is not None:
            self._problems.add(loc, fix)
        elif value is None or isinstance(value, bool | int | float | str):
            return {name: literal(self._problems.source, loc, name, value)}
        return None

    def _once(self, seen: dict[str, int], point: dict[str, Value], loc: Loc) -> None:
        # Two spellings of one command line would be two experiments that measure the same.
        effect = flow_text(sorted((name, _effect(name, value)) for name, value in point.items()))
        index = int(loc[-1])
        first = seen.setdefault(effect, index)
        if first != index:
            fix = f"this starts the same server as item {first + 1} of the list; remove one of them"
            self._problems.add(loc, fix)

    def _claim(self, name: str, loc: Loc) -> None:
        if name.startswith(ENVIRONMENT_PREFIX):
            fix = variable_name_fault(name.removeprefix(ENVIRONMENT_PREFIX))
        else:
            fix = flag_name_fault(name, self._engine)
        if fix is not None:
            self._problems.add(loc, fix, show=False)
        owner = self._owners.setdefault(canonical(name), loc)
        if owner != loc:
            line = self._problems.source.line(owner)
            fix = (
                f"this is also set by {dotted(owner)} on line {line}, "
                "and which of the two wins would be ambiguous; remove one of them"
            )
            self._problems.add(loc, fix, show=False)


def _not_a_list(values: object, kind: str) -> str:
    if isinstance(values, list):
        return "the list is empty; write at least one value, or remove the parameter"
    if kind == "tied":
        return "write a list of mappings: values: [{name: value, ...}, ...]"
    if values is None:
        return "write a list of values; [null] alone leaves the flag out"
    return _NO_DICT if isinstance(values, dict) else f"write a list: {flow_text([values])}"


def canonical(name: str) -> str:
    """Engines take ``max_num_seqs`` and ``max-num-seqs`` as the same flag."""
    return name if name.startswith(ENVIRONMENT_PREFIX) else name.replace("_", "-")


def _effect(name: str, value: Value) -> str:
    if value is None or (value is False and not name.startswith(ENVIRONMENT_PREFIX)):
        return "omitted"
    if value is True:
        return "bare"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"={value}"

"""The three walks of a structural schema: dropping what it does not know, defaults, validation."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubernetes_double.answers import Cause

__all__ = ["find_faults", "prune", "set_defaults"]

Schema = Mapping[str, Any]


def prune(value: Any, schema: Schema, path: str = "") -> list[str]:
    """Drop the fields that the schema does not know; their paths."""
    dropped: list[str] = []
    if isinstance(value, list):
        for i, item in enumerate(value):
            dropped += prune(item, schema.get("items", {}), f"{path}[{i}]")
    if not isinstance(value, dict) or schema.get("x-kubernetes-int-or-string"):
        return dropped
    for name in sorted(value):
        below = _property(schema, name)
        place = f"{path}.{name}" if path else name
        if below is None:
            if not schema.get("x-kubernetes-preserve-unknown-fields"):
                del value[name]
                dropped.append(place)
        elif value[name] is None and not below.get("nullable") and "default" not in below:
            # As good as not said, so that a client that writes null for what it does not set
            # is understood.
            del value[name]
        else:
            dropped += prune(value[name], below, place)
    return dropped


def _property(schema: Schema, name: str) -> Schema | None:
    properties = schema.get("properties", {})
    if name in properties:
        return properties[name]  # type: ignore[no-any-return]
    others = schema.get("additionalProperties")
    if others is True:
        return {"x-kubernetes-preserve-unknown-fields": True}
    return others or None


def set_defaults(value: Any, schema: Schema) -> None:
    """Fill in defaults, but only below what is there: an object left out stays out."""
    if isinstance(value, list):
        for item in value:
            set_defaults(item, schema.get("items", {}))
    if not isinstance(value, dict):
        return
    for name, below in schema.get("properties", {}).items():
        missing = name not in value or (value[name] is None and not below.get("nullable"))
        if missing and "default" in below:
            value[name] = copy.deepcopy(below["default"])
    for name, item in value.items():
        if (below := _property(schema, name)) is not None:
            set_defaults(item, below)


_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    return next(name for name, kinds in _TYPES.items() if isinstance(value, kinds))


def _is(value: Any, expected: str) -> bool:
    if isinstance(value, bool):
        return expected == "boolean"
    if expected == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[expected])


def find_faults(value: Any, schema: Schema, path: str = "") -> Iterator[Cause]:
    if value is None and schema.get("nullable"):
        return
    if schema.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool) or not isinstance(value, int | str):
            yield _wrong_type(value, "integer,string", path)
        elif isinstance(value, str):
            yield from _scalar_faults(value, schema, path)
        return
    expected = schema.get("type")
    if expected and not _is(value, expected):
        yield _wrong_type(value, expected, path)
        return
    yield from _scalar_faults(value, schema, path)
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                place = f"{path}.{name}" if path else name
                yield Cause(place, "Required value", "FieldValueRequired")
        for name, item in value.items():
            below = _property(schema, name)
            if below is not None:
                yield from find_faults(item, below, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        yield from _list_faults(value, schema, path)
        for i, item in enumerate(value):
            yield from find_faults(item, schema.get("items", {}), f"{path}[{i}]")


def _wrong_type(value: Any, expected: str, path: str) -> Cause:
    found = _type_name(value)
    why = f'Invalid value: "{found}": {path} in body must be of type {expected}: "{found}"'
    return Cause(path, why, "FieldValueTypeInvalid")


def _scalar_faults(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    told = json.dumps(value)

    def wrong(why: str) -> Cause:
        return Cause(path, f"Invalid value: {told}: {path} in body {why}", "FieldValueInvalid")

    if "enum" in schema and value not in schema["enum"]:
        allowed = ", ".join(json.dumps(item) for item in schema["enum"])
        why = f"Unsupported value: {told}: supported values: {allowed}"
        yield Cause(path, why, "FieldValueNotSupported")
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield wrong(f"should match '{schema['pattern']}'")
        if len(value) < schema.get("minLength", 0):
            yield wrong(f"should be at least {schema['minLength']} chars long")
        if "maxLength" in schema and len(value) > schema["maxLength"]:
            yield wrong(f"should be at most {schema['maxLength']} chars long")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            yield wrong(f"should be greater than or equal to {schema['minimum']}")
        if "maximum" in schema and value > schema["maximum"]:
            yield wrong(f"should be less than or equal to {schema['maximum']}")


def _list_faults(value: list[Any], schema: Schema, path: str) -> Iterator[Cause]:
    if len(value) < schema.get("minItems", 0):
        least = schema["minItems"]
        why = f"Invalid value: {len(value)}: {path} in body should have at least {least} items"
        yield Cause(path, why, "FieldValueInvalid")
    kind = schema.get("x-kubernetes-list-type")
    if kind not in ("set", "map"):
        return
    seen = set()
    for i, item in enumerate(value):
        key = item
        if kind == "map":
            keys = schema["x-kubernetes-list-map-keys"]
            key = {name: item[name] for name in keys if name in item}
        told = json.dumps(key, sort_keys=True, separators=(",", ":"))
        if told in seen:
            yield Cause(f"{path}[{i}]", f"Duplicate value: {told}", "FieldValueDuplicate")
        seen.add(told)

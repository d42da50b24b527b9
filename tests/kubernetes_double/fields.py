"""Who owns which field: objects as sets of leaves, and the form that managedFields has."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = [
    "Path",
    "below",
    "leaves",
    "list_keys",
    "merge_keys",
    "read_fields",
    "told",
    "write_fields",
]

Path = tuple[str, ...]
"""Steps as managedFields writes them: ``f:name``, ``k:{"name":"x"}`` or ``v:"x"``."""

_MERGE_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "ports": ("containerPort", "protocol"),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
}
"""Of the lists in the built-in kinds, which have no schema here."""


def merge_keys(field: str, item: object) -> tuple[str, ...]:
    """Empty: the list has no keys."""
    if field == "ports" and isinstance(item, Mapping) and "port" in item:
        return ("port", "protocol")
    return _MERGE_KEYS.get(field, ())


def below(schema: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """The schema of a field; of a built-in kind, what is known of its lists."""
    known = schema.get("properties", {}).get(field)
    if known is not None:
        return known  # type: ignore[no-any-return]
    if others := schema.get("additionalProperties"):
        return others if isinstance(others, Mapping) else {}
    return {"x-list-field": field} if schema.get("x-kubernetes-preserve-unknown-fields") else {}


def _items(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "x-list-field" in schema:
        return {"x-kubernetes-preserve-unknown-fields": True}
    return schema.get("items", {})  # type: ignore[no-any-return]


def list_keys(schema: Mapping[str, Any], item: object) -> tuple[str, ...]:
    if schema.get("x-kubernetes-list-type") == "map":
        return tuple(schema["x-kubernetes-list-map-keys"])
    return merge_keys(schema.get("x-list-field", ""), item)


def item_step(schema: Mapping[str, Any], item: object) -> str | None:
    """How an item of a list is told apart from others; None where the list is one value."""
    if schema.get("x-kubernetes-list-type") == "set":
        return "v:" + json.dumps(item)
    keys = list_keys(schema, item)
    if not keys or not isinstance(item, Mapping):
        return None
    known = {key: item[key] for key in keys if key in item}
    return "k:" + json.dumps(known, separators=(",", ":"), sort_keys=True) if known else None


def leaves(value: Any, schema: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The fields below which nobody looks, with their values."""
    whole = schema.get("x-kubernetes-map-type") == "atomic"
    if isinstance(value, Mapping) and value and not whole:
        inner = (
            {"x-kubernetes-preserve-unknown-fields": True} if "x-list-field" in schema else schema
        )
        for name, item in value.items():
            yield from leaves(item, below(inner, name), (*path, f"f:{name}"))
        return
    if isinstance(value, list) and value:
        steps = [item_step(schema, item) for item in value]
        if None not in steps:
            for step, item in zip(steps, value, strict=True):
                if str(step).startswith("v:"):
                    yield (*path, str(step)), item
                else:
                    yield from leaves(item, _items(schema), (*path, str(step)))
            return
    yield path, value


def write_fields(paths: frozenset[Path]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path in sorted(paths):
        place = root
        for step in path:
            place = place.setdefault(step, {".": {}} if step.startswith("k:") else {})
    return root


def read_fields(fields: Mapping[str, Any], path: Path = ()) -> frozenset[Path]:
    steps = [step for step in fields if step != "."]
    if not steps:
        return frozenset({path}) if path else frozenset()
    found = frozenset[Path]()
    for step in steps:
        found |= read_fields(fields[step], (*path, step))
    return found


def told(path: Path) -> str:
    """As messages about conflicts name a field, such as ``.spec.containers[name="a"].image``."""
    text = ""
    for step in path:
        sort, _, rest = step.partition(":")
        if sort == "f":
            text += f".{rest}"
        elif sort == "k":
            keys = json.loads(rest).items()
            text += "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in keys) + "]"
        else:
            text += f"[={rest}]"
    return text

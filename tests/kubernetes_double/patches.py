"""The patches that a server takes, but for server-side apply."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from kubernetes_double.answers import ApiFault, bad_request
from kubernetes_double.fields import merge_keys

__all__ = ["json_patch", "merge_patch", "strategic_patch"]


def merge_patch(old: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(old) if isinstance(old, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return copy.deepcopy(result)


def strategic_patch(old: Any, patch: Any, field: str = "") -> Any:
    """A merge patch in which lists of named things are merged by their names."""
    if isinstance(patch, list) and isinstance(old, list):
        return _merge_lists(old, patch, field)
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(old) if isinstance(old, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = strategic_patch(result.get(name), value, name)
    return copy.deepcopy(result)


def _merge_lists(old: list[Any], patch: list[Any], field: str) -> list[Any]:
    if field == "finalizers":
        return [*old, *(item for item in patch if item not in old)]
    keys = merge_keys(field, patch[0] if patch else None)
    if not keys or not all(isinstance(item, Mapping) for item in (*old, *patch)):
        return copy.deepcopy(patch)
    result = {tuple(item.get(key) for key in keys): item for item in old}
    for item in patch:
        key = tuple(item.get(name) for name in keys)
        if item.get("$patch") == "delete":
            result.pop(key, None)
        else:
            result[key] = strategic_patch(result.get(key), item)
    return copy.deepcopy(list(result.values()))


def json_patch(old: Any, operations: list[Mapping[str, Any]]) -> Any:
    """RFC 6902."""
    result = copy.deepcopy(old)
    for operation in operations:
        path = _pointer(operation["path"])
        match operation["op"]:
            case "add":
                result = _add(result, path, copy.deepcopy(operation["value"]))
            case "replace":
                result = _add(_remove(result, path), path, copy.deepcopy(operation["value"]))
            case "remove":
                result = _remove(result, path)
            case "copy" | "move":
                source = _pointer(operation["from"])
                value = copy.deepcopy(_at(result, source))
                if operation["op"] == "move":
                    result = _remove(result, source)
                result = _add(result, path, value)
            case "test":
                if _at(result, path) != operation["value"]:
                    raise _unfit(f"testing value {operation['path']} failed: test failed")
            case other:
                raise bad_request(f"unknown operation: {other}")
    return result


def _unfit(why: str) -> ApiFault:
    return ApiFault(422, f"the server rejected our request due to an error in our request: {why}")


def _pointer(path: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]


def _at(place: Any, path: list[str]) -> Any:
    for step in path:
        try:
            place = place[int(step)] if isinstance(place, list) else place[step]
        except (KeyError, IndexError, ValueError, TypeError):
            raise _unfit(f"missing value at {'/'.join(path)}") from None
    return place


def _add(root: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _at(root, path[:-1])
    if isinstance(parent, list):
        parent.insert(len(parent) if path[-1] == "-" else int(path[-1]), value)
    else:
        parent[path[-1]] = value
    return root


def _remove(root: Any, path: list[str]) -> Any:
    _at(root, path)
    if not path:
        return None
    parent = _at(root, path[:-1])
    del parent[int(path[-1]) if isinstance(parent, list) else path[-1]]
    return root

"""The ways in which a request says what to change: merge, JSON patch and server-side apply."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubernetes_double.answers import ApiFault, bad_request

__all__ = ["Ownership", "json_patched", "merged", "strategically_merged"]

FieldPath = tuple[str, ...]


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386: null takes a key away, lists are replaced."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    made = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = merged(made.get(name), value)
    return made


def strategically_merged(target: Any, patch: Any) -> Any:
    """As `merged`, but lists of things with names merge by name."""
    if _named(patch) and _named(target):
        made = {each["name"]: each for each in target}
        for each in patch:
            made[each["name"]] = strategically_merged(made.get(each["name"]), each)
        return list(made.values())
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    made = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = strategically_merged(made.get(name), value)
    return made


def json_patched(target: dict[str, Any], operations: Any) -> dict[str, Any]:
    """RFC 6902 without move and copy; raises ApiFault 400 for no patch, 422 where it fails."""
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    made = copy.deepcopy(target)
    for operation in operations:
        path = operation["path"]
        steps = [each.replace("~1", "/").replace("~0", "~") for each in path.split("/")[1:]]
        try:
            _operate(made, operation["op"], steps, operation.get("value"))
        except (KeyError, IndexError, ValueError, TypeError) as error:
            why = f"the server rejected our request due to an error in our request: {path}"
            raise ApiFault(422, why) from error
    return made


def _operate(place: Any, operation: str, steps: Sequence[str], value: Any) -> None:
    for step in steps[:-1]:
        place = place[int(step)] if isinstance(place, list) else place[step]
    last: Any = steps[-1]
    if isinstance(place, list):
        last = len(place) if last == "-" else int(last)
    if operation == "add" and isinstance(place, list):
        place.insert(last, value)
    elif operation == "add":
        place[last] = value
    elif operation == "replace":
        place[last]  # it has to be there
        place[last] = value
    elif operation == "remove":
        del place[last]
    elif operation == "test":
        if place[last] != value:
            raise ValueError(f"{place[last]!r} is not {value!r}")
    else:
        raise ValueError(f"no operation {operation}")


def _named(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(each, Mapping) and "name" in each for each in values
    )


class Ownership:
    """Which fields of one object each manager has applied."""

    def __init__(self) -> None:
        self._applied: dict[str, dict[FieldPath, Any]] = {}

    def apply(
        self, current: Mapping[str, Any], content: Mapping[str, Any], manager: str, *, force: bool
    ) -> dict[str, Any]:
        """What becomes of the object; what the manager no longer names goes.

        Raises ApiFault 409 where another manager owns a field with another value.
        """
        asked = dict(_fields(content))
        others = {path: name for name, fields in self._applied.items() for path in fields}
        clashes = [
            (path, others[path])
            for path, value in asked.items()
            if others.get(path, manager) != manager and _at(current, path) != value
        ]
        if clashes and not force:
            raise _apply_conflict(clashes)
        made = copy.deepcopy(dict(current))
        for path in self._applied.get(manager, {}).keys() - asked.keys():
            owners = [name for name, fields in self._applied.items() if path in fields]
            if owners == [manager]:
                _drop(made, path)
        for path, _ in clashes:
            self._applied[others[path]].pop(path, None)
        for path, value in asked.items():
            _set(made, path, value)
        self._applied[manager] = asked
        return made


def _apply_conflict(clashes: Sequence[tuple[FieldPath, str]]) -> ApiFault:
    told = ", ".join(f'conflict with "{owner}": .{".".join(path)}' for path, owner in clashes)
    many = f"{len(clashes)} conflict{'s' if len(clashes) > 1 else ''}"
    return ApiFault(409, f"Apply failed with {many}: {told}")


def _fields(content: Any, path: FieldPath = ()) -> Iterator[tuple[FieldPath, Any]]:
    """Leaves; a list is one, and so is an empty map."""
    if isinstance(content, Mapping) and content:
        for name, value in content.items():
            if path or name not in ("apiVersion", "kind"):
                yield from _fields(value, (*path, name))
    elif path not in (("metadata", "name"), ("metadata", "namespace")):
        yield path, copy.deepcopy(content)


def _at(content: Any, path: FieldPath) -> Any:
    for step in path:
        content = content.get(step) if isinstance(content, Mapping) else None
    return content


def _set(content: dict[str, Any], path: FieldPath, value: Any) -> None:
    for step in path[:-1]:
        if not isinstance(content.get(step), dict):
            content[step] = {}
        content = content[step]
    content[path[-1]] = value


def _drop(content: dict[str, Any], path: FieldPath) -> None:
    for step in path[:-1]:
        content = content.get(step, {})
    content.pop(path[-1], None)

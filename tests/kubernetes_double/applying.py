"""Server-side apply, and who owns a field after any other write."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes_double.answers import ApiFault
from kubernetes_double.fields import Path, leaves, read_fields, told, write_fields

__all__ = ["Manager", "apply", "note_update"]

_NOT_OWNED = (
    ("f:apiVersion",),
    ("f:kind",),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "managedFields",
            "generateName",
            "selfLink",
        )
    ),
)
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Manager:
    """Who writes, how, and to which subresource."""

    name: str
    operation: str
    subresource: str = ""


Owned = dict[Manager, frozenset[Path]]


def _owned_leaves(value: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[Path, Any]:
    found = leaves(value, schema)
    return {path: item for path, item in found if path and not _starts_with(path, _NOT_OWNED)}


def _starts_with(path: Path, heads: tuple[Path, ...]) -> bool:
    return any(path[: len(head)] == head for head in heads)


def _read(found: Mapping[str, Any]) -> Owned:
    return {
        Manager(each["manager"], each["operation"], each.get("subresource", "")): read_fields(
            each.get("fieldsV1", {})
        )
        for each in found.get("metadata", {}).get("managedFields", ())
    }


def _write(new: dict[str, Any], owned: Owned, moment: str) -> None:
    """An entry whose fields are the same as before keeps its time."""
    before = {
        Manager(each["manager"], each["operation"], each.get("subresource", "")): each
        for each in new["metadata"].get("managedFields", ())
    }
    entries = []
    for manager, paths in owned.items():
        if not paths:
            continue
        entry = {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": new["apiVersion"],
            "time": moment,
            "fieldsType": "FieldsV1",
            "fieldsV1": write_fields(paths),
        }
        if manager.subresource:
            entry["subresource"] = manager.subresource
        old = before.get(manager)
        if old is not None and old["fieldsV1"] == entry["fieldsV1"]:
            entry["time"] = old["time"]
        entries.append(entry)
    new["metadata"]["managedFields"] = entries


def note_update(
    old: Mapping[str, Any] | None,
    new: dict[str, Any],
    schema: Mapping[str, Any],
    manager: Manager,
    moment: str,
) -> None:
    """Give the manager what it changed, and take from all what is no more."""
    before = _owned_leaves(old, schema) if old is not None else {}
    after = _owned_leaves(new, schema)
    changed = frozenset(path for path, item in after.items() if before.get(path, _ABSENT) != item)
    owned = {} if old is None else _read(old)
    kept = {
        each: frozenset(path for path in paths if path in after) - changed
        for each, paths in owned.items()
    }
    kept[manager] = kept.get(manager, frozenset()) | changed
    if old is not None:
        new["metadata"]["managedFields"] = old["metadata"].get("managedFields", [])
    else:
        new["metadata"].pop("managedFields", None)
    _write(new, kept, moment)


def apply(
    live: Mapping[str, Any],
    applied: Mapping[str, Any],
    schema: Mapping[str, Any],
    manager: Manager,
    *,
    force: bool,
    moment: str,
) -> dict[str, Any]:
    """The live object with what is applied, and without what this manager applied no more."""
    wanted = _owned_leaves(applied, schema)
    existing = _owned_leaves(live, schema)
    owned = _read(live)
    others = {each: paths for each, paths in owned.items() if each != manager}
    stolen = _conflicts(wanted, existing, others)
    if stolen and not force:
        raise _conflict(stolen, applied["apiVersion"])
    for path, owner in stolen:
        others[owner] -= {path}
    result: dict[str, Any] = copy.deepcopy(dict(live))
    shared = frozenset[Path]().union(*others.values())
    dropped = owned.get(manager, frozenset()) - wanted.keys() - shared
    for path in sorted(dropped, key=_names_its_item):
        _remove(result, path)
    for path, item in wanted.items():
        _set(result, path, copy.deepcopy(item))
    _write(result, {**others, manager: frozenset(wanted)}, moment)
    return result


def _conflicts(
    wanted: Mapping[Path, Any], existing: Mapping[Path, Any], others: Owned
) -> list[tuple[Path, Manager]]:
    found = []
    for path, item in wanted.items():
        if existing.get(path, _ABSENT) != item:
            found += [(path, each) for each, paths in others.items() if path in paths]
    return found


def _conflict(stolen: list[tuple[Path, Manager]], version: str) -> ApiFault:
    def name(manager: Manager) -> str:
        using = "" if manager.operation == "Apply" else f" using {version}"
        return f'with "{manager.name}"{using}'

    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict {name(each)}",
            "field": told(path),
        }
        for path, each in sorted(stolen, key=lambda each: (each[1].name, each[0]))
    ]
    if len(causes) == 1:
        listed = f"1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        groups: dict[str, list[str]] = {}
        for path, each in stolen:
            groups.setdefault(name(each), []).append(f"\n- {told(path)}")
        lines = [f"conflicts {who}:{''.join(fields)}" for who, fields in sorted(groups.items())]
        listed = f"{len(causes)} conflicts: " + "\n".join(lines)
    return ApiFault(409, f"Apply failed with {listed}", "Conflict", {"causes": causes})


def _names_its_item(path: Path) -> bool:
    """Whether the field is a key of its item in a list, which nobody finds without it."""
    step = path[-2] if len(path) > 1 else ""
    return step.startswith("k:") and path[-1][2:] in json.loads(step[2:])


def _find(place: list[Any], step: str) -> int | None:
    sort, _, rest = step.partition(":")
    wanted = json.loads(rest)
    for i, item in enumerate(place):
        same = item == wanted
        if sort == "k":
            same = isinstance(item, Mapping) and all(
                item.get(name) == value for name, value in wanted.items()
            )
        if same:
            return i
    return None


def _set(root: dict[str, Any], path: Path, value: Any) -> None:
    place: Any = root
    for step, following in zip(path, (*path[1:], ""), strict=True):
        fresh: Any = [] if following[:2] in ("k:", "v:") else {}
        if step.startswith("f:"):
            if not following:
                place[step[2:]] = value
                return
            if not isinstance(place.get(step[2:]), type(fresh)):
                place[step[2:]] = fresh
            place = place[step[2:]]
            continue
        found = _find(place, step)
        if found is None:
            place.append(json.loads(step[2:]))
            found = len(place) - 1
        place = place[found]


def _walk(root: Any, path: Path) -> Iterator[tuple[Any, Any]]:
    """Containers and keys on the way to the path, outermost first; stops where the way ends."""
    place = root
    for step in path:
        if step.startswith("f:"):
            key: Any = step[2:]
            if not isinstance(place, dict) or key not in place:
                return
        else:
            key = _find(place, step) if isinstance(place, list) else None
            if key is None:
                return
        yield place, key
        place = place[key]


def _remove(root: dict[str, Any], path: Path) -> None:
    """And whatever is empty without it."""
    way = list(_walk(root, path))
    if len(way) < len(path):
        return
    for depth, (place, key) in enumerate(reversed(way)):
        if depth and place[key]:
            return
        del place[key]

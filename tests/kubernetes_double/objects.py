"""The objects of the double, their versions, and the history that watches follow."""

from __future__ import annotations

import copy
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubernetes_double.answers import already_exists, bad_request, conflict, gone, not_found
from kubernetes_double.kinds import Kind

__all__ = ["Change", "Store", "now"]

Key = tuple[str, str, str]
"""Resource, namespace (empty: of the cluster), name."""

_KEPT_METADATA = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
_WAITS_FOR_DEPENDENTS = "foregroundDeletion"


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Change:
    """An object before and after; None: it was not there."""

    version: int
    kind: Kind
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    last: dict[str, Any]
    """The object as a watch shows it: the newest content there was."""


class Store:
    """Thread-safe; whoever reads gets copies. ``changed`` is notified of every change."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self._objects: dict[Key, dict[str, Any]] = {}
        self._kinds: dict[Key, Kind] = {}
        self._history: list[Change] = []
        self._oldest = 0
        self._version = 100

    @property
    def version(self) -> int:
        return self._version

    def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        """Raises ApiFault 404."""
        with self.changed:
            return copy.deepcopy(self._current(kind, namespace, name))

    def has(self, kind: Kind, namespace: str, name: str) -> bool:
        return _key(kind, namespace, name) in self._objects

    def list(self, kind: Kind, namespace: str | None = None) -> list[dict[str, Any]]:
        """In order of their names; None: of all namespaces."""
        with self.changed:
            return [
                copy.deepcopy(self._objects[key])
                for key in sorted(self._objects)
                if self._kinds[key] == kind and namespace in (None, key[1])
            ]

    def create(self, kind: Kind, content: dict[str, Any], *, dry: bool = False) -> dict[str, Any]:
        """Raises ApiFault 409 where there is such an object."""
        made = copy.deepcopy(content)
        metadata = made["metadata"]
        if "name" not in metadata:
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        key = _key(kind, metadata.get("namespace", ""), metadata["name"])
        with self.changed:
            if key in self._objects:
                raise already_exists(kind.resource, metadata["name"])
            for given in (*_KEPT_METADATA, "resourceVersion"):
                metadata.pop(given, None)
            metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
            if "spec" in made:
                metadata["generation"] = 1
            if dry:
                return made
            self._put(key, kind, made)
            self._collect()
            return copy.deepcopy(self._objects.get(key, made))

    def change(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        edit: Callable[[dict[str, Any]], dict[str, Any]],
        *,
        status: bool = False,
        dry: bool = False,
    ) -> dict[str, Any]:
        """Replaces the object by what ``edit`` makes of a copy of it.

        A status changes by ``status`` alone, and then nothing else does. Raises ApiFault 404, and
        409 where ``edit`` leaves a resourceVersion or uid that is not the current one.
        """
        with self.changed:
            current = self._current(kind, namespace, name)
            edited = edit(copy.deepcopy(current))
            _check_identity(kind, current, edited)
            made = _merged(kind, current, edited, status=status)
            if dry or _content(made) == _content(current):
                return copy.deepcopy(made)
            key = _key(kind, namespace, name)
            if _is_over(made):
                self._remove(key, made)
            else:
                self._put(key, kind, made)
            return copy.deepcopy(made)

    def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        policy: str = "Background",
        grace_s: int | None = None,
        dry: bool = False,
    ) -> tuple[dict[str, Any], bool]:
        """The object, and whether it is gone; one with finalizers is not yet, nor a running pod."""
        with self.changed:
            current = copy.deepcopy(self._current(kind, namespace, name))
            metadata = current["metadata"]
            if uid is not None and uid != metadata["uid"]:
                raise conflict(kind.resource, name)
            if dry:
                return current, False
            if policy == "Orphan":
                self._orphan(metadata["uid"])
            dependents = policy == "Foreground" and self._dependents(metadata["uid"])
            if dependents:
                finalizers = set(metadata.get("finalizers", [])) | {_WAITS_FOR_DEPENDENTS}
                metadata["finalizers"] = sorted(finalizers)
            stays = bool(metadata.get("finalizers")) or _ends_with_grace(kind, current, grace_s)
            key = _key(kind, namespace, name)
            if not stays:
                self._remove(key, current)
                return current, True
            grace_s = _grace_s(kind, current, grace_s)
            if grace_s < metadata.get("deletionGracePeriodSeconds", grace_s + 1):
                metadata.setdefault("deletionTimestamp", now())
                metadata["deletionGracePeriodSeconds"] = grace_s
                self._put(key, kind, current)
            self._delete_all(dependents or [], "Foreground")
            self._collect()
            return copy.deepcopy(self._objects.get(key, current)), key not in self._objects

    def since(self, version: int) -> tuple[list[Change], int]:
        """What changed after a version, and the newest version; raises ApiFault 410."""
        with self.changed:
            if version < self._oldest:
                raise gone(version, self._oldest)
            return [each for each in self._history if each.version > version], self._version

    def compact(self) -> None:
        """Forgets the history: whoever watches from an older version gets 410."""
        with self.changed:
            self._version += 1
            self._oldest = self._version
            self._history.clear()

    def _current(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        try:
            return self._objects[_key(kind, namespace, name)]
        except KeyError:
            raise not_found(kind.resource, name) from None

    def _put(self, key: Key, kind: Kind, made: dict[str, Any]) -> None:
        before = self._objects.get(key)
        self._version += 1
        made["metadata"]["resourceVersion"] = str(self._version)
        self._objects[key], self._kinds[key] = made, kind
        self._note(Change(self._version, kind, before, made, made))

    def _remove(self, key: Key, last: dict[str, Any]) -> None:
        before, kind = self._objects.pop(key), self._kinds.pop(key)
        self._version += 1
        last = copy.deepcopy(last)
        last["metadata"]["resourceVersion"] = str(self._version)
        self._note(Change(self._version, kind, before, None, last))
        if kind.name == "Namespace":
            self._delete_all([each for each in self._objects if each[1] == key[2]], "Background")
        self._collect()

    def _delete_all(self, keys: list[Key], policy: str) -> None:
        for key in keys:
            if key in self._objects:  # one may take another with it
                self.delete(self._kinds[key], *key[1:], policy=policy)

    def _note(self, change: Change) -> None:
        self._history.append(change)
        self.changed.notify_all()

    def _dependents(self, uid: str) -> list[Key]:
        return [key for key in self._objects if uid in self._owners(key)]

    def _owners(self, key: Key) -> list[str]:
        references = self._objects[key]["metadata"].get("ownerReferences", ())
        return [reference["uid"] for reference in references]

    def _orphan(self, uid: str) -> None:
        for key in self._dependents(uid):
            made = copy.deepcopy(self._objects[key])
            kept = [each for each in made["metadata"]["ownerReferences"] if each["uid"] != uid]
            made["metadata"]["ownerReferences"] = kept
            self._put(key, self._kinds[key], made)

    def _collect(self) -> None:
        """The garbage collector: what belongs to nobody that is left goes too."""
        there = {each["metadata"]["uid"]: key[1] for key, each in self._objects.items()}
        for key in list(self._objects):
            if key not in self._objects:
                continue
            owners = self._owners(key)
            found = [uid for uid in owners if there.get(uid) in ("", key[1])]
            made = self._objects[key]
            if owners and not found and "deletionTimestamp" not in made["metadata"]:
                self.delete(self._kinds[key], *key[1:])
            elif _WAITS_FOR_DEPENDENTS in made["metadata"].get("finalizers", ()):
                self._release(key)

    def _release(self, key: Key) -> None:
        made = copy.deepcopy(self._objects[key])
        if self._dependents(made["metadata"]["uid"]):
            return
        made["metadata"]["finalizers"].remove(_WAITS_FOR_DEPENDENTS)
        if _is_over(made):
            self._remove(key, made)
        else:
            self._put(key, self._kinds[key], made)


def _key(kind: Kind, namespace: str, name: str) -> Key:
    return (kind.resource, namespace if kind.namespaced else "", name)


def _content(made: dict[str, Any]) -> dict[str, Any]:
    metadata = {name: each for name, each in made["metadata"].items() if name != "resourceVersion"}
    return {**made, "metadata": metadata}


def _check_identity(kind: Kind, current: dict[str, Any], edited: dict[str, Any]) -> None:
    mine, theirs = current["metadata"], edited["metadata"]
    for name in ("resourceVersion", "uid"):
        if theirs.get(name) and theirs[name] != mine[name]:
            raise conflict(kind.resource, mine["name"])
    for name in ("name", "namespace"):
        if theirs.get(name, mine.get(name)) != mine.get(name):
            raise bad_request(f"the {name} of the object does not match the {name} on the URL")


def _merged(
    kind: Kind, current: dict[str, Any], edited: dict[str, Any], *, status: bool
) -> dict[str, Any]:
    if status:
        return {**copy.deepcopy(current), "status": edited.get("status", {})}
    made = {name: each for name, each in edited.items() if name != "status" or not kind.status}
    if kind.status and "status" in current:
        made["status"] = current["status"]
    metadata = {**edited["metadata"], "resourceVersion": current["metadata"]["resourceVersion"]}
    for name in (*_KEPT_METADATA, "name", "namespace", "generation"):
        metadata.pop(name, None)
        if name in current["metadata"]:
            metadata[name] = current["metadata"][name]
    if "generation" in metadata and edited.get("spec") != current.get("spec"):
        metadata["generation"] += 1
    return {**made, "metadata": metadata}


def _is_over(made: dict[str, Any]) -> bool:
    metadata = made["metadata"]
    ending = metadata.get("deletionTimestamp") is not None
    return (
        ending and not metadata.get("finalizers") and not metadata.get("deletionGracePeriodSeconds")
    )


def _grace_s(kind: Kind, current: dict[str, Any], asked_s: int | None) -> int:
    if kind.name != "Pod":
        return 0
    return current["spec"].get("terminationGracePeriodSeconds", 30) if asked_s is None else asked_s


def _ends_with_grace(kind: Kind, current: dict[str, Any], asked_s: int | None) -> bool:
    """A pod on a node is there until its kubelet has ended it and says so."""
    if kind.name != "Pod" or not current["spec"].get("nodeName"):
        return False
    over = current.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not over and _grace_s(kind, current, asked_s) > 0

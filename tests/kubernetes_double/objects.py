"""The objects of the double, their versions, and the history that watches follow."""

from __future__ import annotations

import copy
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubernetes_double.answers import already_exists, gone, not_found
from kubernetes_double.kinds import Kind
from kubernetes_double.lifecycle import (
    KEPT_METADATA,
    check_identity,
    check_uid,
    content,
    is_over,
    period_s,
    revised,
)

__all__ = ["Change", "Object", "Store", "now"]

Object = dict[str, Any]
Key = tuple[str, str, str]
"""Resource, namespace (empty: of the cluster), name."""

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
        self._oldest = self._forgotten = 0
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

    def create(self, kind: Kind, asked: dict[str, Any], *, dry: bool = False) -> dict[str, Any]:
        """Raises ApiFault 409 where there is such an object."""
        made = copy.deepcopy(asked)
        metadata = made["metadata"]
        if "name" not in metadata:
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        key = _key(kind, metadata.get("namespace", ""), metadata["name"])
        with self.changed:
            if key in self._objects:
                ending = "deletionTimestamp" in self._objects[key]["metadata"]
                raise already_exists(kind, metadata["name"], ending=ending)
            for given in (*KEPT_METADATA, "resourceVersion"):
                metadata.pop(given, None)
            metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
            if kind.generations:
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
            check_identity(kind, current, edited)
            made = revised(kind, current, edited, status=status)
            if dry or content(made) == content(current):
                return copy.deepcopy(made)
            key = _key(kind, namespace, name)
            if is_over(made):
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
            check_uid(kind, current, uid)
            if dry:
                return current, not metadata.get("finalizers")
            if policy == "Orphan":
                self._orphan(metadata["uid"])
            dependents = policy == "Foreground" and self._dependents(metadata["uid"])
            if dependents:
                finalizers = set(metadata.get("finalizers", [])) | {_WAITS_FOR_DEPENDENTS}
                metadata["finalizers"] = sorted(finalizers)
            wait_s = period_s(kind, current, grace_s)
            stays = bool(metadata.get("finalizers")) or wait_s > 0
            key = _key(kind, namespace, name)
            if not stays:
                self._remove(key, current)
                return current, True
            if wait_s < metadata.get("deletionGracePeriodSeconds", wait_s + 1):
                if "deletionTimestamp" not in metadata:
                    metadata["deletionTimestamp"] = now()
                    if "generation" in metadata:
                        metadata["generation"] += 1
                metadata["deletionGracePeriodSeconds"] = wait_s
                self._put(key, kind, current)
            self._delete_all(dependents or [], "Foreground")
            self._collect()
            return copy.deepcopy(self._objects.get(key, current)), key not in self._objects

    def since(self, version: int, *, live: bool = False) -> tuple[list[Change], int]:
        """What changed after a version, and the newest version; raises ApiFault 410.

        ``live``: for a watch that has followed up to that version, and missed nothing.
        """
        with self.changed:
            if version < (self._forgotten if live else self._oldest):
                raise gone(version, self._oldest)
            return [each for each in self._history if each.version > version], self._version

    def compact(self) -> None:
        """Forgets the history: who asks for what came after an older version gets 410."""
        with self.changed:
            self._forgotten = self._version
            self._version += 1
            self._oldest = self._version
            self._history.clear()

    def _current(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        try:
            return self._objects[_key(kind, namespace, name)]
        except KeyError:
            raise not_found(kind, name) from None

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
        if is_over(made):
            self._remove(key, made)
        else:
            self._put(key, self._kinds[key], made)


def _key(kind: Kind, namespace: str, name: str) -> Key:
    return (kind.resource, namespace if kind.namespaced else "", name)

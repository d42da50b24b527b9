"""The objects and their history: what etcd is to an API server."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubernetes_double.answers import gone
from kubernetes_double.kinds import Kind

__all__ = ["Change", "Object", "Store", "stamp"]

Object = dict[str, Any]


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Change:
    """One write; ``before`` is None of what was created, ``after`` of what was removed."""

    version: int
    kind: Kind
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


class Store:
    """Objects by kind, namespace and name.

    What is in it is never changed in place, so that the history can keep it without a copy.
    Whoever reads, decides and writes holds ``changed``; whoever watches waits for it.
    """

    def __init__(self, keep: int = 1000, now: Callable[[], datetime] | None = None) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.now = now or (lambda: datetime.now(UTC))
        self.version = 1
        self.compacted = 0
        """No change up to this version is remembered."""
        self._objects: dict[Kind, dict[tuple[str, str], Object]] = {}
        self._history: deque[Change] = deque()
        self._keep = keep

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        with self.changed:
            return self._objects.get(kind, {}).get((namespace, name))

    def all_of(self, kind: Kind, namespace: str = "") -> list[Object]:
        """In the order of namespaces and names; without a namespace, of all."""
        with self.changed:
            found = sorted(self._objects.get(kind, {}).items())
            return [each for (where, _), each in found if namespace in ("", where)]

    def everything(self) -> Iterator[tuple[Kind, Object]]:
        with self.changed:
            found = [(kind, each) for kind, all_ in self._objects.items() for each in all_.values()]
        yield from found

    def put(self, kind: Kind, new: Object) -> Object:
        """Store the object under a new version; returns it with that."""
        with self.changed:
            metadata = new["metadata"]
            key = (metadata.get("namespace", ""), metadata["name"])
            self.version += 1
            metadata["resourceVersion"] = str(self.version)
            objects = self._objects.setdefault(kind, {})
            self._remember(Change(self.version, kind, objects.get(key), new))
            objects[key] = new
            return new

    def remove(self, kind: Kind, namespace: str, name: str) -> Object:
        with self.changed:
            old = self._objects[kind].pop((namespace, name))
            self.version += 1
            self._remember(Change(self.version, kind, old, None))
            return old

    def _remember(self, change: Change) -> None:
        self._history.append(change)
        while len(self._history) > self._keep:
            self.compacted = self._history.popleft().version
        self.changed.notify_all()

    def since(self, version: int) -> list[Change]:
        """All later changes; refused where some of them are forgotten."""
        with self.changed:
            if version < self.compacted:
                raise gone(version, self.compacted)
            return [change for change in self._history if change.version > version]

    def compact(self) -> None:
        """Forget the whole history, and move on, so that all versions known so far are too old."""
        with self.changed:
            self.version += 1
            self.compacted = self.version
            self._history.clear()
            self.changed.notify_all()

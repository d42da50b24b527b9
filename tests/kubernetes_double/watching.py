"""Watches: what changes, as it changes, for whoever asked for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes_double.answers import ApiFault, gone
from kubernetes_double.kinds import Kind
from kubernetes_double.objects import Change, Store

__all__ = ["Asked", "Watches"]

_TICK_S = 0.2


@dataclass(frozen=True, slots=True)
class Asked:
    """What a watch is for."""

    kind: Kind
    namespace: str | None
    """None: all."""
    chooses: Callable[[Mapping[str, Any]], bool]
    version: str
    """Changes after this one; empty or 0: everything that is there, and then the changes."""
    timeout_s: float
    bookmarks: bool = False


class Watches:
    """Every watch of one store. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._round = 0
        self._how_ended: str = ""
        self.open = 0

    def cut(self) -> None:
        """Breaks every connection that watches, in the middle of its answer."""
        self._end("cut")

    def expire(self) -> None:
        """Tells every watch that its version is too old, and ends it."""
        self._end("expired")

    def _end(self, how: str) -> None:
        with self._store.changed:
            self._round += 1
            self._how_ended = how
            self._store.changed.notify_all()

    def events(self, asked: Asked) -> Iterator[dict[str, Any] | None]:
        """Events, and None now and then, for the caller to see whether anybody still listens.

        Raises ConnectionAbortedError where the connection is to be broken.
        """
        self.open += 1
        try:
            yield from self._events(asked)
        except ApiFault as fault:
            yield {"type": "ERROR", "object": fault.status}
        finally:
            self.open -= 1

    def _events(self, asked: Asked) -> Iterator[dict[str, Any] | None]:
        until = time.monotonic() + asked.timeout_s
        with self._store.changed:
            started = self._round
            position = int(asked.version or 0)
            there: list[dict[str, Any]] = []
            live = not position
            if live:
                there = self._store.list(asked.kind, asked.namespace)
                position = self._store.version
        yield None  # the answer begins at once, whether anything happens or not
        yield from (_event("ADDED", each) for each in there if asked.chooses(each))
        while time.monotonic() < until:
            with self._store.changed:
                changes, position = self._store.since(position, live=live)
                live = True
                if not changes and self._round == started:
                    self._store.changed.wait(min(_TICK_S, max(0.0, until - time.monotonic())))
                    changes, position = self._store.since(position, live=True)
                ended = self._how_ended if self._round != started else ""
            if ended == "cut":
                raise ConnectionAbortedError
            if ended:
                raise gone(position, self._store.version)
            for change in changes:
                event = _seen(change, asked)
                if event is not None:
                    yield event
            yield None
        if asked.bookmarks:
            metadata = {"resourceVersion": str(position), "creationTimestamp": None}
            bookmark = {"apiVersion": asked.kind.api_version, "kind": asked.kind.name}
            yield {"type": "BOOKMARK", "object": {**bookmark, "metadata": metadata}}


def _seen(change: Change, asked: Asked) -> dict[str, Any] | None:
    """What a watch sees of a change: an object that is no longer chosen counts as deleted."""
    if change.kind != asked.kind:
        return None
    if asked.namespace is not None and change.last["metadata"].get("namespace") != asked.namespace:
        return None
    before = change.before is not None and asked.chooses(change.before)
    after = change.after is not None and asked.chooses(change.after)
    if before and after:
        return _event("MODIFIED", change.last)
    if after:
        return _event("ADDED", change.last)
    return _event("DELETED", change.last) if before else None


def _event(sort: str, found: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": sort, "object": found}

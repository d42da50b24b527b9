"""What objects are like now, followed for as long as wanted, whatever becomes of the connection."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from autotuner.kubernetes_api.cluster import Cluster, Object, selection
from autotuner.kubernetes_api.faults import (
    ExpiredError,
    KubernetesError,
    UnreachableError,
    error_of,
)
from autotuner.kubernetes_api.kinds import Kind
from autotuner.kubernetes_api.wire import Stream

__all__ = ["Mirror"]

_WATCH_S = 50
"""The server ends a watch after so long; a connection that went dead is noticed by that."""
_SILENCE_S = _WATCH_S + 10.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_ENDED_S = 5.0


class Mirror:
    """The objects of a kind with a name, or with labels, as they are; a context manager.

    A thread lists them and watches for changes. It survives connections that break, servers that
    are away, and versions that the server has forgotten.

    Args:
        kind: Of the objects.
        name: Of one object; None: all with these labels.
        changed: Notified whenever there is news; may be shared by several mirrors.
    """

    def __init__(
        self,
        cluster: Cluster,
        kind: Kind,
        *,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        changed: threading.Condition | None = None,
    ) -> None:
        self._cluster = cluster
        self._kind = kind
        fields = {"metadata.name": name} if name is not None else None
        self._query = selection(labels, fields)
        self._changed = changed or threading.Condition()
        self._objects: dict[str, Object] = {}
        self._departed: dict[str, Object] = {}
        self._listed = False
        self._problem: KubernetesError | None = None
        self._silent_since: float | None = None
        self._over = threading.Event()
        self._stream: Stream | None = None
        # A daemon thread: the program's end must not wait for a server that does not answer.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Mirror:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def listed(self) -> bool:
        """Whether the server has ever said what there is."""
        return self._listed

    @property
    def objects(self) -> tuple[Object, ...]:
        """As the server last showed them, in the order in which they were made."""
        with self._changed:
            found = list(self._objects.values())
        return tuple(sorted(found, key=lambda each: each["metadata"].get("creationTimestamp", "")))

    def departed(self, uid: str) -> Object | None:
        """The last that was seen of an object that has been deleted since."""
        return self._departed.get(uid)

    @property
    def problem(self) -> KubernetesError | None:
        """Why nothing more will be seen; None while there is hope."""
        return self._problem

    @property
    def silent_s(self) -> float:
        """For how long the server has not been reached; 0 where it was the last time."""
        since = self._silent_since
        return 0.0 if since is None else time.monotonic() - since

    def wait(self, timeout_s: float) -> None:
        """Wait for news, or for as long."""
        with self._changed:
            self._changed.wait(timeout_s)

    def close(self) -> None:
        """End the watch."""
        self._over.set()
        if (stream := self._stream) is not None:
            stream.shut()
        self._thread.join(_ENDED_S)

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        version: str | None = None
        while not self._over.is_set():
            try:
                if version is None:
                    version = self._list()
                version = self._watch(version)
                pause_s = _FIRST_PAUSE_S
                continue
            except ExpiredError:
                version = None  # what happened meanwhile is told by a list
                continue
            except UnreachableError:
                self._silent_since = self._silent_since or time.monotonic()
            except KubernetesError as error:
                self._fail(error)
                return
            self._over.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _list(self) -> str:
        path = self._kind.path(self._cluster.namespace)
        content = self._cluster.wire.ask("GET", path, query=self._query, patience_s=0).content
        with self._changed:
            self._objects = {each["metadata"]["uid"]: self._told(each) for each in content["items"]}
            self._listed = True
            self._silent_since = None
            self._changed.notify_all()
        return str(content["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> str:
        """Follow from a version until the server has had enough; the version it came to."""
        query = {
            **self._query,
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_S),
        }
        path = self._kind.path(self._cluster.namespace)
        with self._cluster.wire.open(path, query, silence_s=_SILENCE_S) as stream:
            self._stream = stream
            self._silent_since = None
            try:
                if self._over.is_set():  # closed before there was anything to shut
                    return version
                for event in self._events(stream):
                    version = self._take(event)
            except UnreachableError:
                # Where it broke is where it goes on.
                if self._over.is_set():
                    return version
                self._silent_since = time.monotonic()
                self._over.wait(_FIRST_PAUSE_S)
            finally:
                self._stream = None
        return version

    def _events(self, stream: Stream) -> Iterator[dict[str, Any]]:
        for line in stream.lines():
            if self._over.is_set():
                return
            try:
                event = json.loads(line)
            except ValueError as error:  # the connection broke in the middle of it
                raise UnreachableError("the connection broke") from error
            yield event

    def _take(self, event: dict[str, Any]) -> str:
        content: Object = event["object"]
        if event["type"] == "ERROR":
            raise error_of(int(content.get("code", 500)), json.dumps(content).encode())
        with self._changed:
            if event["type"] == "DELETED":
                self._objects.pop(content["metadata"]["uid"], None)
                self._departed[content["metadata"]["uid"]] = self._told(content)
            elif event["type"] != "BOOKMARK":
                self._objects[content["metadata"]["uid"]] = self._told(content)
            self._changed.notify_all()
        return str(content["metadata"]["resourceVersion"])

    def _told(self, content: Object) -> Object:
        return {"apiVersion": self._kind.api_version, "kind": self._kind.name, **content}

    def _fail(self, error: KubernetesError) -> None:
        with self._changed:
            self._problem = error
            self._changed.notify_all()

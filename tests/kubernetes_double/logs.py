"""The logs of pods, whole or followed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from kubernetes_double.answers import bad_request
from kubernetes_double.objects import Object

__all__ = ["Logs"]

_TICK_S = 0.1
_SECOND = 1_000_000_000
Place = tuple[str, str]
"""Namespace and pod."""
Line = tuple[int, str]
"""Nanoseconds since the epoch, and the line with its end."""
_OVER = ("Succeeded", "Failed")


class Logs:
    """What the containers of pods have written. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts: dict[Place, str | Path] = {}
        self._previous: dict[Place, str] = {}
        self._stamped: dict[Place, list[Line]] = {}
        self._newest = 0

    def set(self, namespace: str, pod: str, text: str | Path, *, previous: str = "") -> None:
        """A path is read anew each time. ``previous``: of the container before its restart."""
        with self._lock:
            self._texts[namespace, pod] = text
            if previous:
                self._previous[namespace, pod] = previous

    def whole(self, pod: Object, query: Mapping[str, str]) -> str:
        """Raises ApiFault 400 where the container is none, or has not started."""
        place = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        _check_container(pod, query.get("container", ""))
        if query.get("previous") in ("true", "1"):
            if place not in self._previous:
                container = pod["spec"]["containers"][0]["name"]
                raise bad_request(
                    f'previous terminated container "{container}" in pod "{place[1]}" not found'
                )
            lines = [(0, each) for each in self._previous[place].splitlines(keepends=True)]
            return _told(lines, query)
        if place not in self._texts:
            _check_started(pod)
        return _told(self._lines(place), query)

    def follow(
        self, pod: Object, query: Mapping[str, str], current: Callable[[], Object | None]
    ) -> Iterator[bytes | None]:
        """As it is written, until the pod is over; None now and then."""
        place = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        self.whole(pod, query)  # it may be refused
        lines = self._lines(place)
        told = len(lines)
        yield _told(lines, query).encode() or None
        while True:
            found = current()
            lines = self._lines(place)
            if len(lines) > told:
                timestamps = query.get("timestamps", "")
                yield _told(lines[told:], {"timestamps": timestamps}).encode()
                told = len(lines)
            elif found is None or found.get("status", {}).get("phase") in _OVER:
                return
            else:
                yield None
                time.sleep(_TICK_S)

    def _lines(self, place: Place) -> list[Line]:
        """Each with the moment at which it was first seen; no two have the same."""
        with self._lock:
            text = self._texts.get(place, "")
            if isinstance(text, Path):
                text = text.read_text(errors="replace") if text.exists() else ""
                text = text[: text.rfind("\n") + 1]
            lines = text.splitlines(keepends=True)
            known = self._stamped.setdefault(place, [])
            if [each for _, each in known] != lines[: len(known)]:
                known.clear()
            for line in lines[len(known) :]:
                self._newest = max(self._newest + 1, time.time_ns())
                known.append((self._newest, line))
            return list(known)


def _check_container(pod: Object, name: str) -> None:
    names = [container["name"] for container in pod["spec"]["containers"]]
    if name and name not in names:
        title = pod["metadata"]["name"]
        raise bad_request(f"container {name} is not valid for pod {title}")
    if not name and len(names) > 1:
        raise bad_request(
            f"a container name must be specified for pod {pod['metadata']['name']}, "
            f"choose one of: [{' '.join(names)}]"
        )


def _check_started(pod: Object) -> None:
    """A log is empty once the container runs, and there is none before."""
    name = pod["metadata"]["name"]
    if not pod["spec"].get("nodeName"):
        raise bad_request(f"pod {name} does not have a host assigned")
    for status in pod.get("status", {}).get("containerStatuses", ()):
        waits = status.get("state", {}).get("waiting")
        if waits and not status.get("restartCount"):
            raise bad_request(
                f'container "{status["name"]}" in pod "{name}" is waiting to start: '
                f"{waits.get('reason', 'ContainerCreating')}"
            )


def _told(lines: Sequence[Line], query: Mapping[str, str]) -> str:
    if "sinceTime" in query:
        since = int(datetime.fromisoformat(query["sinceTime"]).timestamp()) * _SECOND
        lines = [each for each in lines if each[0] >= since]
    if "sinceSeconds" in query:
        since = time.time_ns() - int(query["sinceSeconds"]) * _SECOND
        lines = [each for each in lines if each[0] >= since]
    if "tailLines" in query:
        count = int(query["tailLines"])
        lines = lines[-count:] if count else []
    stamped = query.get("timestamps") in ("true", "1")
    told = "".join(f"{_stamp(at)} {line}" if stamped else line for at, line in lines)
    if "limitBytes" in query:
        told = told.encode()[: int(query["limitBytes"])].decode(errors="replace")
    return told


def _stamp(at: int) -> str:
    seconds = datetime.fromtimestamp(at // _SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{seconds}.{at % _SECOND:09d}Z"

"""The logs of pods, whole or followed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from kubernetes_double.answers import bad_request
from kubernetes_double.objects import Object, now

__all__ = ["Logs"]

_TICK_S = 0.1
_OVER = ("Succeeded", "Failed")


class Logs:
    """What the containers of pods have written."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, str], str | Path] = {}
        self._previous: dict[tuple[str, str], str] = {}

    def set(self, namespace: str, pod: str, text: str | Path, *, previous: str = "") -> None:
        """A path is read anew each time. ``previous``: of the container before its restart."""
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
            return _cut(self._previous[place], query)
        if place not in self._texts:
            _check_started(pod)
        return _cut(self._read(place), query)

    def follow(
        self, pod: Object, query: Mapping[str, str], current: Callable[[], Object | None]
    ) -> Iterator[bytes | None]:
        """As it is written, until the pod is over; None now and then."""
        yield self.whole(pod, query).encode()
        place = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        told = len(self._read(place))
        while True:
            found = current()
            text = self._read(place)
            if len(text) > told:
                yield _cut(text[told:], {"timestamps": query.get("timestamps", "")}).encode()
                told = len(text)
            elif found is None or found.get("status", {}).get("phase") in _OVER:
                return
            else:
                yield None
                time.sleep(_TICK_S)

    def _read(self, place: tuple[str, str]) -> str:
        text = self._texts.get(place, "")
        if isinstance(text, Path):
            return text.read_text(errors="replace") if text.exists() else ""
        return text


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


def _cut(text: str, query: Mapping[str, str]) -> str:
    lines = text.splitlines(keepends=True)
    if "tailLines" in query:
        count = int(query["tailLines"])
        lines = lines[-count:] if count else []
    if query.get("timestamps") in ("true", "1"):
        lines = [f"{now()} {line}" for line in lines]
    cut = "".join(lines)
    if "limitBytes" in query:
        cut = cut.encode()[: int(query["limitBytes"])].decode(errors="replace")
    return cut

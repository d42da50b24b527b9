"""What can be wrong with an API server, or with what it lets a client do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from kubernetes_double.answers import forbidden
from kubernetes_double.kinds import Kind
from kubernetes_double.watching import Watches

__all__ = ["Fault", "Faults"]


@dataclass(frozen=True, slots=True)
class Fault:
    """An answer instead of the right one."""

    code: int
    """0: none; the connection is broken."""
    message: str
    retry_after_s: int | None = None
    method: str | None = None
    """None: of every method."""
    path: str = ""
    """What the path has to hold."""
    after: bool = False
    """Whether the request is carried out all the same, so that its answer alone is lost."""


class Faults:
    """Thread-safe."""

    def __init__(
        self, watches: Watches, go_away: Callable[[], None], come_back: Callable[[], None]
    ) -> None:
        self._lock = threading.Lock()
        self._next: list[list[Fault]] = []
        self._forbidden: set[tuple[str, str]] = set()
        self.cut_watches = watches.cut
        self.expire_watches = watches.expire
        self.go_away = go_away
        """Refuses connections, and breaks those that are open, until `come_back`."""
        self.come_back = come_back

    def answer(
        self,
        code: int,
        times: int = 1,
        *,
        message: str = "the server is not well",
        retry_after_s: int | None = None,
        method: str | None = None,
        path: str = "",
    ) -> None:
        """Answers the next requests, of those that match, with a status."""
        self._add(Fault(code, message, retry_after_s, method, path), times)

    def refuse(
        self, times: int = 1, *, after: bool = False, method: str | None = None, path: str = ""
    ) -> None:
        """Breaks the connection of the next requests; ``after``: once they are carried out."""
        self._add(Fault(0, "", None, method, path, after), times)

    def forbid(self, verb: str, resource: str) -> None:
        """403 from now on; ``*`` stands for every verb or resource, ``pods/log`` for a part."""
        with self._lock:
            self._forbidden.add((verb, resource))

    def permit(self) -> None:
        """Takes back what was forbidden."""
        with self._lock:
            self._forbidden.clear()

    def clear(self) -> None:
        with self._lock:
            self._next.clear()
            self._forbidden.clear()

    def of(self, method: str, path: str) -> Fault | None:
        """The fault of a request; counts as one of its times."""
        with self._lock:
            for i, same in enumerate(self._next):
                if same[0].method in (None, method) and same[0].path in path:
                    fault = same.pop()
                    if not same:
                        del self._next[i]
                    return fault
        return None

    def allows(self, verb: str, resource: str) -> bool:
        with self._lock:
            return not {(v, r) for v in (verb, "*") for r in (resource, "*")} & self._forbidden

    def check(self, verb: str, kind: Kind, part: str, namespace: str, name: str) -> None:
        """Raises ApiFault 403."""
        resource = f"{kind.plural}/{part}" if part else kind.plural
        if not self.allows(verb, resource):
            raise forbidden(kind, verb, resource, namespace, name)

    def _add(self, fault: Fault, times: int) -> None:
        with self._lock:
            self._next.append([fault] * times)

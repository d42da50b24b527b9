"""What a request asks for, read from its method, path and query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from kubernetes_double.answers import ApiFault
from kubernetes_double.kinds import Kind

__all__ = ["Answer", "Request", "Route", "routed"]

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "GET": "get", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Request:
    """As it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By names in lower case."""
    body: Any
    """What the JSON or YAML says; None: there was none."""
    at: float = 0.0
    """`time.monotonic`."""

    @classmethod
    def read(
        cls, method: str, target: str, headers: Iterable[tuple[str, str]], body: Any, at: float
    ) -> Request:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        lower = {name.lower(): value for name, value in headers}
        return cls(method, unquote(parts.path), query, lower, body, at)

    def asks(self, name: str) -> bool:
        """Whether a yes-or-no parameter is set."""
        return self.query.get(name, "").lower() in ("true", "1")


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: JSON, text, or pieces of it as they come."""

    content: Any
    """A dict, a str, or an iterator of bytes and None; None only looks whether anybody listens."""
    code: int = 200
    warnings: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes."""

    kind: Kind
    namespace: str
    name: str
    """Empty: the collection."""
    part: str
    """Such as ``status`` or ``log``; empty: the object."""
    verb: str
    """As permissions name it, such as ``deletecollection``."""


def routed(request: Request, kinds: Iterable[Kind]) -> Route:
    """Raises ApiFault 404 for a path of nothing, 405 for what is not done to it."""
    steps = [step for step in request.path.split("/") if step]
    for kind in kinds:
        root = ["apis", kind.group, kind.version] if kind.group else ["api", kind.version]
        if steps[: len(root)] == root and (found := _placed(steps[len(root) :], kind)):
            namespace, name, part = found
            return Route(kind, namespace, name, part, _verb(request, name))
    raise ApiFault(404, "404 page not found")


def _placed(steps: list[str], kind: Kind) -> tuple[str, str, str] | None:
    namespace = ""
    if kind.namespaced and len(steps) >= 3 and steps[0] == "namespaces":
        namespace, steps = steps[1], steps[2:]
    if not steps or steps[0] != kind.plural or len(steps) > 3:
        return None
    name, part = (*steps[1:], "", "")[:2]
    if kind.plural == "namespaces" and part not in ("", "status"):
        return None
    if name and kind.namespaced and not namespace:
        return None
    return namespace, name, part


def _verb(request: Request, name: str) -> str:
    verb = _VERBS.get(request.method)
    if verb is None or (not name and verb in ("update", "patch")) or (name and verb == "create"):
        raise ApiFault(405, "the server does not allow this method on the requested resource")
    if verb == "get" and not name:
        return "watch" if request.asks("watch") else "list"
    return "deletecollection" if verb == "delete" and not name else verb

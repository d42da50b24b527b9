"""What an API server says when it does not do as asked: a Status, and the code it comes with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kubernetes_double.kinds import Kind

__all__ = [
    "ApiFault",
    "Cause",
    "already_exists",
    "bad_request",
    "conflict",
    "forbidden",
    "gone",
    "invalid",
    "not_found",
    "success",
]

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class Cause(NamedTuple):
    """One thing that is wrong with an object."""

    field: str
    why: str
    reason: str


class ApiFault(Exception):  # noqa: N818 - an answer of the server, no error of ours
    """A request that is refused."""

    def __init__(
        self,
        code: int,
        message: str,
        reason: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = _REASONS.get(code, "Unknown") if reason is None else reason
        self.details = details

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            **({"reason": self.reason} if self.reason else {}),
            "code": self.code,
        }
        if self.details is not None:
            found["details"] = dict(self.details)
        return found


def _details(kind: Kind, name: str) -> dict[str, Any]:
    return {"name": name, **({"group": kind.group} if kind.group else {}), "kind": kind.plural}


def success(kind: Kind, name: str, uid: str) -> dict[str, Any]:
    """What a deletion answers that left nothing behind."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {**_details(kind, name), "uid": uid},
    }


def not_found(kind: Kind, name: str) -> ApiFault:
    return ApiFault(404, f'{kind.resource} "{name}" not found', details=_details(kind, name))


def already_exists(kind: Kind, name: str, *, ending: bool = False) -> ApiFault:
    first = "object is being deleted: " if ending else ""
    message = f'{first}{kind.resource} "{name}" already exists'
    return ApiFault(409, message, "AlreadyExists", _details(kind, name))


def conflict(kind: Kind, name: str, why: str = "") -> ApiFault:
    why = why or (
        "the object has been modified; please apply your changes to the latest version "
        "and try again"
    )
    return ApiFault(
        409,
        f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}',
        details=_details(kind, name),
    )


def bad_request(message: str) -> ApiFault:
    return ApiFault(400, message)


def gone(asked: int, oldest: int) -> ApiFault:
    return ApiFault(410, f"too old resource version: {asked} ({oldest})")


def forbidden(kind: Kind, verb: str, resource: str, namespace: str, name: str) -> ApiFault:
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    named = f'{kind.resource} "{name}"' if name else kind.resource
    return ApiFault(
        403,
        f'{named} is forbidden: User "tester" cannot {verb} resource "{resource}" '
        f'in API group "{kind.group}" {where}',
        details=_details(kind, name),
    )


def invalid(kind: Kind, name: str, causes: Sequence[Cause]) -> ApiFault:
    told = ", ".join(f"{cause.field}: {cause.why}" for cause in causes)
    many = f"[{told}]" if len(causes) > 1 else told
    details = {
        **_details(kind, name),
        "kind": kind.name,
        "causes": [
            {"reason": cause.reason, "message": cause.why, "field": cause.field} for cause in causes
        ],
    }
    return ApiFault(422, f'{kind.full_name} "{name}" is invalid: {many}', details=details)

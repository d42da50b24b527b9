"""What an API server says when it does not do as asked: a Status, and the code it comes with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["ApiFault", "already_exists", "bad_request", "conflict", "gone", "invalid", "not_found"]

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
        self.reason = reason or _REASONS.get(code, "Unknown")
        self.details = details

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details is not None:
            found["details"] = dict(self.details)
        return found


def not_found(resource: str, name: str) -> ApiFault:
    return ApiFault(404, f'{resource} "{name}" not found', details={"name": name})


def already_exists(resource: str, name: str) -> ApiFault:
    return ApiFault(409, f'{resource} "{name}" already exists', "AlreadyExists", {"name": name})


def conflict(resource: str, name: str) -> ApiFault:
    return ApiFault(
        409,
        f'Operation cannot be fulfilled on {resource} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again",
        details={"name": name},
    )


def bad_request(message: str) -> ApiFault:
    return ApiFault(400, message)


def gone(asked: int, oldest: int) -> ApiFault:
    return ApiFault(410, f"too old resource version: {asked} ({oldest})")


def invalid(kind: str, name: str, causes: Sequence[tuple[str, str]]) -> ApiFault:
    """``causes``: field, and what is wrong with it."""
    told = ", ".join(f"{field}: {why}" for field, why in causes)
    many = f"[{told}]" if len(causes) > 1 else told
    details = {
        "name": name,
        "kind": kind,
        "causes": [{"field": field, "message": why} for field, why in causes],
    }
    return ApiFault(422, f'{kind} "{name}" is invalid: {many}', details=details)

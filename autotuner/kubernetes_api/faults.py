"""What can come of a request to a Kubernetes API other than its answer.

One class for each thing that a caller does differently about; the text of each is one sentence, or
the server's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = [
    "ConflictError",
    "DeniedError",
    "ExpiredError",
    "ForbiddenError",
    "InvalidError",
    "KubernetesError",
    "NotThereError",
    "QuotaError",
    "UnreachableError",
    "error_of",
]

_MOST_CHARACTERS = 2000
_BUSY = (429, 500, 502, 503, 504)
_NOT_TYPED = "failed to create typed patch object"


class KubernetesError(Exception):
    """Base of all; never leaves the rooms that talk to Kubernetes."""


class UnreachableError(KubernetesError):
    """No answer, or one that says that there is none now: it may come later."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotThereError(KubernetesError):
    """There is no such object, or no such kind of objects."""


class ConflictError(KubernetesError):
    """The object is not in the state that the request was made for."""


class ExpiredError(KubernetesError):
    """The version to watch from is older than what the server remembers."""


class ForbiddenError(KubernetesError):
    """We may not do that, or the server does not know who we are."""


class QuotaError(ForbiddenError):
    """The namespace's quota is used up; that may change."""


class InvalidError(KubernetesError):
    """The object is not one that the server takes."""


class DeniedError(InvalidError):
    """An admission webhook, or a policy, refuses the object."""


def error_of(code: int, body: bytes, retry_after: str | None = None) -> KubernetesError:
    """The error that an answer of the server is.

    Args:
        code: HTTP status.
        body: A Status of Kubernetes, or whatever stands between us and it says.
    """
    message, reason = _said(code, body)
    if _NOT_TYPED in message:  # with status 500, as if it were the server's own trouble
        return InvalidError(message)
    if code in _BUSY:
        return UnreachableError(message, _seconds(retry_after))
    if code == 401:
        return ForbiddenError(
            f"the Kubernetes API does not accept our credentials ({message}); renew them, or "
            "correct the kubeconfig"
        )
    if code == 403 or "denied the request" in message:
        return _refusal(message)
    kinds = {404: NotThereError, 409: ConflictError, 410: ExpiredError}
    if reason == "Expired":
        return ExpiredError(message)
    return kinds.get(code, InvalidError)(message)


def _refusal(message: str) -> KubernetesError:
    if "exceeded quota" in message:
        return QuotaError(message)
    if "denied the request" in message or "violates PodSecurity" in message:
        return DeniedError(message)
    return ForbiddenError(message)


def _said(code: int, body: bytes) -> tuple[str, str]:
    """Message and reason of an answer."""
    content: object = None
    try:
        content = json.loads(body)
    except ValueError:
        text = body.decode(errors="replace")
    else:
        text = str(content)
    if isinstance(content, Mapping):
        status: Mapping[str, Any] = content
        text = str(status.get("message") or status.get("reason") or "")
        return _short(text) or f"HTTP status {code}", str(status.get("reason") or "")
    return f"HTTP status {code}: {_short(text)}", ""


def _short(text: str) -> str:
    return " ".join(text.split())[:_MOST_CHARACTERS]


def _seconds(retry_after: str | None) -> float | None:
    try:
        return float(retry_after) if retry_after is not None else None
    except ValueError:  # a date: our own pace will do
        return None

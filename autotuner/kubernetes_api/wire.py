"""Requests to one Kubernetes API server: JSON in, JSON out, in time or an error.

Of the `kubernetes` package this takes what is hard to get right, the credentials and the
connections, which its releases have in common; the generated methods differ between them.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import urllib3
from kubernetes.client.rest import RESTClientObject
from urllib3.exceptions import HTTPError

from autotuner.kubernetes_api.faults import KubernetesError, UnreachableError, error_of
from autotuner.version import __version__

__all__ = ["Answer", "Stream", "Wire"]

_CONNECT_S = 10.0
_ANSWER_S = 30.0
_PATIENCE_S = 30.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said to one request."""

    content: dict[str, Any]
    date: datetime | None
    """The server's clock."""


class Stream:
    """An answer that goes on; a context manager that ends it."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()
        self._response.release_conn()

    def lines(self) -> Iterator[bytes]:
        """Lines without their ends, as they come; the last one may have had none.

        Raises:
            UnreachableError: the connection broke, or nothing came for too long.
        """
        rest = b""
        try:
            while chunk := self._response.read1():
                *lines, rest = (rest + chunk).split(b"\n")
                yield from lines
        except (HTTPError, OSError, ValueError) as error:  # ValueError: it was closed meanwhile
            raise UnreachableError(f"the connection broke: {_said(error)}") from error
        if rest:
            yield rest

    def shut(self) -> None:
        """End it from another thread, which waits for more."""
        connection = getattr(self._response, "_connection", None)
        handle = getattr(connection, "sock", None)
        if handle is None:
            handle = getattr(getattr(self._response._fp, "fp", None), "raw", None)  # type: ignore[attr-defined]
            handle = getattr(handle, "_sock", None)
        if handle is not None:
            with contextlib.suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)


class Wire:
    """One server, as one user.

    Args:
        configuration: `kubernetes.client.Configuration`.
        patience_s: For how long a request is repeated while the server cannot be reached.
        give_up: Whether it is not to be repeated any more.
    """

    def __init__(
        self,
        configuration: Any,
        *,
        patience_s: float = _PATIENCE_S,
        give_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self._configuration = configuration
        self._pool = RESTClientObject(configuration).pool_manager
        self._patience_s = patience_s
        self._give_up = give_up

    @property
    def server(self) -> str:
        """Address of the server."""
        return str(self._configuration.host)

    def close(self) -> None:
        self._pool.clear()

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
        timeout_s: float = _ANSWER_S,
        patience_s: float | None = None,
    ) -> Answer:
        """Ask until there is an answer; every request here can be repeated.

        Args:
            timeout_s: For one answer.
            patience_s: Instead of the one of all requests; 0 asks once.

        Raises:
            KubernetesError: the server does not do it; `UnreachableError` where patience ended.
        """

        def once() -> Answer:
            response = self._send(method, path, query, body, content_type, timeout_s, stream=False)
            date = response.headers.get("Date")
            content = json.loads(response.data) if response.data else {}
            return Answer(content, parsedate_to_datetime(date) if date else None)

        return self._patiently(once, self._patience_s if patience_s is None else patience_s)

    def open(self, path: str, query: Mapping[str, str], *, silence_s: float) -> Stream:
        """An answer that is read as it comes; asked for once.

        Args:
            silence_s: A connection on which nothing comes for so long is given up.

        Raises:
            KubernetesError: as for `ask`.
        """
        return Stream(self._send("GET", path, query, None, "", silence_s, stream=True))

    def text(self, path: str, query: Mapping[str, str]) -> str:
        """An answer that is no JSON.

        Raises:
            KubernetesError: as for `ask`.
        """
        response = self._send("GET", path, query, None, "", _ANSWER_S, stream=False)
        return bytes(response.data).decode(errors="replace")

    def _patiently(self, once: Callable[[], Answer], patience_s: float) -> Answer:
        deadline = time.monotonic() + patience_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return once()
            except UnreachableError as error:
                wanted_s = max(pause_s, min(error.retry_after_s or 0.0, _LONGEST_PAUSE_S))
                if self._give_up() or time.monotonic() + wanted_s > deadline:
                    raise
            time.sleep(wanted_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object,
        content_type: str,
        timeout_s: float,
        *,
        stream: bool,
    ) -> urllib3.BaseHTTPResponse:
        url = f"{self.server}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = self._headers()
        if body is not None:
            headers["Content-Type"] = content_type
        try:
            response = self._pool.request(
                method,
                url,
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                timeout=urllib3.Timeout(connect=min(_CONNECT_S, timeout_s), read=timeout_s),
                retries=False,
                preload_content=not stream,
            )
        except (HTTPError, OSError) as error:
            raise UnreachableError(
                f"the Kubernetes API at {self.server} does not answer: {_said(error)}"
            ) from error
        if response.status >= 300:
            raise self._refusal(response)
        return response

    def _refusal(self, response: urllib3.BaseHTTPResponse) -> KubernetesError:
        try:
            body = response.data
        except (HTTPError, OSError):
            body = b""
        response.release_conn()
        return error_of(response.status, body, response.headers.get("Retry-After"))

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": f"autotuner/{__version__}"}
        try:
            settings = self._configuration.auth_settings()  # renews a token that has run out
        except Exception as error:  # whatever a credential plugin fails with
            raise UnreachableError(f"no credentials for {self.server}: {_said(error)}") from error
        for setting in settings.values():
            if setting["value"]:
                headers[setting["key"]] = setting["value"]
        return headers


def _said(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())

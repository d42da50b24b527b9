"""A small streaming client: warm-up requests and signs of life, not measurements of record."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from autotuner.bench.base import Target

__all__ = ["WORD", "ChatAnswer", "answer_of", "ask", "prompt_of", "served_models"]

WORD = "measure "
"""About one token, whoever counts."""
_CALIBRATION_WORDS = 32
_TEXT_KEYS = ("content", "reasoning_content", "reasoning")


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """One streamed chat completion; times in seconds from the start of the request."""

    ttft_s: float | None
    e2e_latency_s: float
    input_tokens: int | None
    output_tokens: int | None
    itl_s: tuple[float, ...] = ()
    """Between one chunk with text and the next."""


def served_models(url: str, *, timeout_s: float, api_key: str | None = None) -> tuple[str, ...]:
    """Names that ``GET /v1/models`` lists.

    Raises:
        OSError: no answer, or not one of an OpenAI-compatible server.
    """
    answer = answer_of(url, "/v1/models", timeout_s=timeout_s, api_key=api_key)
    try:
        return tuple(model["id"] for model in answer["data"])
    except (KeyError, TypeError) as error:
        raise OSError(f"GET /v1/models: {error}") from error


def answer_of(url: str, path: str, *, timeout_s: float, api_key: str | None = None) -> Any:
    """The JSON that a path answers with.

    Raises:
        OSError: no answer, or none that is JSON.
    """
    connection = _connect(url, timeout_s)
    try:
        connection.request("GET", path, headers=_headers(api_key))
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise OSError(f"GET {path}: HTTP {response.status}")
        return json.loads(body)
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"GET {path}: {error}") from error
    finally:
        connection.close()


def ask(
    target: Target,
    prompt: str,
    *,
    max_tokens: int,
    timeout_s: float,
    request: Mapping[str, object] | None = None,
    connected: Callable[[socket.socket], None] = lambda _: None,
    heard: Callable[[], None] = lambda: None,
    arrivals: list[float] | None = None,
) -> ChatAnswer:
    """Send one chat request and read its stream to the end.

    ``connected`` gets the socket before anything is sent; shutting it down ends the request.
    ``heard`` is called at each piece of the answer; ``arrivals`` gets the monotonic time of each
    that has text in it, as it comes.

    Raises:
        OSError: the server refused, broke off, or sent nothing for ``timeout_s``.
    """
    payload = {
        "model": target.served_name,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "temperature": 0.0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
        **(request or {}),
    }
    connection = _connect(target.url, timeout_s)
    started = time.monotonic()
    try:
        connection.connect()
        connected(connection.sock)
        connection.request(
            "POST", "/v1/chat/completions", json.dumps(payload), _headers(target.api_key)
        )
        response = connection.getresponse()
        if response.status != 200:
            text = response.read(2000).decode(errors="replace")
            raise OSError(f"HTTP {response.status}: {text}")
        return _read_stream(response, started, heard, [] if arrivals is None else arrivals)
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()


def prompt_of(
    target: Target,
    tokens: int,
    *,
    timeout_s: float,
    connected: Callable[[socket.socket], None] = lambda _: None,
) -> str:
    """A prompt of about ``tokens`` tokens as this server counts them, template included.

    Raises:
        OSError: see `ask`, whose ``connected`` it takes too.
    """
    sample = ask(
        target,
        WORD * _CALIBRATION_WORDS,
        max_tokens=1,
        timeout_s=timeout_s,
        connected=connected,
    )
    per_word = (sample.input_tokens or _CALIBRATION_WORDS) / _CALIBRATION_WORDS
    return WORD * max(1, int(tokens / per_word))


def _read_stream(
    response: http.client.HTTPResponse,
    started: float,
    heard: Callable[[], None],
    arrivals: list[float],
) -> ChatAnswer:
    usage: dict[str, Any] = {}
    ended = False
    for line in response:
        if not line.startswith(b"data: {"):
            ended = ended or line.startswith(b"data: [DONE]")
            continue
        now = time.monotonic()
        chunk = json.loads(line[len(b"data: ") :])
        if "error" in chunk:
            raise OSError(f"error in the stream: {chunk['error']}")
        heard()
        usage = chunk.get("usage") or usage
        choices = chunk.get("choices") or [{}]
        ended = ended or choices[0].get("finish_reason") is not None
        delta = choices[0].get("delta") or {}
        if any(delta.get(key) for key in _TEXT_KEYS):
            arrivals.append(now)
    if not ended:
        raise OSError("the stream broke off before its last event")
    if not usage and not arrivals:
        raise OSError("the stream ended without a token")
    return ChatAnswer(
        ttft_s=arrivals[0] - started if arrivals else None,
        e2e_latency_s=time.monotonic() - started,
        input_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
        itl_s=tuple(after - before for before, after in pairwise(arrivals)),
    )


def _connect(url: str, timeout_s: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.netloc, timeout=timeout_s)


def _headers(api_key: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if api_key is not None:
        headers["Authorization"] = f"Bearer {api_key}"
    return headers

"""As much HTTP/1.1 as the simulated server needs: one request in, bytes of a response out."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus

__all__ = ["Call", "end_of_stream", "error", "event", "json_response", "read_call", "stream_head"]

_LONGEST_BODY = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it was read."""

    method: str
    path: str
    body: bytes
    keep_alive: bool


async def read_call(reader: asyncio.StreamReader) -> Call | None:
    """The next request of a connection, or None where the client has closed it.

    Raises:
        ValueError: what came is not a request that this server understands.
    """
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except asyncio.LimitOverrunError as error:
        raise ValueError("headers too long") from error
    request_line, *lines = head.rstrip("\r\n").split("\r\n")
    words = request_line.split(" ")
    if len(words) != 3:
        raise ValueError("no request line")
    headers = dict(_header(line) for line in lines)
    if "transfer-encoding" in headers:
        raise ValueError("a body needs a Content-Length")
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= _LONGEST_BODY:
        raise ValueError("body too long")
    try:
        body = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    keep_alive = headers.get("connection", "").lower() != "close" and words[2] == "HTTP/1.1"
    return Call(words[0], words[1].partition("?")[0], body, keep_alive)


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


def json_response(content: object, status: int = 200) -> bytes:
    """A whole response; None as content gives an empty body."""
    body = b"" if content is None else json.dumps(content).encode()
    head = (
        f"HTTP/1.1 {status} {_phrase(status)}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def error(message: str, status: int, param: str | None = None) -> bytes:
    """A whole response in OpenAI's error format."""
    kind = _phrase(status).title().replace(" ", "") + "Error"
    content = {"message": message, "type": kind, "param": param, "code": status}
    return json_response({"error": content}, status)


def stream_head() -> bytes:
    """Status line and headers of a stream of events."""
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
        b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
    )


def event(content: object) -> bytes:
    """One server-sent event as one HTTP chunk."""
    return _chunk(b"data: " + json.dumps(content).encode() + b"\n\n")


def end_of_stream() -> bytes:
    """The last event, and the end of the chunks."""
    return _chunk(b"data: [DONE]\n\n") + _chunk(b"")


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"

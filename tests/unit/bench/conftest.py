"""A server that sends whatever bytes a test wants, as slowly as it wants."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest

from autotuner.bench.base import Target

Answer = Callable[["Exchange"], None]


class Exchange(socketserver.StreamRequestHandler):
    """One request on one connection, and the means to answer it."""

    server: ScriptedServer

    def handle(self) -> None:
        self.request_line = self.rfile.readline().decode().strip()
        self.headers = {}
        while line := self.rfile.readline().decode().strip():
            name, _, value = line.partition(": ")
            self.headers[name.lower()] = value
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.body = json.loads(body) if body else None
        self.server.seen.append(self)
        self.server.answer(self)

    def send(self, status: str = "200 OK", body: bytes = b"") -> None:
        """A whole response; the connection is closed behind it."""
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def stream(self, *events: object, chunked: bool = True, end: bool = True) -> None:
        """Events as server-sent events; without ``end`` the response stops in the middle."""
        kind = "Transfer-Encoding: chunked" if chunked else "Connection: close"
        self.wfile.write(f"HTTP/1.1 200 OK\r\n{kind}\r\n\r\n".encode())
        for event in events:
            text = event if isinstance(event, str) else json.dumps(event)
            data = f"data: {text}\n\n".encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n" if chunked else data)
        if chunked and end:
            self.wfile.write(b"0\r\n\r\n")

    def wait_for_the_client_to_leave(self) -> None:
        self.rfile.read(1)
        self.server.left.set()


class ScriptedServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    # Handlers end with their client, which is in the same process.
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.answer: Answer = Exchange.send
        self.seen: list[Exchange] = []
        self.left = threading.Event()
        """Set when a client has closed its connection before it was answered."""

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves early is what some tests are about."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as scripted:
        thread = threading.Thread(target=scripted.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield scripted
        scripted.shutdown()
        thread.join()


@pytest.fixture
def target(server: ScriptedServer) -> Target:
    return Target(server.url, "mine", "/models/tokenizer", "vllm")


@pytest.fixture
def token() -> Callable[..., dict[str, object]]:
    """An event with one piece of an answer."""

    def token(text: str | None = "word", finish: str | None = None, key: str = "content"):
        return {"choices": [{"delta": {key: text}, "finish_reason": finish}]}

    return token


@pytest.fixture
def usage() -> Callable[[int, int], dict[str, object]]:
    """The event with the counts."""
    return lambda read, made: {
        "choices": [],
        "usage": {"prompt_tokens": read, "completion_tokens": made},
    }

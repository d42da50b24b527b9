"""The double on the wire: HTTP/1.1 on loopback, as the clients of Kubernetes speak it."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml
from kubernetes_double.answers import ApiFault
from kubernetes_double.routes import Answer, Request

__all__ = ["Wire"]


class _Broken(Exception):  # noqa: N818
    """The connection is to end without a word."""


class Wire:
    """A server that can go away, and come back at the same port."""

    def __init__(self, answer: Callable[[Request], Answer | None]) -> None:
        self._answer = answer
        self._server: _Server | None = None
        self._port = 0
        self.come_back()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def come_back(self) -> None:
        if self._server is None:
            self._server = _Server(self._port, self._answer)
            self._port = self._server.server_address[1]
            threading.Thread(
                target=self._server.serve_forever,
                args=(0.02,),
                name="kubernetes-double",
                daemon=True,
            ).start()

    def go_away(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.end()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, answer: Callable[[Request], Answer | None]) -> None:
        self.answer = answer
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def end(self) -> None:
        self.server_close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go as they like."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Requests are recorded instead."""

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        sent = self.rfile.read(length) if length else b""
        try:
            answer = self._answered(sent)
        except ApiFault as fault:
            headers = {"Retry-After": "1"} if fault.code == 429 else {}
            # As of a path that nobody handles, which is no object's.
            nowhere = fault.message == "404 page not found"
            content = f"{fault.message}\n" if nowhere else fault.status
            answer = Answer(content, fault.code, headers=headers)
        except _Broken:
            self._break()
            return
        except Exception as error:
            # A mistake of the double itself, which a broken connection would hide.
            fault = ApiFault(500, f"the double failed: {type(error).__name__}: {error}")
            answer = Answer(fault.status, fault.code)
        content = answer.content
        if isinstance(content, str):
            self._send(answer, content.encode(), "text/plain")
        elif isinstance(content, dict):
            self._send(answer, json.dumps(content).encode(), "application/json")
        else:
            self._stream(answer, content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815

    def _answered(self, sent: bytes) -> Answer:
        try:
            body = yaml.safe_load(sent) if sent and sent[:1] not in b"{[" else None
            body = json.loads(sent) if body is None and sent else body
        except ValueError as error:
            raise ApiFault(400, f"invalid character in the body: {error}") from None
        request = Request.read(
            self.command, self.path, self.headers.items(), body, time.monotonic()
        )
        answer = self.server.answer(request)
        if answer is None:
            raise _Broken
        return answer

    def _head(self, answer: Answer, content_type: str) -> None:
        self.send_response(answer.code)
        self.send_header("Content-Type", content_type)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        for warning in answer.warnings:
            told = warning.replace("\\", "\\\\").replace('"', '\\"')
            self.send_header("Warning", f'299 - "{told}"')

    def _send(self, answer: Answer, content: bytes, content_type: str) -> None:
        self._head(answer, content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, answer: Answer, pieces: Iterable[bytes | None]) -> None:
        pieces = iter(pieces)
        first = next(pieces, b"")  # what is refused is refused before the head
        self._head(answer, "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self._write_chunk(first)
            for piece in pieces:
                self._write_chunk(piece)
                if piece is None and self._is_alone():
                    break
            self.wfile.write(b"0\r\n\r\n")
        except (ConnectionAbortedError, BrokenPipeError, ConnectionResetError):
            self._break()
        finally:
            pieces.close()  # type: ignore[attr-defined]

    def _write_chunk(self, piece: bytes | None) -> None:
        if piece:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def _is_alone(self) -> bool:
        """Whether the client has hung up."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def _break(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

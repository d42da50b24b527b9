"""An S3 server on loopback (moto's, in an environment of its own), and a line to it that can be
cut."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import fs

from autotuner.results.place import ObjectPlace, place_of

__all__ = ["Bucket", "Line", "serve"]

SERVER = Path(__file__).parents[2] / ".venvs" / "s3" / "bin" / "moto_server"
_STARTS_S = 120.0


class Line:
    """Forwards TCP connections to the server; while it is cut, it refuses all."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener: socket.socket | None = None
        self.port = 0
        self.mend()

    def cut(self) -> None:
        """No connection is accepted, and open ones are closed when they say something."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):  # wakes the thread that accepts
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def mend(self) -> None:
        if self._listener is not None:
            return
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._server))
            except OSError:
                return
            threading.Thread(target=self._forward, args=(listener, near, far), daemon=True).start()

    def _forward(self, listener: socket.socket, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        with near, far, selectors.DefaultSelector() as ready, contextlib.suppress(OSError):
            for end in other:
                ready.register(end, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    end = key.fileobj
                    assert isinstance(end, socket.socket)
                    said = end.recv(65536)
                    if not said or self._listener is not listener:
                        return
                    other[end].sendall(said)


class Bucket:
    """A new bucket of the server, reached by a line of its own."""

    def __init__(self, port: int) -> None:
        self.name = f"b-{uuid.uuid4().hex[:12]}"
        self.line = Line(port)
        self._direct = fs.S3FileSystem(
            endpoint_override=f"127.0.0.1:{port}",
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
        )
        self._direct.create_dir(self.name)

    def uri(self, prefix: str = "results/tiny") -> str:
        options = f"endpoint_override=127.0.0.1:{self.line.port}&scheme=http&region=us-east-1"
        return f"s3://{self.name}/{prefix}?{options}"

    def place(self, prefix: str = "results/tiny") -> ObjectPlace:
        place = place_of(self.uri(prefix))
        assert isinstance(place, ObjectPlace)
        return place

    def names(self) -> set[str]:
        """Of all objects, past the line."""
        found = self._direct.get_file_info(fs.FileSelector(self.name, recursive=True))
        return {i.path.removeprefix(f"{self.name}/") for i in found if i.is_file}


@contextlib.contextmanager
def serve() -> Iterator[int]:
    """The port of a server that runs until the end of the block; keys are in the environment."""
    if not SERVER.exists():
        pytest.skip(f"no S3 server at {SERVER}: `make test` installs one")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with subprocess.Popen(
        [str(SERVER), "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"]},
    ) as server:
        try:
            deadline = time.monotonic() + _STARTS_S
            while not _answers(port):
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield port
        finally:
            server.kill()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

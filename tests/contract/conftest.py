"""What the load generators need: a tokenizer, a scratch folder, and servers well and unwell."""

from __future__ import annotations

import contextlib
import itertools
import json
import select
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autotuner.bench.base import LoadContext, LoadGenerator
from autotuner.bench.genai_bench import find_executable
from autotuner.bench.registry import load_generator
from autotuner.errors import LaunchError
from autotuner.supervision.environment import clean_environment

PATIENCE_S = 120.0
"""An upper bound on what ends by itself; no test takes it."""


@pytest.fixture(scope="session")
def genai_bench() -> LoadGenerator:
    try:
        find_executable(None)
    except LaunchError as error:
        pytest.skip(str(error))
    return load_generator("genai-bench")


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tokenizer that counts bytes; written by hand, so that nothing is needed."""
    folder = tmp_path_factory.mktemp("tokenizer")
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    # The byte-level alphabet: printable bytes are themselves, the others begin at 256.
    alphabet = [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    content = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {**level, "use_regex": True},
        "decoder": {**level, "use_regex": True},
        "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate(alphabet)}, "merges": []},
    }
    (folder / "tokenizer.json").write_text(json.dumps(content))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 4096}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return str(folder)


@pytest.fixture(scope="session")
def make_context(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., LoadContext]:
    """A context with a scratch folder of its own, whose name finds the tool's processes."""

    def make(**changes: object) -> LoadContext:
        settings: dict[str, object] = {
            "folder": tmp_path_factory.mktemp("scratch"),
            "environment": clean_environment(add={"HF_HUB_OFFLINE": "1"}),
            "level_grace_s": PATIENCE_S,
        }
        return LoadContext(**{**settings, **changes})  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def command_lines() -> Callable[[Path], list[str]]:
    """Command lines of all live processes that name the folder."""

    def find(folder: Path) -> list[str]:
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found += [line] if str(folder) in line else []
        return found

    return find


@pytest.fixture(scope="session")
def sim() -> Callable[..., contextlib.AbstractContextManager[tuple[str, subprocess.Popen[str]]]]:
    """Run the simulated server, which serves the model ``mine``; its URL and process."""

    @contextlib.contextmanager
    def sim(*flags: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
        argv = [sys.executable, "-m", "autotuner.engines.sim_server", "--model", "/models/m"]
        argv += ["--served-model-name", "mine", "--port", "0", "--time-scale", "0.2", *flags]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield process.stdout.readline().split()[-1], process
            finally:
                process.kill()

    return sim


class UnwellServer(socketserver.ThreadingTCPServer):
    """Answers each chat request as ``mood`` says, called with the request's number from 0."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.mood: Callable[[int], str] = lambda _: "serve"
        self.payloads: list[dict[str, object]] = []
        self.keys: set[str] = set()
        self.lock = threading.Lock()
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that leave in the middle are what these tests are about."""


class _Request(socketserver.StreamRequestHandler):
    server: UnwellServer
    connection: socket.socket

    def handle(self) -> None:
        self.rfile.readline()
        headers = {}
        while line := self.rfile.readline().decode().strip():
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        payload = json.loads(self.rfile.read(int(headers["content-length"])))
        with self.server.lock:
            number = len(self.server.payloads)
            self.server.payloads.append(payload)
            self.server.keys.add(headers.get("authorization", ""))
        self.wanted = payload.get("max_tokens") if payload.get("ignore_eos") else None
        getattr(self, self.server.mood(number))(number)

    def serve(self, number: int) -> None:
        self._stream(self._tokens(self.wanted or 3))

    def one_token(self, number: int) -> None:
        self._stream(self._tokens(1))

    def error(self, number: int) -> None:
        time.sleep(0.01)
        body = b'{"error": {"message": "refused on demand"}}'
        head = f"HTTP/1.1 500 Oh\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def error_inside(self, number: int) -> None:
        error = {"error": {"message": "out of blocks on demand", "code": 503}}
        self._stream(itertools.chain(itertools.islice(self._tokens(5), 2), [error]))

    def break_chunked(self, number: int) -> None:
        self._stream(itertools.islice(self._tokens(5), 2), end=False)

    def break_plain(self, number: int) -> None:
        self._stream(itertools.islice(self._tokens(5), 2), chunked=False, end=False)

    def hang(self, number: int) -> None:
        """Answer nothing for as long as this is the mood."""
        while self.server.mood(number) == "hang" and not self.server.closing.is_set():
            if select.select([self.connection], [], [], 0.05)[0]:
                raise ConnectionAbortedError("the client has left")
        getattr(self, self.server.mood(number))(number)

    def _tokens(self, count: int) -> Iterator[object]:
        for i in range(count):
            finish = "length" if i == count - 1 else None
            yield {"choices": [{"delta": {"content": "word "}, "finish_reason": finish}]}
        yield {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": count}}

    def _stream(self, events: Iterator[object], *, chunked: bool = True, end: bool = True) -> None:
        kind = "Transfer-Encoding: chunked" if chunked else "Connection: close"
        self.wfile.write(f"HTTP/1.1 200 OK\r\n{kind}\r\n\r\n".encode())
        for event in itertools.chain(map(json.dumps, events), ["[DONE]"] if end else []):
            data = f"data: {event}\n\n".encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n" if chunked else data)
            time.sleep(0.002)
        if chunked and end:
            self.wfile.write(b"0\r\n\r\n")


@pytest.fixture(scope="session")
def unwell() -> Callable[..., contextlib.AbstractContextManager[UnwellServer]]:
    """Run a server that is unwell in ways in which the simulated engine is not."""

    @contextlib.contextmanager
    def unwell(mood: Callable[[int], str] = lambda _: "serve") -> Iterator[UnwellServer]:
        with UnwellServer() as server:
            server.mood = mood
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            try:
                yield server
            finally:
                server.closing.set()
                server.shutdown()
                thread.join()

    return unwell

"""A headless Chromium, spoken to over its DevTools protocol through two pipes.

Pipes, since they need neither a port nor a library. The browser lives as long as the ``with``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import psutil

from autotuner.errors import OutputError

__all__ = ["BROWSERS", "Browser", "find_browser", "open_browser"]

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
)
_CHUNK = 1 << 16
_END_S = 5.0
_COMMANDS, _REPLIES = 3, 4
"""Descriptors on which the browser reads commands and answers."""
_NOT_THOSE = 10


class Browser:
    """One page of a headless browser."""

    def __init__(self, commands: IO[bytes], replies: IO[bytes]) -> None:
        """Use `open_browser`."""
        self._commands = commands
        self._replies = replies
        self._buffer = b""
        self._last_id = 0
        self._session: str | None = None
        self.events: list[Mapping[str, object]] = []
        """What the page has said of itself so far, e.g. its console."""

    def attach(self, timeout_s: float) -> None:
        """Open an empty page."""
        target = self.call("Target.createTarget", {"url": "about:blank"}, timeout_s=timeout_s)
        attached = self.call(
            "Target.attachToTarget", {"targetId": target["targetId"], "flatten": True}
        )
        self._session = str(attached["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def open(self, url: str, timeout_s: float = 60.0) -> None:
        """Load a page, and wait until it is there.

        Raises:
            OutputError: it does not load in time.
        """
        self.events.clear()
        self.call("Page.navigate", {"url": url}, timeout_s=timeout_s)
        deadline = time.monotonic() + timeout_s
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next(deadline))

    def evaluate(self, expression: str, timeout_s: float = 60.0) -> object:
        """The value of a JavaScript expression; a promise is waited for.

        Raises:
            OutputError: it throws.
        """
        answer = self.call(
            "Runtime.evaluate",
            {"expression": expression, "awaitPromise": True, "returnByValue": True},
            timeout_s=timeout_s,
        )
        if "exceptionDetails" in answer:
            raise OutputError(f"the report's page failed: {answer['exceptionDetails']}")
        result = answer["result"]
        return result.get("value") if isinstance(result, dict) else None

    def call(
        self, method: str, parameters: Mapping[str, object] | None = None, timeout_s: float = 60.0
    ) -> Mapping[str, object]:
        """Send a command of the protocol and return its result.

        Raises:
            OutputError: it is refused, or the browser has ended or is silent.
        """
        self._last_id += 1
        message: dict[str, object] = {
            "id": self._last_id,
            "method": method,
            "params": dict(parameters or {}),
        }
        if self._session is not None:
            message["sessionId"] = self._session
        try:
            self._commands.write(json.dumps(message).encode() + b"\0")
            self._commands.flush()
        except OSError as error:
            raise OutputError(f"the browser has ended: {error}") from error
        deadline = time.monotonic() + timeout_s
        while (answer := self._next(deadline)).get("id") != self._last_id:
            if "method" in answer:
                self.events.append(answer)
        if "error" in answer:
            raise OutputError(f"the browser refused {method}: {answer['error']}")
        result = answer["result"]
        return result if isinstance(result, dict) else {}

    def _next(self, deadline: float) -> Mapping[str, object]:
        while b"\0" not in self._buffer:
            left_s = max(0.0, deadline - time.monotonic())
            if not select.select([self._replies], [], [], left_s)[0]:
                raise OutputError("the browser does not answer")
            chunk = os.read(self._replies.fileno(), _CHUNK)
            if not chunk:
                raise OutputError("the browser has ended")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: Mapping[str, object] = json.loads(line)
        return message


def find_browser() -> str | None:
    """Path of a Chromium or one of its kin, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextlib.contextmanager
def open_browser(timeout_s: float = 60.0) -> Iterator[Browser]:
    """Start a headless browser; it is ended with the block.

    Raises:
        OutputError: there is none, or it does not start.
    """
    program = find_browser()
    if program is None:
        raise OutputError(
            f"PNGs are drawn by a browser, and none is on the PATH (looked for "
            f"{', '.join(BROWSERS)}); install Chromium or Chrome, or leave out --png"
        )
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        _started([program, *_switches(Path(profile))]) as (commands, replies),
    ):
        browser = Browser(commands, replies)
        browser.attach(timeout_s)
        yield browser


@contextlib.contextmanager
def _started(command: list[str]) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The browser's two pipes; it is ended, with all it has started, when the block is left."""
    reads, commands = os.pipe()
    replies, writes = os.pipe()
    # Elsewhere first: either may have got a number that the other is to have.
    inner = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _NOT_THOSE) for fd in (reads, writes)]
    with os.fdopen(commands, "wb") as to_browser, os.fdopen(replies, "rb") as from_browser:
        try:
            pid = os.posix_spawn(
                command[0],
                command,
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
                    (os.POSIX_SPAWN_DUP2, 0, 1),
                    (os.POSIX_SPAWN_DUP2, 0, 2),
                    (os.POSIX_SPAWN_DUP2, inner[0], _COMMANDS),
                    (os.POSIX_SPAWN_DUP2, inner[1], _REPLIES),
                ],
                setsid=True,
            )
        finally:
            for fd in (reads, writes, *inner):
                os.close(fd)
        try:
            yield to_browser, from_browser
        finally:
            _end(psutil.Process(pid))


def _switches(profile: Path) -> list[str]:
    switches = [
        "--headless=new",
        "--remote-debugging-pipe",
        f"--user-data-dir={profile}",
        "--no-first-run",
        "--disable-gpu",
        "--disable-extensions",
        "--hide-scrollbars",
        # In a container /dev/shm may be too small for it.
        "--disable-dev-shm-usage",
    ]
    # Chromium's sandbox refuses to run as root. It shows nothing but our own file.
    return [*switches, "--no-sandbox"] if os.geteuid() == 0 else switches


def _end(process: psutil.Process) -> None:
    """End the browser and all it has started; it leads a session of its own."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(_END_S)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)

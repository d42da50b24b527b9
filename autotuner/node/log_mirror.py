"""The logs of a running attempt, copied to where people watch the cluster."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from autotuner.supervision.environment import MASK

__all__ = ["mirrored_logs"]

_PERIOD_S = 2.0
_KEPT_BYTES = 2_000_000
"""Of a copy; one that grows beyond loses its older half."""
_KEPT_FILES = 100
"""Copies in the folder, of all attempts of all studies together."""
_LAST_S = 2.0
"""The devices are still held."""


@contextmanager
def mirrored_logs(
    source: Path, target: Path | None, prefix: str, secrets: Iterable[str]
) -> Iterator[None]:
    """While the block runs, keep a copy of each ``*.log`` of ``source`` in ``target``.

    Copies lag by seconds, hold no secret, and stay. They are a view: whatever goes wrong with
    them is nobody's failure.

    Args:
        target: None: nobody looks.
        prefix: Of the copies' names; ends with the attempt's id.
    """
    if target is None:
        yield
        return
    mirror = _Mirror(source, target, prefix, secrets)
    mirror.start()
    try:
        yield
    finally:
        mirror.finish()


class _Mirror(threading.Thread):
    def __init__(self, source: Path, target: Path, prefix: str, secrets: Iterable[str]) -> None:
        super().__init__(name="log mirror", daemon=True)
        self._source, self._target, self._prefix = source, target, prefix
        hidden = sorted({secret.encode() for secret in secrets if secret}, key=len, reverse=True)
        self._secrets = re.compile(b"|".join(re.escape(secret) for secret in hidden) or b"(?!)")
        self._longest = len(hidden[0]) if hidden else 1
        self._shown: dict[str, int] = {}
        """File name -> bytes of it that need not be looked at again."""
        self._ending = threading.Event()

    def run(self) -> None:
        with suppress(OSError):
            _remove_old(self._target)
            while not self._ending.wait(_PERIOD_S):
                self._copy(last=False)
            self._copy(last=True)

    def finish(self) -> None:
        """Copy the rest; called before the logs are removed."""
        self._ending.set()
        self.join(_LAST_S)

    def _copy(self, *, last: bool) -> None:
        for path in sorted(self._source.glob("*.log")):
            with suppress(FileNotFoundError):
                self._copy_one(path, self._target / f"{self._prefix}-{path.name}", last=last)

    def _copy_one(self, path: Path, copy: Path, *, last: bool) -> None:
        shown = self._shown.get(path.name, 0)
        skipped = path.stat().st_size - shown > _KEPT_BYTES
        if skipped:
            shown = path.stat().st_size - _KEPT_BYTES // 2
        # After a leap, a secret may have begun before.
        start = max(0, shown - self._longest + 1) if skipped else shown
        with path.open("rb") as file:
            file.seek(start)
            raw = file.read(_KEPT_BYTES + self._longest)
        # A secret may be half written.
        known = len(raw) if last else max(0, len(raw) - self._longest + 1)
        text, end = self._masked(raw, shown - start, known)
        self._shown[path.name] = max(shown, start + end)
        if text:
            _append(copy, text)

    def _masked(self, raw: bytes, begin: int, end: int) -> tuple[bytes, int]:
        """``raw`` from ``begin`` to ``end``, or to the end of a secret there; and that end."""
        parts = []
        at = 0
        for match in self._secrets.finditer(raw):
            if match.start() >= end:
                break
            parts.append(raw[max(at, begin) : max(match.start(), begin)])
            parts.append(MASK.encode() if match.end() > begin else b"")
            at = match.end()
        parts.append(raw[max(at, begin) : max(at, end)])
        return b"".join(parts), max(at, end)


def _append(copy: Path, text: bytes) -> None:
    # Opened anew each time: whoever removes old copies may have taken it.
    with copy.open("ab") as file:
        file.write(text)
        size = file.tell()
    if size <= _KEPT_BYTES:
        return
    with copy.open("rb") as file:
        file.seek(size - _KEPT_BYTES // 2)
        kept = file.read().partition(b"\n")[2]
    copy.write_bytes(b"[... the logs in the results folder have the start ...]\n" + kept)


def _remove_old(folder: Path) -> None:
    copies = [(path.stat().st_mtime, path) for path in folder.glob("autotuner-*.log")]
    for _, path in sorted(copies, reverse=True)[_KEPT_FILES:]:
        path.unlink(missing_ok=True)

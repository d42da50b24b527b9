"""What a driver writes to an object store, by way of its own disk.

The driver must not wait for a store that does not answer, and what was measured must not be lost
with it. So each object goes to a local folder first, the spool, and from there to the store, in
order, by a thread that tries again for as long as the driver runs. The driver is the only writer:
which objects there are it knows by itself, and asks the store for no names.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from pyarrow import fs

from autotuner.errors import OutputError
from autotuner.results.place import ObjectPlace, read_object, write_object

__all__ = ["PATIENCE_S", "Uploads"]

Value = TypeVar("Value")

PATIENCE_S = 300.0
"""How long the end of a study, or a driver with nothing else to do, waits for the store."""
_FIRST_PAUSE_S = 1.0
_LOOK_S = 0.5
_LONGEST_PAUSE_S = 30.0
_TOLD_CHARACTERS = 300


class Uploads:
    """The objects below one place, written by this driver alone.

    Args:
        spool: A folder for objects on their way; what lies there is uploaded first.
        write_file: Puts a file on the disk, whole and safe from a power loss.
        may_write: Whether the place is certainly ours at the moment.
    """

    def __init__(
        self,
        place: ObjectPlace,
        spool: Path,
        write_file: Callable[[Path, bytes], None],
        may_write: Callable[[], bool],
    ) -> None:
        self._files, self._root, self._name = place.files, place.path, str(place)
        self._spool, self._write_file, self._may_write = spool, write_file, may_write
        self._changed = threading.Condition()
        self._closing = False
        self._notes: deque[str] = deque()
        self._names = self._listed()
        self._waiting: deque[tuple[str, Path]] = deque()
        self._sent = spool / "sent"
        shutil.rmtree(self._sent, ignore_errors=True)
        self._sent.mkdir()
        self._kept: dict[str, Path] = {}
        """Copies of what is in the store: a study that goes on from its results needs no store."""
        self._number = 0
        for file in spooled(spool):
            number, _, key = file.name.partition("-")
            self._number = max(self._number, int(number))
            self._waiting.append((f"{self._root}/{unquote(key)}", file))
            self._names.add(self._waiting[-1][0])
        self._thread = threading.Thread(target=self._upload_all, name="uploads", daemon=True)
        self._thread.start()

    def has(self, path: str) -> bool:
        """Whether there is an object of this name, or any below it."""
        return path in self._names or any(self.below(path))

    def below(self, path: str) -> set[str]:
        """The next parts of the names of all objects below."""
        start = f"{path}/"
        with self._changed:
            return {n[len(start) :].split("/")[0] for n in self._names if n.startswith(start)}

    def read(self, path: str) -> bytes:
        """Raises FileNotFoundError, OSError."""
        with self._changed:
            mine = [file for name, file in self._waiting if name == path]
            if not mine and path in self._kept:
                mine = [self._kept[path]]
            if mine:
                return mine[-1].read_bytes()
            if path not in self._names:
                raise FileNotFoundError(f"{path} is not there")
        content = self._patiently(lambda: read_object(self._files, path))
        self._keep(path, content)
        return content

    def put(self, path: str, content: bytes) -> None:
        """Have the object written; returns when it is safe on this machine's disk.

        Raises:
            OutputError: this machine's disk refuses.
        """
        with self._changed:
            self._number += 1
            key = quote(path.removeprefix(f"{self._root}/"), safe="")
            file = self._spool / f"{self._number:08d}-{key}"
            self._write_file(file, content)
            self._waiting.append((path, file))
            self._names.add(path)
            self._changed.notify_all()

    def delete(self, path: str) -> None:
        """Delete an object that may be there, after all that is on its way. Raises OSError."""
        self.flush(PATIENCE_S)
        if path in self._names:
            self._patiently(lambda: self._files.delete_file(path))
            with self._changed:
                self._names.discard(path)
                self._kept.pop(path, None)

    def notes(self) -> list[str]:
        """What a person should know of since the last call."""
        with self._changed:
            told = list(self._notes)
            self._notes.clear()
        return told

    def flush(self, timeout_s: float, on_note: Callable[[str], None] = lambda note: None) -> None:
        """Wait until everything is in the store.

        Args:
            on_note: Told what a person should know meanwhile.

        Raises:
            OutputError: it is not, and where it lies.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            with self._changed:
                left_s = max(0.0, deadline - time.monotonic())
                done = self._changed.wait_for(lambda: not self._waiting, min(left_s, _LOOK_S))
                left = len(self._waiting)
            for text in self.notes():
                on_note(text)
            if done:
                return
            if time.monotonic() >= deadline:
                break
        raise OutputError(
            f"{self._name} could not be written for {timeout_s:.0f} s: {left} files with results "
            f"lie in {self._spool}; the same command on this machine uploads them and goes on"
        )

    def close(self) -> None:
        """End the thread; what is on its way stays in the spool."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _listed(self) -> set[str]:
        selector = fs.FileSelector(self._root, allow_not_found=True, recursive=True)
        found = self._files.get_file_info(selector)
        return {info.path for info in found if info.type is fs.FileType.File}

    def _upload_all(self) -> None:
        pause_s, failed_since = _FIRST_PAUSE_S, None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting) or self._closing)
                if self._closing:
                    return
                path, file = self._waiting[0]
            try:
                if not self._may_write():
                    raise OSError("the lease of this place has not been renewed of late")
                write_object(self._files, path, file.read_bytes())
            except Exception as error:  # whatever it is: what was measured is not given up
                if failed_since is None:
                    failed_since = time.monotonic()
                    self._note(
                        f"{self._name} cannot be written: {_told(error)}; measuring goes on, and "
                        f"results wait in {self._spool}"
                    )
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            if failed_since is not None:
                self._note(
                    f"{self._name} is written again, after {time.monotonic() - failed_since:.0f} s"
                )
            pause_s, failed_since = _FIRST_PAUSE_S, None
            with self._changed:
                self._waiting.popleft()
                self._kept[path] = file.replace(self._sent / file.name)
                self._changed.notify_all()

    def _keep(self, path: str, content: bytes) -> None:
        with self._changed, suppress(OSError):
            self._number += 1
            file = self._sent / f"{self._number:08d}"
            file.write_bytes(content)
            self._kept.setdefault(path, file)

    def _note(self, text: str) -> None:
        with self._changed:
            self._notes.append(text)

    def _patiently(self, act: Callable[[], Value]) -> Value:
        deadline, pause_s = time.monotonic() + PATIENCE_S, _FIRST_PAUSE_S
        while True:
            try:
                return act()
            except FileNotFoundError:
                raise
            except OSError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def spooled(spool: Path) -> list[Path]:
    """Files of a spool in the order in which they were written."""
    return sorted(p for p in spool.iterdir() if p.name[:8].isdigit() and p.name[8:9] == "-")


def _told(error: Any) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _TOLD_CHARACTERS else text[:_TOLD_CHARACTERS] + " ..."

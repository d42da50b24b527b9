"""One writer at a time: two drivers in one folder would give their attempts the same names."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EAGAIN
from pathlib import Path

from autotuner.errors import OutputError

__all__ = ["sole_writer"]

# Hidden, so that no reader takes it for a result.
_NAME = ".writer"


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold the folder, made where it is missing.

    The kernel lets go of it when this process ends, however it ends.

    Raises:
        OutputError: another process holds the folder, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise OutputError(f"results folder {folder} cannot be written: {error}") from error
    try:
        _lock(handle, folder)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (EACCES, EAGAIN):
            return  # a file system without locks: better unguarded than unusable
        holder = os.read(handle, 200).decode(errors="replace") or "another process"
        raise OutputError(
            f"{folder} is being written by {holder}; wait for its end, interrupt it, or choose "
            "another folder with --output"
        ) from error
    os.ftruncate(handle, 0)
    os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())

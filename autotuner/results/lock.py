"""One writer at a time: two drivers in one place would give their attempts the same names."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EACCES, EAGAIN
from pathlib import Path

from autotuner.errors import OutputError
from autotuner.results.files import write_file
from autotuner.results.place import ObjectPlace, Place
from autotuner.results.uploads import PATIENCE_S, Uploads, spooled
from autotuner.results.writer_lease import Holder, WriterLease, holder_of, new_holder

__all__ = ["Writing", "is_written", "lease_of", "sole_writer"]

# Hidden, so that no reader takes it for a result.
_NAME = ".writer"
_TOKEN_FILE = "token"  # noqa: S105 - names a driver, and opens nothing
_HURRY_S = 5.0


@dataclass(frozen=True, slots=True)
class Writing:
    """Results that are ours to write."""

    place: Place
    """Write through this one."""
    look: Callable[[], list[str]] = list
    """What a person should know of since the last call; raises OutputError where the place has
    been taken over."""


@contextmanager
def sole_writer(
    place: Place, on_note: Callable[[str], None] = lambda note: None
) -> Iterator[Writing]:
    """Hold the place; a folder is made where it is missing.

    The kernel lets go of a folder when this process ends, however it ends. Of an object store,
    and of a file system without locks, a lease is held, which runs out.

    Args:
        on_note: Told why it waits for an earlier writer.

    Raises:
        OutputError: another process holds the place, or it cannot be written; at the end, what
            was written could not be brought to the store, and where it lies.
    """
    if isinstance(place, ObjectPlace):
        with _object_writer(place, on_note) as writing:
            yield writing
        return
    handle = _open(place, shown=place)
    try:
        locked = _lock(handle, place)
        if locked:
            yield Writing(place)
        else:
            with _leased(place, on_note) as writing:
                yield writing
    finally:
        os.close(handle)


def is_written(place: Place) -> bool:
    """Whether somebody holds the place, or has died without letting go of a lease.

    Raises:
        OutputError: the place cannot be read.
    """
    try:
        if isinstance(place, Path):
            handle = _open(place, shown=place)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
            except OSError as error:
                if error.errno in (EACCES, EAGAIN):
                    return True
            finally:
                os.close(handle)
    except OSError as error:
        raise OutputError(f"{place} cannot be read: {error}") from error
    return lease_of(place) is not None


def lease_of(place: Place) -> Holder | None:
    """What the lease of the place says; None where there is none, or a lock that needs none.

    Raises:
        OutputError: the place cannot be read.
    """
    try:
        return holder_of(place / _NAME)
    except OSError as error:
        raise OutputError(f"{place} cannot be read: {error}") from error


def _open(folder: Path, shown: Place) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / _NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise OutputError(f"results folder {shown} cannot be written: {error}") from error


def _lock(handle: int, shown: Place) -> bool:
    """Whether it is locked now; False on a file system without locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (EACCES, EAGAIN):
            return False
        holder = os.read(handle, 200).decode(errors="replace") or "another process"
        raise OutputError(
            f"{shown} is being written by {holder}; wait for its end, interrupt it, or choose "
            "another folder with --output"
        ) from error
    os.ftruncate(handle, 0)
    os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
    return True


@contextmanager
def _leased(folder: Path, on_note: Callable[[str], None]) -> Iterator[Writing]:
    """A folder of a file system without locks."""
    try:
        lease = WriterLease.take(folder / _NAME, new_holder(), _write, on_note=on_note)
    except OSError as error:
        raise OutputError(f"results folder {folder} cannot be written: {error}") from error

    def look() -> list[str]:
        lease.check()
        return []

    try:
        yield Writing(folder, look)
    finally:
        lease.release()


@contextmanager
def _object_writer(place: ObjectPlace, on_note: Callable[[str], None]) -> Iterator[Writing]:
    spool = _spool_of(place)
    handle = _open(spool, shown=spool)
    try:
        # Held on this machine, its earlier writer here is certainly dead: nothing to wait for.
        _lock(handle, place)
        with _spooled_writer(place, spool, on_note) as writing:
            yield writing
    finally:
        os.close(handle)


@contextmanager
def _spooled_writer(
    place: ObjectPlace, spool: Path, on_note: Callable[[str], None]
) -> Iterator[Writing]:
    lease = _taken(place, spool, on_note)
    uploads: Uploads | None = None
    patience_s = PATIENCE_S
    try:
        try:
            uploads = Uploads(place, spool, write_file, lambda: lease.is_sure)
        except OSError as error:
            raise OutputError(f"{place} cannot be read: {error}") from error
        sure = uploads

        def look() -> list[str]:
            lease.check()
            return sure.notes()

        yield Writing(place.written_by(uploads), look)
    except BaseException as error:
        patience_s = PATIENCE_S if isinstance(error, Exception) else _HURRY_S
        raise
    finally:
        _end(lease, uploads, spool, patience_s, on_note)


def _end(
    lease: WriterLease,
    uploads: Uploads | None,
    spool: Path,
    patience_s: float,
    on_note: Callable[[str], None],
) -> None:
    try:
        lease.check()
        if uploads is not None:
            uploads.flush(patience_s, on_note)
    except OutputError:
        if uploads is not None:
            uploads.close()
        # Left as it is, it says to this machine's next driver that nobody wrote in between.
        lease.abandon()
        raise
    if uploads is not None:
        uploads.close()
    if lease.release():
        shutil.rmtree(spool, ignore_errors=True)


def _taken(place: ObjectPlace, spool: Path, on_note: Callable[[str], None]) -> WriterLease:
    """The lease; what an earlier driver has left in the spool stays there only if it is next."""
    holder = new_holder()
    earlier = None
    with suppress(OSError):
        earlier = (spool / _TOKEN_FILE).read_text()
    try:
        before = holder_of(place / _NAME)
        lease = WriterLease.take(place / _NAME, holder, _write, dead=earlier, on_note=on_note)
    except OSError as error:
        raise OutputError(f"{place} cannot be written: {error}") from error
    left = spooled(spool)
    if left and (before is None or before.token != earlier):
        aside = spool.with_name(f"{spool.name}-left-{time.strftime('%Y%m%d-%H%M%S')}")
        aside.mkdir()
        for file in left:
            file.rename(aside / file.name)
        on_note(
            f"another driver has written {place} since; what an earlier one on this machine could "
            f"not upload is not mixed with it, and lies in {aside} ({len(left)} files)"
        )
    elif left:
        on_note(f"{len(left)} files that an earlier driver could not upload go to {place} first")
    write_file(spool / _TOKEN_FILE, holder.token.encode())
    return lease


def _write(place: Place, content: bytes) -> None:
    if isinstance(place, ObjectPlace):
        place.write_bytes(content)
    else:
        write_file(place, content)


def _spool_of(place: ObjectPlace) -> Path:
    """This machine's folder for what is on its way to the place."""
    state = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
    digest = hashlib.sha256(f"{place} {place.endpoint}".encode()).hexdigest()[:12]
    readable = re.sub(r"[^A-Za-z0-9]+", "-", place.path)[-40:].strip("-")
    return state / "autotuner" / "spool" / f"{readable}-{digest}"

"""Asking the driver of a results folder to stop, from another shell or another machine.

A file says it: the folder is what the two are sure to share, and only who may write there may
stop what is written there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from autotuner.errors import OutputError
from autotuner.results.files import ResultPaths
from autotuner.results.lock import is_written, lease_of
from autotuner.results.place import ObjectPlace

__all__ = ["ask_to_stop", "stop_requests"]

_POLL_S = 0.1
_STORE_POLL_S = 2.0


@contextmanager
def stop_requests(paths: ResultPaths) -> Iterator[Callable[[], bool]]:
    """For the driver, which holds the folder: whether somebody wants it to stop.

    Raises:
        OutputError: the folder cannot be written.
    """
    request = paths.stop_request
    try:
        request.unlink(missing_ok=True)  # meant for an earlier driver
    except OSError as error:
        raise OutputError(f"{paths.root} cannot be written: {error}") from error
    try:
        if isinstance(request, Path):
            yield request.exists
        else:
            with _watched(request) as wanted:
                yield wanted
    finally:
        with suppress(OSError):
            request.unlink(missing_ok=True)


@contextmanager
def _watched(request: ObjectPlace) -> Iterator[Callable[[], bool]]:
    """In a thread: a store that does not answer must not hold up the driver."""
    closing, wanted = threading.Event(), threading.Event()

    def watch() -> None:
        while not wanted.is_set() and not closing.wait(_STORE_POLL_S):
            with suppress(OSError):
                if request.exists():
                    wanted.set()

    thread = threading.Thread(target=watch, name="stop requests", daemon=True)
    thread.start()
    try:
        yield wanted.is_set
    finally:
        closing.set()
        thread.join()


def ask_to_stop(paths: ResultPaths, timeout_s: float) -> bool:
    """Ask, and wait for the driver's end.

    Returns:
        Whether it has ended in time.

    Raises:
        OutputError: no driver holds the folder, or only a dead one's lease does, or it cannot be
            written.
    """
    if not is_written(paths.root):
        raise OutputError(f"no study is running in {paths.root}")
    lease = lease_of(paths.root)
    try:
        paths.stop_request.touch()
    except OSError as error:
        raise OutputError(f"{paths.root} cannot be written: {error}") from error
    deadline = time.monotonic() + timeout_s
    while is_written(paths.root):
        if time.monotonic() > deadline:
            if lease is not None and lease_of(paths.root) == lease:
                raise OutputError(
                    f"{lease}, which last wrote {paths.root}, gives no sign of life: there is "
                    "nothing to stop"
                )
            return False
        time.sleep(_POLL_S)
    return True

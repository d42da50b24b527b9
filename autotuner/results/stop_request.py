"""Asking the driver of a results folder to stop, from another shell or another machine.

A file says it: the folder is what the two are sure to share, and only who may write there may
stop what is written there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from autotuner.errors import OutputError
from autotuner.results.files import ResultPaths
from autotuner.results.lock import sole_writer

__all__ = ["ask_to_stop", "stop_requests"]

_POLL_S = 0.1


@contextmanager
def stop_requests(paths: ResultPaths) -> Iterator[Callable[[], bool]]:
    """For the driver, which holds the folder: whether somebody wants it to stop."""
    paths.stop_request.unlink(missing_ok=True)  # meant for an earlier driver
    try:
        yield paths.stop_request.exists
    finally:
        paths.stop_request.unlink(missing_ok=True)


def ask_to_stop(paths: ResultPaths, timeout_s: float) -> bool:
    """Ask, and wait for the driver's end.

    Returns:
        Whether it has ended in time.

    Raises:
        OutputError: no driver holds the folder, or it cannot be written.
    """
    if not _is_held(paths):
        raise OutputError(f"no study is running in {paths.root}")
    try:
        paths.stop_request.touch()
    except OSError as error:
        raise OutputError(f"{paths.root} cannot be written: {error}") from error
    deadline = time.monotonic() + timeout_s
    while _is_held(paths):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _is_held(paths: ResultPaths) -> bool:
    try:
        with sole_writer(paths.root):
            return False
    except OutputError:
        return True

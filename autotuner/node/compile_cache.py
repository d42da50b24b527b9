"""What engines compile, kept on the node from one attempt to the next.

Engines write what they have compiled into folders, and not all of it in one piece: vLLM's list of
compiled graphs, for one, is emptied before it is written, and a server that finds half a list does
not start. Two servers at once, or one that is killed, could so fail those that come after them, and
the configuration would be blamed. Therefore a folder belongs to one attempt at a time, by a lock
that the kernel drops with its owner, and is deleted where an attempt wrote to it and did not
complete. As many attempts as run at once on a node have as many folders.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from autotuner.engines.base import Engine
from autotuner.spec.experiment import content_id
from autotuner.spec.launching import DockerSettings
from autotuner.spec.server import ServerConfig

__all__ = ["CACHE_VARIABLE", "OFF", "CompileCache", "held_compile_cache", "own_cache_folder"]

CACHE_VARIABLE = "AUTOTUNER_CACHE_DIR"
"""Names the folder of all caches on a node where the temporary folder is not the place."""
OFF = "off"
_MOST = 64
"""Folders of one engine and model; who finds all of them taken goes without."""
_OPEN = "open"
_STALE_S = 5 * 24 * 3600.0
"""Who cleans temporary folders by the age of files begins later, and takes one file of two."""
_TICK_S = 1.0
"""A clock that was set back is not waited for."""
_ANYONE = 0o777
"""A container may have any user; the folder above is closed to others on the node."""


@dataclass
class CompileCache:
    """A folder that one attempt has to itself."""

    folder: Path
    """On the node; a container has it at the same path, since caches contain paths."""
    variables: Mapping[str, str]
    """For the server, which tell it to use the folder."""
    warm: bool
    """Whether an earlier attempt has left something."""
    kept: bool = False

    def keep(self) -> None:
        """The attempt has completed: what its server wrote is whole."""
        self.kept = True


@contextmanager
def held_compile_cache(server: ServerConfig, engine: Engine) -> Iterator[CompileCache | None]:
    """The attempt's cache until the end of the block, in which its server ends as well.

    None where the engine has none, the launcher cannot use it, or no folder is to be had: a server
    starts without one, too.
    """
    claimed = _claimed(server, engine)
    if claimed is None:
        yield None
        return
    handle, cache = claimed
    try:
        yield cache
    finally:
        with suppress(OSError):  # it stays marked as open, and the next one deals with it
            _close(cache.folder, kept=cache.kept)
        os.close(handle)


def _claimed(server: ServerConfig, engine: Engine) -> tuple[int, CompileCache] | None:
    set_already = set(server.environment) | (set() if _in_container(server) else set(os.environ))
    subfolders = {n: sub for n, sub in engine.compile_caches.items() if n not in set_already}
    if not subfolders or not _usable(server) or (root := own_cache_folder()) is None:
        return None
    program = server.launch.image if isinstance(server.launch, DockerSettings) else _program(server)
    parent = root / f"{engine.name}-{content_id([program, server.model.path])}"
    try:
        parent.mkdir(mode=0o700, exist_ok=True)
        for number in range(_MOST):
            if (handle := _locked(parent / f"{number}.lock")) is None:
                continue
            try:
                stale = time.time() - os.fstat(handle).st_mtime > _STALE_S
                os.utime(handle)
                folder, warm = _opened(parent / str(number), stale=stale)
            except OSError:
                os.close(handle)
                continue  # it cannot be cleared: files of another user
            variables = {name: str(folder / sub) for name, sub in subfolders.items()}
            return handle, CompileCache(folder, variables, warm)
    except OSError:
        return None
    return None


def own_cache_folder() -> Path | None:
    """The folder of this user's caches on this node, closed to others; made where there is none.

    None where caches are off, or it cannot be had.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen == OFF:
        return None
    # Not the home, which may be one for all nodes, and slow.
    root = Path(chosen or tempfile.gettempdir()).absolute() / f"autotuner-caches-{os.getuid()}"
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Anyone can make a folder of this name in a shared temporary folder.
        is_ours = not root.is_symlink() and root.stat().st_uid == os.getuid()
    except OSError:
        return None
    return root if is_ours else None


def _in_container(server: ServerConfig) -> bool:
    return isinstance(server.launch, DockerSettings)


def _usable(server: ServerConfig) -> bool:
    if _in_container(server):
        return os.getuid() == 0  # or what its user wrote could not be deleted
    return server.launch is None


def _program(server: ServerConfig) -> str | None:
    """The engine's program by its path: environments beside each other are different engines."""
    return shutil.which(server.executable) if server.executable else None


def _locked(path: Path) -> int | None:
    """The file's lock, or None where somebody has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def _opened(folder: Path, *, stale: bool) -> tuple[Path, bool]:
    """Mark the folder as in use, cleared of what an attempt left that was killed in it."""
    if _mark(folder).exists():
        _close(folder, kept=False)
    if stale and folder.exists():
        shutil.rmtree(folder)
    warm = folder.is_dir() and any(folder.iterdir())
    folder.mkdir(exist_ok=True)
    folder.chmod(_ANYONE)
    newest_ns = max((path.lstat().st_ctime_ns for path in folder.rglob("*")), default=0)
    deadline = time.monotonic() + _TICK_S
    while True:  # until the file system's clock tells what comes from what was there
        _mark(folder).touch()
        if _mark(folder).stat().st_ctime_ns > newest_ns or time.monotonic() > deadline:
            return folder, warm


def _close(folder: Path, *, kept: bool) -> None:
    mark = _mark(folder)
    if not kept and _written_since(folder, mark.stat().st_ctime_ns):
        shutil.rmtree(folder)
    mark.unlink()


def _mark(folder: Path) -> Path:
    return folder.with_suffix(f".{_OPEN}")


def _written_since(folder: Path, since_ns: int) -> bool:
    """Whether anything in it has changed since; a lock has no content that could be half there."""
    return any(
        path.lstat().st_ctime_ns >= since_ns
        for path in folder.rglob("*")
        if not path.is_dir() and path.suffix != ".lock"
    )

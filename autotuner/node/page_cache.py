"""Read a model's files ahead of its server, so that they wait in memory for it.

A server spends its first seconds on imports, and reads its model only then: through a memory map
and in small pieces, by every rank for itself. Meanwhile one reader of the node reads the files from
front to back, once for all attempts that start together. It ends with the server's start, so that
it is beside no measurement of its own attempt, and reads nothing that is in memory already.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from autotuner.errors import LaunchError
from autotuner.spec.experiment import content_id
from autotuner.supervision.lease import boot_id, lease_root

__all__ = ["model_files", "reading_ahead"]

_WEIGHTS = (".safetensors", ".bin")
"""The first kind of which there is any is what engines load."""
_INDEX = "{0}.index.json"
_CHUNK_BYTES = 16 * 2**20
_SAMPLES = 64
_SPARED = 0.8
"""Share of the free memory that a model may fill: a larger one would push itself out."""
_JOIN_S = 1.0
"""A file system that hangs is not waited for."""
_MEMINFO = Path("/proc/meminfo")


@contextmanager
def reading_ahead(model: str) -> Iterator[None]:
    """Read the files of a model folder in the background until the end of the block.

    Not where it is no folder of this node, has no room in memory, is there already, or is being
    read for another attempt. Nothing is raised for what cannot be read: the server will tell.
    """
    ended = threading.Event()
    reader = threading.Thread(target=_read_ahead, args=(Path(model), ended.is_set), daemon=True)
    if Path(model).is_absolute():
        reader.start()
    try:
        yield
    finally:
        ended.set()
        if reader.is_alive():
            reader.join(_JOIN_S)


def model_files(folder: Path) -> tuple[Path, ...]:
    """The files that an engine reads of a model: the small ones, then the weights in order."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    small = [path for path in files if path.suffix == ".json" or "tokenizer" in path.name]
    for kind in _WEIGHTS:
        if weights := [path for path in files if path.suffix == kind]:
            return (*small, *_indexed(folder, weights))
    return tuple(small)


def _indexed(folder: Path, weights: Sequence[Path]) -> Sequence[Path]:
    """Those that the model's list names: a folder may hold the weights in a second layout."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        with suppress(OSError, ValueError, KeyError, AttributeError, TypeError):
            named = json.loads((folder / _INDEX.format(name)).read_text())["weight_map"].values()
            if listed := [path for path in weights if path.name in set(named)]:
                return listed
    return weights


def _read_ahead(folder: Path, ended: Callable[[], bool]) -> None:
    with suppress(OSError, LaunchError):
        files = [path for path in model_files(folder) if path.stat().st_size]
        if sum(path.stat().st_size for path in files) > _SPARED * _free_bytes():
            return
        handle = os.open(_note_of(folder), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # or somebody else reads it
            here, read_in_boot = _in_memory(files), os.pread(handle, 100, 0).decode()
            if here or (here is None and read_in_boot == boot_id()):
                return
            _read(files, ended)
            if not ended():
                os.pwrite(handle, boot_id().encode(), 0)
        finally:
            os.close(handle)


def _note_of(folder: Path) -> Path:
    """Locked by who reads the folder; says in which boot of the kernel it was last read whole."""
    return lease_root() / f".read-{content_id(str(folder.resolve()))}"


def _in_memory(files: Sequence[Path]) -> bool | None:
    """Whether places that are spread evenly over the files can be read without a disk.

    None where the file system does not tell.
    """
    total = sum(path.stat().st_size for path in files)
    wanted = [index * total // _SAMPLES for index in range(_SAMPLES)]
    start = 0
    for path in files:
        size = path.stat().st_size
        with path.open("rb", buffering=0) as file:
            for place in wanted:
                if start <= place < start + size:
                    cached = _cached(file.fileno(), place - start)
                    if not cached:
                        return cached
        start += size
    return True


def _cached(file: int, offset: int) -> bool | None:
    try:
        return os.preadv(file, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
    except BlockingIOError:
        return False
    except OSError:
        return None


def _read(files: Sequence[Path], ended: Callable[[], bool]) -> None:
    buffer = bytearray(_CHUNK_BYTES)
    for path in files:
        with path.open("rb", buffering=0) as file:
            while not ended() and file.readinto(buffer):
                pass


def _free_bytes() -> int:
    """Memory that can be had without swapping."""
    for line in _MEMINFO.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return 0

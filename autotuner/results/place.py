"""Where results lie: a folder, or a prefix in an object store that pyarrow knows.

Both have the same few operations, those of `pathlib.Path` that results need, so that nobody above
asks which one it is. In a store an object appears whole or not at all; there is no renaming.
"""

from __future__ import annotations

import posixpath
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from autotuner.errors import OutputError
from autotuner.spec.output_address import address_options, address_problem, is_address

if TYPE_CHECKING:
    from autotuner.results.uploads import Uploads

__all__ = ["ObjectPlace", "Place", "contents", "move", "place_of"]

_READ_AGAIN_S = 0.1
_AT_ONCE = 16
"""Objects that are fetched at the same time: each takes a round trip to the store."""


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """An object of a store, or all whose names begin with it. Every method raises OSError."""

    files: Any
    """The `pyarrow.fs.FileSystem`."""
    scheme: str
    path: str
    """Bucket and key."""
    endpoint: str = ""
    """Of a store that is not the scheme's own."""
    uploads: Uploads | None = None
    """Of the driver that writes here: names and bytes that are on their way count as there."""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.path}"

    def __truediv__(self, name: str) -> ObjectPlace:
        return replace(self, path=f"{self.path}/{name}")

    @property
    def name(self) -> str:
        return posixpath.basename(self.path)

    @property
    def suffix(self) -> str:
        return posixpath.splitext(self.name)[1]

    @property
    def stem(self) -> str:
        return posixpath.splitext(self.name)[0]

    @property
    def parent(self) -> ObjectPlace:
        return replace(self, path=posixpath.dirname(self.path))

    @property
    def direct(self) -> ObjectPlace:
        """The same, as the store itself has it."""
        return replace(self, uploads=None)

    def written_by(self, uploads: Uploads) -> ObjectPlace:
        """The same, as the driver has it that writes there."""
        return replace(self, uploads=uploads)

    def exists(self) -> bool:
        """Whether there is an object of this name, or any below it."""
        if self.uploads is not None:
            return self.uploads.has(self.path)
        return bool(self.files.get_file_info(self.path).type != fs.FileType.NotFound)

    def is_dir(self) -> bool:
        """Whether there is an object below it."""
        return next(self.iterdir(), None) is not None

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: a store has no folders."""

    def iterdir(self) -> Iterator[ObjectPlace]:
        if self.uploads is not None:
            names = self.uploads.below(self.path)
        else:
            found = self.files.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
            # Some tools mark a folder by an empty object of its own name.
            names = {info.base_name for info in found} - {""}
        yield from (self / name for name in sorted(names))

    def read_bytes(self) -> bytes:
        if self.uploads is not None:
            return self.uploads.read(self.path)
        return read_object(self.files, self.path)

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        """Put the whole object, or nothing."""
        if self.uploads is not None:
            self.uploads.put(self.path, content)
        else:
            write_object(self.files, self.path, content)

    def touch(self) -> None:
        self.write_bytes(b"")

    def unlink(self, *, missing_ok: bool = False) -> None:
        if self.uploads is not None:
            self.uploads.delete(self.path)
        elif not missing_ok or self.exists():
            self.files.delete_file(self.path)


Place = Path | ObjectPlace


def place_of(text: str | Path | ObjectPlace) -> Place:
    """The folder or the prefix that a user means: a path, ``file://``, ``s3://`` or ``gs://``.

    Raises:
        OutputError: no such kind of store, a part that is missing, or keys in the address.
    """
    if not isinstance(text, str):
        return text
    if not is_address(text):
        return Path(text)
    address = urlsplit(text)
    if (problem := address_problem(text)) is not None:
        shown = f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"
        raise OutputError(f"{shown}: {problem}")
    if address.scheme == "file":
        return Path(unquote(address.path))
    options = address_options(text)
    path = f"{address.netloc}/{address.path.strip('/')}"
    files = _store(address.scheme, address.netloc, options)
    return ObjectPlace(files, address.scheme, path, options.get("endpoint_override", ""))


def _store(scheme: str, bucket: str, options: dict[str, str]) -> Any:
    try:
        if scheme == "gs":
            return fs.GcsFileSystem(**options)
        # Small objects go in one request then, so that not even a part of them is left behind.
        return fs.S3FileSystem(**options, allow_delayed_open=True)
    except (OSError, pa.ArrowException, ValueError, AttributeError) as error:
        raise OutputError(f"{scheme}://{bucket} cannot be opened: {error}") from error


def read_object(files: Any, path: str) -> bytes:
    """One version of the object, whole; raises OSError.

    pyarrow asks for the size first and then for so many bytes: of an object that is replaced in
    between by a larger one, it gets the beginning. Parquet shows that by itself.
    """
    for last in (False, False, True):
        try:
            with files.open_input_file(path) as stream:
                size: int = stream.size()
                content: bytes = stream.read()
            if path.endswith(".parquet") or files.get_file_info(path).size == size == len(content):
                return content
        except FileNotFoundError:
            raise
        except OSError:
            if last:
                raise
        time.sleep(_READ_AGAIN_S)
    raise OSError(f"{path} is replaced again and again while it is read")


def write_object(files: Any, path: str, content: bytes) -> None:
    """Put the object whole, or not at all; raises OSError.

    A part that fails is remembered by the stream, which then refuses to put the parts together.
    """
    stream = files.open_output_stream(path)
    stream.write(content)
    stream.close()


def move(source: Place, target: Place) -> None:
    """Put a file, or a folder of files, elsewhere in the same results; raises OSError."""
    if isinstance(source, Path) and isinstance(target, Path):
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
    elif isinstance(source, ObjectPlace) and isinstance(target, ObjectPlace):
        for name in [entry.name for entry in source.iterdir()]:
            move(source / name, target / name)
        if not source.exists():
            return
        # The copy first: cut off here, the object is in both places, and moved again.
        target.write_bytes(source.read_bytes())
        source.unlink()


def contents(places: Iterable[Place]) -> Iterator[tuple[Place, Any]]:
    """Each file and what `pyarrow.parquet` reads it from, in their order; raises OSError."""
    listed = list(places)
    remote = [place for place in listed if isinstance(place, ObjectPlace)]
    if not remote:
        yield from ((place, place) for place in listed)
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for at in range(0, len(remote), 4 * _AT_ONCE):  # not all of a large study in memory at once
            part = remote[at : at + 4 * _AT_ONCE]
            yield from zip(part, pool.map(_read_or_error, part), strict=True)


def _read_or_error(place: ObjectPlace) -> Any:
    try:
        return pa.BufferReader(place.read_bytes())
    except OSError as error:
        return error

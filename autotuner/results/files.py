"""Files of a results folder: their names, reading them, and writing them whole or not at all."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from autotuner.errors import OutputError
from autotuner.results.place import ObjectPlace, Place, contents
from autotuner.results.schema import ADDED_COLUMNS, READABLE_VERSIONS, VERSION_KEY

__all__ = [
    "ResultPaths",
    "read_files",
    "read_tables",
    "result_files",
    "write_file",
    "write_table",
    "write_text",
]


_TABLES_HELD = 256
"""Files whose tables are held apart: one of a single row takes 100 KB, as part of another one 1."""


@dataclass(frozen=True, slots=True)
class ResultPaths:
    """Every name in a results folder."""

    root: Place

    @property
    def study(self) -> Place:
        return self.root / "study.json"

    @property
    def asked(self) -> Place:
        """Of a search: what it has asked for."""
        return self.root / "asked"

    @property
    def search(self) -> Place:
        """Of a search: why it has ended."""
        return self.root / "search.json"

    @property
    def requests(self) -> Place:
        return self.root / "requests"

    @property
    def levels(self) -> Place:
        return self.root / "levels"

    @property
    def experiments(self) -> Place:
        return self.root / "experiments"

    @property
    def logs(self) -> Place:
        return self.root / "logs"

    @property
    def retired(self) -> ResultPaths:
        """Where the files of experiments stay that a changed study no longer has."""
        return ResultPaths(self.root / "retired")

    @property
    def stop_request(self) -> Place:
        """Exists while somebody wants the driver to stop; hidden from readers."""
        request = self.root / ".stop"
        # Others make it, of whom a driver's own list of names knows nothing.
        return request.direct if isinstance(request, ObjectPlace) else request

    def requests_file(self, attempt_id: str, index: int) -> Place:
        return self.requests / f"{attempt_id}-{index:02d}.parquet"

    def level_file(self, attempt_id: str, index: int) -> Place:
        """``index``: place of the level among those that its experiment expects, from 0."""
        return self.levels / f"{attempt_id}-{index:02d}.parquet"

    def experiment_file(self, attempt_id: str) -> Place:
        return self.experiments / f"{attempt_id}.parquet"

    def log_dir(self, attempt_id: str) -> Place:
        return self.logs / attempt_id


def read_tables(folder: Place, schema: pa.Schema) -> pa.Table:
    """All rows of a folder's Parquet files, in order of file name; no rows without files.

    Raises:
        OutputError: naming the file that cannot be read or has another schema.
    """
    return read_files(result_files(folder), schema)


def read_files(
    paths: Iterable[Place], schema: pa.Schema, *, columns: list[str] | None = None
) -> pa.Table:
    """All rows of some Parquet files of one schema, in their given order.

    Args:
        columns: Read these alone; None: all.

    Raises:
        OutputError: naming the file that cannot be read or has another schema.
    """
    names = schema.names if columns is None else columns
    wanted = pa.schema([schema.field(name) for name in names], schema.metadata)
    nothing = wanted.empty_table()
    joined, tables = [nothing], [nothing]
    for path, source in contents(paths):
        try:
            if isinstance(source, OSError):
                raise source
            # Several times quicker for small files than pq.read_table, which builds a dataset.
            with pq.ParquetFile(source) as file:
                own = file.schema_arrow
                written = set(own.names)
                present = [name for name in names if name in written]
                table = (
                    file.read(columns=present, use_threads=False) if _reads(own, schema) else None
                )
        except (OSError, pa.ArrowException) as error:
            raise OutputError(f"{path} cannot be read: {error}") from error
        if table is None:
            raise OutputError(f"{path} does not belong to this study; was it copied here?")
        # The rows may be older than the study as it is now: an experiment is its content.
        tables.append(table.replace_schema_metadata(schema.metadata))
        if len(tables) > _TABLES_HELD:
            joined, tables = [*joined, _joined(tables)], [nothing]
    return _joined([*joined, *tables])


def _joined(tables: list[pa.Table]) -> pa.Table:
    # What an older version's rows lack is null.
    return pa.concat_tables(tables, promote_options="default").combine_chunks()


def _reads(own: pa.Schema, schema: pa.Schema) -> bool:
    """Whether rows of a file's own schema are rows of ``schema``, or older ones of the same."""
    written = (own.metadata or {}).get(VERSION_KEY)
    version = next((n for n in READABLE_VERSIONS if str(n).encode() == written), None)
    if version is None:
        return False
    later = [names for since, names in ADDED_COLUMNS.items() if since > version]
    known = [field for field in schema if not any(field.name in names for names in later)]
    return _columns(own) == _columns(known)


def _columns(fields: Iterable[pa.Field]) -> list[tuple[str, pa.DataType]]:
    # Whether a column may have nulls is a promise of its writer, which older ones gave for more.
    return [(field.name, field.type) for field in fields]


def result_files(folder: Place) -> list[Place]:
    """Parquet files of a folder by name, without those still being written.

    Raises:
        OutputError: the folder cannot be read.
    """
    try:
        if not folder.is_dir():
            return []
        found: list[Place] = list(folder.iterdir())
    except OSError as error:
        raise OutputError(f"{folder} cannot be read: {error}") from error
    files = (p for p in found if p.suffix == ".parquet" and not p.name.startswith("."))
    return sorted(files, key=lambda path: path.name)


def write_table(path: Place, table: pa.Table) -> None:
    """Write a Parquet file atomically.

    Raises:
        OutputError: when the disk or the store refuses.
    """
    _write_whole(path, lambda file: pq.write_table(table, file))


def write_text(path: Place, text: str) -> None:
    """Write a UTF-8 text file atomically.

    Raises:
        OutputError: when the disk or the store refuses.
    """
    _write_whole(path, lambda file: file.write(text.encode()))


def write_file(path: Path, content: bytes) -> None:
    """Write a file atomically.

    Raises:
        OutputError: when the disk refuses.
    """
    _write_atomically(path, lambda file: file.write(content))


def _write_whole(path: Place, write: Callable[[IO[bytes]], object]) -> None:
    if isinstance(path, Path):
        _write_atomically(path, write)
        return
    content = io.BytesIO()
    write(content)
    try:
        path.write_bytes(content.getvalue())
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error}") from error


def _write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    # A leading dot and no .parquet ending: no glob and no dataset reader picks it up.
    hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with hidden.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        hidden.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "; make room, then the same command goes on" if full else ""
        raise OutputError(f"{path} cannot be written: {error}{advice}") from error
    finally:
        with suppress(OSError):
            hidden.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    # The rename itself survives a power loss only once the folder is on disk.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

import pyarrow as pa
import pytest

from autotuner.results import files
from autotuner.results.files import read_files, write_table
from autotuner.results.schema import file_schema

SCHEMA = file_schema(pa.schema([pa.field("id", pa.int64()), pa.field("word", pa.string())]), "s")


@pytest.fixture
def written(tmp_path):
    paths = [tmp_path / f"{index}.parquet" for index in range(7)]
    for index, path in enumerate(paths):
        write_table(path, pa.table({"id": [index, index], "word": ["a", None]}, SCHEMA))
    return paths


@pytest.mark.parametrize("held", [1, 2, 3, 7, 100])
def test_however_many_tables_are_held_at_once_all_rows_are_read_in_order(
    written, held, monkeypatch
):
    monkeypatch.setattr(files, "_TABLES_HELD", held)
    table = read_files(written, SCHEMA)
    assert table["id"].to_pylist() == [index for index in range(7) for _ in range(2)]
    assert table["word"].to_pylist() == ["a", None] * 7
    assert table.schema.equals(SCHEMA, check_metadata=True)
    assert table["id"].num_chunks == 1


def test_small_tables_are_not_all_held_until_the_last_file_is_read(written, monkeypatch):
    joined = []
    monkeypatch.setattr(files, "_TABLES_HELD", 2)
    monkeypatch.setattr(
        files, "_joined", lambda tables: joined.append(len(tables)) or _whole(tables)
    )
    read_files(written, SCHEMA)
    assert joined[:-1] == [3, 3, 3]  # each with the empty one that has all columns


def _whole(tables):
    return pa.concat_tables(tables, promote_options="default").combine_chunks()


def test_of_no_files_there_is_a_table_without_rows():
    assert read_files([], SCHEMA).equals(SCHEMA.empty_table())

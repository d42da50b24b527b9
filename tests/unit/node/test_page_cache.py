"""Files are read ahead where that helps, and a server never waits for it."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import threading
import time

import pytest

from autotuner.node import page_cache
from autotuner.node.page_cache import model_files, reading_ahead

SIZE = 4 * 2**20


@pytest.fixture(autouse=True)
def scratch(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def model(tmp_path):
    """A folder of the named files."""

    def model(*names):
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).write_bytes(os.urandom(SIZE))
        return folder

    return model


@pytest.fixture
def cold(model):
    """A model of which nothing is in memory."""
    folder = model("config.json", "model-1.safetensors", "model-2.safetensors")
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if in_memory(folder) is not False:
        pytest.skip("this file system keeps everything in memory, or does not tell")
    return folder


def in_memory(folder):
    return page_cache._in_memory(model_files(folder))


def read(folder):
    """Read ahead to the end, which a server's start may come before."""
    page_cache._read_ahead(folder, lambda: False)


@pytest.fixture
def readings(monkeypatch):
    """What is read, file by file."""
    found = []
    monkeypatch.setattr(page_cache, "_read", lambda files, _: found.extend(p.name for p in files))
    return found


def names(folder):
    return [path.name for path in model_files(folder)]


def test_the_weights_come_after_what_is_read_first(model):
    folder = model("b.safetensors", "a.safetensors", "tokenizer.model", "config.json", "README.md")
    assert names(folder) == ["config.json", "tokenizer.model", "a.safetensors", "b.safetensors"]


def test_weights_in_a_second_format_are_not_read(model):
    assert names(model("model.safetensors", "pytorch_model.bin")) == ["model.safetensors"]
    (model() / "model.safetensors").unlink()
    assert names(model()) == ["pytorch_model.bin"]


def test_weights_in_a_second_layout_are_not_read(model):
    folder = model("model-1.safetensors", "consolidated.safetensors")
    weights = {"weight_map": {"layer": "model-1.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(weights))
    assert names(folder)[1:] == ["model-1.safetensors"]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": {"layer": "gone"}}'])
def test_a_list_that_says_nothing_hides_no_weights(model, text):
    folder = model("model-1.safetensors")
    (folder / "model.safetensors.index.json").write_text(text)
    assert "model-1.safetensors" in names(folder)


def test_what_is_not_in_memory_is_there_afterwards(cold):
    read(cold)
    assert in_memory(cold)


def test_what_is_in_memory_is_not_read_again(cold, readings):
    for path in cold.iterdir():
        path.read_bytes()
    read(cold)
    assert readings == []


def test_half_a_model_in_memory_is_no_model(cold, readings):
    (cold / "model-1.safetensors").read_bytes()
    read(cold)
    assert "model-2.safetensors" in readings


def test_where_the_file_system_does_not_tell_a_model_is_read_once(model, readings, monkeypatch):
    monkeypatch.setattr(page_cache, "_cached", lambda *_: None)
    folder = model("model.safetensors")
    read(folder)
    read(folder)
    assert readings == ["model.safetensors"]
    monkeypatch.setattr(page_cache, "boot_id", lambda: "another")
    read(folder)
    assert readings == ["model.safetensors"] * 2


def test_a_reading_that_was_cut_short_does_not_count(model, readings, monkeypatch):
    monkeypatch.setattr(page_cache, "_cached", lambda *_: None)
    folder = model("model.safetensors")
    page_cache._read_ahead(folder, lambda: True)
    read(folder)
    assert readings == ["model.safetensors"] * 2


def test_attempts_that_start_together_read_a_model_once(cold, readings):
    with page_cache._note_of(cold).open("w") as note:
        fcntl.flock(note, fcntl.LOCK_EX)
        read(cold)
    assert readings == []


def test_a_model_that_would_push_itself_out_of_memory_is_not_read(cold, readings, monkeypatch):
    monkeypatch.setattr(page_cache, "_free_bytes", lambda: 3 * SIZE)
    read(cold)
    assert readings == []


def test_there_is_free_memory():
    assert page_cache._free_bytes() > 2**20


def test_reading_ends_with_the_server_s_start(cold, monkeypatch):
    begun = threading.Event()

    def endless(_, ended):
        begun.set()
        while not ended():
            time.sleep(0.01)

    monkeypatch.setattr(page_cache, "_read", endless)
    with reading_ahead(str(cold)):
        assert begun.wait(60)
    assert not [thread for thread in threading.enumerate() if "_read_ahead" in thread.name]


def test_nothing_is_read_once_the_server_has_started(cold):
    page_cache._read(model_files(cold), lambda: True)
    assert in_memory(cold) is False


@pytest.mark.parametrize("path", ["org/model", "/no/such/folder", __file__])
def test_what_is_no_folder_of_the_node_is_left_to_the_server(path, readings):
    with reading_ahead(path):
        pass
    assert readings == []

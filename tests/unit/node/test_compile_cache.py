"""A cache never decides what comes of an attempt, and serves whoever comes next where it can."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from autotuner.engines.registry import load_engine
from autotuner.node import compile_cache
from autotuner.node.compile_cache import CACHE_VARIABLE, held_compile_cache
from autotuner.spec.launching import DockerSettings, PodSettings
from autotuner.spec.server import Model, ServerConfig

VLLM = ServerConfig("vllm", Model("/models/tiny", "/models/tiny"), {})
IN_DOCKER = replace(VLLM, launcher="docker", launch=DockerSettings(image="vllm:1"))


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    """Where caches lie; and no variable of the node is in the way."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in (CACHE_VARIABLE, *load_engine("vllm").compile_caches):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def held(server=VLLM):
    return held_compile_cache(server, load_engine(server.engine))


def compiled(cache, name="graph", text="whole"):
    """What the server writes."""
    file = Path(cache.variables["VLLM_CACHE_ROOT"]) / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def an_attempt(name="graph", *, completes=True, server=VLLM):
    """The cache of an attempt that has ended, and what it has compiled."""
    with held(server) as cache:
        file = compiled(cache, name)
        if completes:
            cache.keep()
    return cache, file


def test_what_a_completed_attempt_compiled_is_there_for_the_next():
    first, file = an_attempt()
    with held() as second:
        assert file.read_text() == "whole"
        assert second.variables == first.variables
    assert (first.warm, second.warm) == (False, True)


def test_what_an_attempt_compiled_that_did_not_complete_is_gone():
    """It may be half of something, and half of something can keep a server from starting."""
    _, file = an_attempt(completes=False)
    with held() as cache:
        assert not cache.warm
        assert not file.exists()


def test_of_a_cache_that_a_failed_attempt_wrote_to_nothing_is_left():
    """Its old list may name files that it has begun to replace."""
    an_attempt("list")
    an_attempt("more", completes=False)
    with held() as cache:
        assert not cache.warm


def test_an_attempt_that_fails_before_it_compiles_anything_costs_no_cache():
    _, file = an_attempt()
    with held() as cache:
        Path(cache.folder, "a.lock").touch()
    with held() as cache:
        assert cache.warm
        assert file.read_text() == "whole"


def raising_attempt():
    with held() as cache:
        compiled(cache, text="half")
        raise RuntimeError


def test_an_attempt_that_raises_is_none_that_completed():
    an_attempt()
    with pytest.raises(RuntimeError):
        raising_attempt()
    with held() as cache:
        assert not cache.warm


def test_attempts_at_the_same_time_share_no_folder():
    with ExitStack() as stack:
        folders = {stack.enter_context(held()).folder for _ in range(8)}
    assert len(folders) == 8


def test_folders_that_were_used_at_the_same_time_are_used_again():
    with held() as one, held() as other:
        for cache in (one, other):
            compiled(cache)
            cache.keep()
    with held() as third, held() as fourth:
        assert {third.folder, fourth.folder} == {one.folder, other.folder}
        assert third.warm
        assert fourth.warm


KILLED = """
import os, sys, time
from autotuner.engines.registry import load_engine
from autotuner.node.compile_cache import held_compile_cache
from autotuner.spec.server import Model, ServerConfig
server = ServerConfig("vllm", Model("/models/tiny", "/models/tiny"), {})
with held_compile_cache(server, load_engine("vllm")) as cache:
    open(os.path.join(cache.folder, "half"), "w").write("ha")
    print(cache.folder, flush=True)
    time.sleep(600)
"""


def test_what_a_killed_attempt_left_in_its_folder_is_gone(place):
    an_attempt()
    environment = {**os.environ, "TMPDIR": str(place)}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        folder = Path(process.stdout.readline().strip())
        with held() as beside:
            assert beside.folder != folder, "it lives"
        process.send_signal(signal.SIGKILL)
    assert (folder / "half").exists()
    with held() as cache:
        assert cache.folder == folder
        assert not cache.warm
        assert not (folder / "half").exists()


@pytest.mark.parametrize(
    "other",
    [
        replace(VLLM, model=Model("/models/other", "/models/tiny")),
        replace(VLLM, executable=sys.executable),
        IN_DOCKER,
        replace(IN_DOCKER, launch=DockerSettings(image="vllm:2")),
    ],
)
def test_another_model_program_or_image_has_caches_of_its_own(other, monkeypatch):
    monkeypatch.setattr(compile_cache, "_usable", lambda _: True)
    with held() as one, held(other) as second:
        assert one.folder.parent != second.folder.parent
    if other is not IN_DOCKER:
        with held(IN_DOCKER) as one, held(other) as second:
            assert one.folder.parent != second.folder.parent


def test_flags_do_not_part_caches():
    """The engines know what of them matters."""
    an_attempt()
    with held(replace(VLLM, flags={"max-num-seqs": 16})) as cache:
        assert cache.warm


def test_variables_of_the_study_win():
    server = replace(VLLM, environment={"VLLM_CACHE_ROOT": "/mine"})
    with held(server) as cache:
        assert "VLLM_CACHE_ROOT" not in cache.variables
        assert "TRITON_CACHE_DIR" in cache.variables
    every = dict.fromkeys(load_engine("vllm").compile_caches, "/mine")
    with held(replace(VLLM, environment=every)) as cache:
        assert cache is None


def test_variables_of_the_node_win_for_its_processes(monkeypatch):
    monkeypatch.setenv("VLLM_CACHE_ROOT", "/of/the/node")
    with held() as cache:
        assert "VLLM_CACHE_ROOT" not in cache.variables


def test_the_folder_of_all_caches_can_be_chosen_and_is_private(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "disk"))
    with held() as cache:
        assert cache.folder.is_relative_to(tmp_path / "disk")
        assert cache.folder.parent.stat().st_mode & 0o077 == 0


def test_caches_can_be_turned_off(monkeypatch, place):
    monkeypatch.setenv(CACHE_VARIABLE, "off")
    with held() as cache:
        assert cache is None
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("engine", ["sim", "custom"])
def test_engines_that_compile_nothing_get_none(engine):
    with held(replace(VLLM, engine=engine)) as cache:
        assert cache is None


def test_servers_elsewhere_get_none():
    with held(replace(VLLM, launcher="kubernetes", launch=PodSettings())) as cache:
        assert cache is None


def test_a_container_gets_none_where_its_files_could_not_be_deleted(monkeypatch):
    for user, usable in ((0, True), (1234, False)):
        monkeypatch.setattr(os, "getuid", lambda user=user: user)
        assert compile_cache._usable(IN_DOCKER) is usable
        assert compile_cache._usable(VLLM)


def test_where_no_folder_can_be_made_a_server_starts_without(monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, "/proc/none")
    with held() as cache:
        assert cache is None


def test_a_folder_made_by_somebody_else_is_not_used(place, monkeypatch):
    (place / "elsewhere").mkdir()
    (place / f"autotuner-caches-{os.getuid()}").symlink_to(place / "elsewhere")
    with held() as cache:
        assert cache is None


def test_a_folder_that_cannot_be_cleared_is_left_alone(monkeypatch):
    first, _ = an_attempt()

    def refuse(path, **_):
        raise PermissionError(path)

    monkeypatch.setattr(compile_cache.shutil, "rmtree", refuse)
    an_attempt(completes=False)
    with held() as cache:
        assert cache.folder != first.folder
        assert not cache.warm


def test_a_cache_that_nobody_used_for_days_is_not_trusted():
    """Temporary folders are cleaned by age, file by file."""
    cache, _ = an_attempt()
    lock = cache.folder.with_suffix(".lock")
    old = time.time() - 6 * 24 * 3600
    os.utime(lock, (old, old))
    with held() as cache:
        assert not cache.warm

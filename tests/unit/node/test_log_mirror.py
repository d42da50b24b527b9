"""Copies of logs for those who watch: live, without secrets, bounded, and nobody's failure."""

from __future__ import annotations

import os

import pytest

from autotuner.node import log_mirror
from autotuner.node.log_mirror import _Mirror, mirrored_logs

SECRETS = ("sesame", "sesame-open", "line one\nline two")


@pytest.fixture
def folders(tmp_path):
    source, target = tmp_path / "lease", tmp_path / "shown"
    source.mkdir()
    target.mkdir()
    return source, target


def copy_of(target, name="server.log"):
    path = target / f"autotuner-s-e-a1-{name}"
    return path.read_text() if path.exists() else ""


def mirror(folders, secrets=SECRETS):
    return _Mirror(*folders, "autotuner-s-e-a1", secrets)


def test_a_log_is_shown_while_the_attempt_runs(folders, monkeypatch, wait_until):
    monkeypatch.setattr(log_mirror, "_PERIOD_S", 0.01)
    source, target = folders
    with mirrored_logs(source, target, "autotuner-s-e-a1", ["sesame"]):
        (source / "server.log").write_text("loading sesame, please wait\n")
        (source / "other.txt").write_text("no log")
        assert wait_until(lambda: "loading ***" in copy_of(target))
    assert copy_of(target) == "loading ***, please wait\n"
    assert [path.name for path in target.iterdir()] == ["autotuner-s-e-a1-server.log"]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("at_once", range(1, 20))
def test_a_secret_never_shows_however_its_writing_falls_into_pieces(folders, secret, at_once):
    source, target = folders
    text = f"before {secret} between {secret}{secret} after"
    copier = mirror(folders)
    for end in range(0, len(text) + at_once, at_once):
        (source / "server.log").write_text(text[:end])
        copier._copy(last=False)
        assert "sesam" not in copy_of(target).replace("***", "")
        assert "line one" not in copy_of(target)
    copier._copy(last=True)
    assert copy_of(target) == "before *** between ****** after"


def test_what_was_held_back_for_a_secret_comes_at_the_end(folders):
    source, target = folders
    (source / "server.log").write_text("the end: sesam")
    copier = mirror(folders)
    copier._copy(last=False)
    assert "sesam" not in copy_of(target)
    copier._copy(last=True)
    assert copy_of(target) == "the end: sesam"


@pytest.mark.parametrize("shift", range(12))
def test_a_leap_over_a_flood_of_lines_lands_in_no_secret(folders, monkeypatch, shift):
    monkeypatch.setattr(log_mirror, "_KEPT_BYTES", 40)
    source, target = folders
    (source / "server.log").write_text("x" * 100 + "sesame" + "." * (14 + shift))
    copier = mirror(folders, ("sesame",))
    copier._copy(last=True)
    shown = copy_of(target)
    assert not any(part in shown for part in ("same", "ame", "me", "e."))
    assert shown.endswith("." * 14)


def test_a_copy_stays_small_and_keeps_its_end(folders, monkeypatch):
    monkeypatch.setattr(log_mirror, "_KEPT_BYTES", 1000)
    source, target = folders
    copier = mirror(folders)
    text = ""
    for number in range(200):
        text += f"line {number:04d}\n"
        (source / "server.log").write_text(text)
        copier._copy(last=False)
        assert len(copy_of(target)) <= 1100
    copier._copy(last=True)
    first, *lines = copy_of(target).splitlines()
    assert first == "[... the logs in the results folder have the start ...]"
    assert lines[-1] == "line 0199"
    assert all(line in text for line in lines)


def test_the_oldest_copies_of_all_attempts_make_room(folders, monkeypatch):
    monkeypatch.setattr(log_mirror, "_KEPT_FILES", 3)
    source, target = folders
    for age in range(6):
        path = target / f"autotuner-s-{age}-server.log"
        path.touch()
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    (target / "raylet.log").touch()
    with mirrored_logs(source, target, "autotuner-s-e-a1", []):
        pass
    kept = sorted(path.name for path in target.iterdir())
    assert kept == [*(f"autotuner-s-{age}-server.log" for age in range(3)), "raylet.log"]


def test_a_copy_that_somebody_removes_goes_on(folders):
    source, target = folders
    (source / "server.log").write_text("one\n")
    copier = mirror(folders, ())
    copier._copy(last=False)
    (target / "autotuner-s-e-a1-server.log").unlink()
    (source / "server.log").write_text("one\ntwo\n")
    copier._copy(last=False)
    assert copy_of(target) == "two\n"


@pytest.mark.parametrize("trouble", ["gone", "a file"])
def test_trouble_with_the_copies_is_nobodys_failure(folders, trouble):
    source, target = folders
    target.rmdir()
    if trouble == "a file":
        target.touch()
    with mirrored_logs(source, target, "autotuner-s-e-a1", []):
        (source / "server.log").write_text("hello")


def test_where_nobody_looks_nothing_is_copied(folders):
    source, target = folders
    (source / "server.log").write_text("hello")
    with mirrored_logs(source, None, "autotuner-s-e-a1", []):
        pass
    assert not list(target.iterdir())

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from autotuner.errors import OutputError
from autotuner.results import writer_lease
from autotuner.results.lock import is_written, sole_writer

HOLD = """
import sys, time
from pathlib import Path
from autotuner.results import writer_lease
from autotuner.results.lock import is_written, sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_that_is_held_is_refused_with_who_holds_it_and_the_fix(tmp_path: Path) -> None:
    with (
        sole_writer(tmp_path),
        pytest.raises(OutputError, match=rf"process {os.getpid()} on .*--output"),
        sole_writer(tmp_path),
    ):
        pass


def test_a_folder_is_free_again_after_its_writer(tmp_path: Path) -> None:
    for _ in range(2):
        with sole_writer(tmp_path):
            pass


def test_a_folder_is_free_again_when_its_writer_was_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"held\n"
        with pytest.raises(OutputError, match=f"process {writer.pid}"), sole_writer(tmp_path):
            pass
        writer.send_signal(signal.SIGKILL)
    with sole_writer(tmp_path):
        pass


def test_on_a_file_system_without_locks_a_lease_keeps_the_second_writer_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(writer_lease, "_SETTLE_S", 0.0)
    monkeypatch.setattr(writer_lease, "_POLL_S", 0.01)
    monkeypatch.setattr(writer_lease, "RENEWAL_S", 0.05)
    with sole_writer(tmp_path):
        assert is_written(tmp_path)
        with pytest.raises(OutputError, match=f"process {os.getpid()}"), sole_writer(tmp_path):
            pass
    assert not is_written(tmp_path)


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    with sole_writer(tmp_path / "new" / "folder"):
        assert (tmp_path / "new" / "folder").is_dir()


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match="cannot be written"),
        sole_writer(tmp_path / "file/x"),
    ):
        pass

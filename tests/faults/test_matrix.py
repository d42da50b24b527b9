"""The matrix itself: it must not be green where nothing was looked at, nor miss a daemon."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from faults.matrix import Column, Matrix
from faults.processes import MARK, ProcessWatch, eventually

DAEMON = "import subprocess; subprocess.Popen(['sleep', '60'], start_new_session=True)"


def test_a_cell_that_was_never_filled_fails_its_row() -> None:
    row = Matrix().row("a fault")
    row.does_not_apply(*list(Column)[1:])
    with pytest.raises(AssertionError, match=r"a fault / ended in time: the test never came"):
        row.settle()


def test_a_red_cell_names_its_fault_and_column_and_stays_red() -> None:
    row = Matrix().row("a fault")
    row.does_not_apply(*list(Column)[1:])
    row.check(Column.IN_TIME, False, "1 s", "not within 3 s")
    row.check(Column.IN_TIME, True, "1 s")
    with pytest.raises(AssertionError, match=r"^a fault / ended in time: not within 3 s"):
        row.settle()


def test_the_table_has_a_line_for_every_fault_and_says_why_a_row_was_skipped() -> None:
    matrix = Matrix()
    matrix.row("first").check(Column.KIND, True, "server_crashed")
    matrix.row("first").cleanup_s += [1.0, 2.0, 9.0]
    matrix.row("second").skipped = "only root may"
    written: list[str] = []
    matrix.write(lambda text, **_: written.append(text))
    lines = "".join(written).splitlines()
    assert "server_crashed" in next(line for line in lines if line.startswith("first"))
    assert next(line for line in lines if line.startswith("first")).split()[-4:-3] == ["2.0"]
    assert "skipped: second: only root may" in lines


def test_a_daemon_that_left_its_session_is_seen_until_it_is_gone(watch: ProcessWatch) -> None:
    environment = {**os.environ, MARK: watch.label("daemon")}
    subprocess.run([sys.executable, "-c", DAEMON], env=environment, check=True)
    assert eventually(lambda: [s.label for s in watch.alive()] == ["daemon"], 10.0)
    watch.kill_rest()
    assert watch.cleared(10.0)

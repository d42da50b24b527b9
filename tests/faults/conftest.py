"""Collects the cells that the tests fill and prints them as one table at the end."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

# The modules beside this file are shared by several test files.
sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.matrix import Matrix, Row
from faults.processes import ProcessWatch

_MATRIX = Matrix()


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Row:
    """The row of the fault whose name is the test's parameter ``row``."""
    return _MATRIX.row(request.param)


@pytest.fixture
def watch() -> Iterator[ProcessWatch]:
    """Sees every process that carries this test's mark; a failed test's are killed."""
    with ProcessWatch() as watch:
        yield watch
        watch.kill_rest()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if report.skipped and "row" in parameters:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        _MATRIX.row(parameters["row"]).skipped = str(reason).removeprefix("Skipped: ")
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _MATRIX:
        terminalreporter.section("fault matrix")
        _MATRIX.write(terminalreporter.write)

"""Reports of a small and of a large study, each written once, and a browser to open them in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autotuner.report.browser import Browser, find_browser, open_browser
from autotuner.report.page import write_report

# The modules beside this file are shared by several test files.
sys.path.insert(0, str(Path(__file__).parents[1]))

from report.big_study import write_big_study
from report.shown import HOSTILE, Shown


@pytest.fixture(scope="session")
def small_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_big_study(tmp_path_factory.mktemp("small") / "study", experiments=14)
    write_report(folder, folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="session")
def grid_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a grid of two parameters, with a failure in it."""
    axes = {"tensor-parallel-size": (1, 2), "max-num-seqs": (64, 128)}
    folder = write_big_study(tmp_path_factory.mktemp("grid") / "study", axes=axes)
    write_report(folder, folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="session")
def hostile_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a study with markup in a parameter's value, and so in labels and commands."""
    axes = {"max-num-seqs": (8, 16), "kv-cache-dtype": ("auto", HOSTILE)}
    folder = write_big_study(tmp_path_factory.mktemp("hostile") / "study", axes=axes)
    write_report(folder, folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="session")
def large_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_big_study(tmp_path_factory.mktemp("large") / "study", experiments=1000)
    write_report(folder, folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if find_browser() is None:
        pytest.skip("no Chromium or Chrome on the PATH")
    with open_browser() as opened:
        opened.call(
            "Emulation.setDeviceMetricsOverride",
            {"width": 1360, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        yield opened


@pytest.fixture
def show(browser: Browser) -> Callable[[Path], Shown]:
    def opened(report: Path) -> Shown:
        browser.open(report.resolve().as_uri())
        return Shown(browser)

    return opened

"""Finding a browser, and the one error where there is none."""

from __future__ import annotations

import pytest

from autotuner.errors import OutputError
from autotuner.report.browser import find_browser, open_browser


def test_without_a_browser_there_is_one_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    assert find_browser() is None
    with pytest.raises(OutputError, match=r"install Chromium or Chrome, or leave out --png"):
        open_browser().__enter__()

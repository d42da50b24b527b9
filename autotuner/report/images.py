"""The report's charts as PNG files, drawn by the browser that also shows them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from autotuner.errors import OutputError
from autotuner.report.browser import Browser, open_browser

__all__ = ["write_images"]

_WIDTH_PX, _SCALE = 1000, 2


def write_images(report: Path) -> tuple[Path, ...]:
    """Draw every chart of the report into a file beside it, ``report-<chart>.png``.

    Raises:
        OutputError: there is no browser, it fails, or a file cannot be written.
    """
    with open_browser() as browser:
        browser.open(report.resolve().as_uri())
        ids = browser.evaluate("report.chartIds()")
        names = [str(id_) for id_ in ids] if isinstance(ids, list) else []
        return tuple(_write(browser, report, name) for name in names)


def _write(browser: Browser, report: Path, name: str) -> Path:
    quoted = json.dumps(name)
    address = browser.evaluate(f"report.image({quoted}, {_WIDTH_PX}, {_SCALE})")
    target = report.with_name(f"{report.stem}-{name}.png")
    try:
        target.write_bytes(base64.b64decode(str(address).partition(",")[2]))
    except OSError as error:
        raise OutputError(f"the chart {target} cannot be written: {error}") from error
    return target

"""The report in a headless Chromium: it opens, draws, filters, sorts and prints."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from report.shown import HOSTILE, Shown

from autotuner.report.browser import find_browser
from autotuner.report.images import write_images

Show = Callable[[Path], Shown]

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium or Chrome on the PATH")

VISIBLE_ROWS = "document.querySelectorAll('#configurations tbody tr:not([hidden])').length"
DRAWN = """[...document.querySelectorAll("[data-chart]")].map((node) => [
    node.id, node.querySelectorAll(".main-svg").length, (node.data || []).length])"""
POINTS = """document.getElementById("pareto-ttft").data
    .filter((t) => t.meta).reduce((sum, t) => sum + t.x.length, 0)"""
MOST_BYTES = 8_000_000


@pytest.fixture(params=["small_report", "grid_report", "large_report"])
def any_report(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def test_it_opens_and_draws_every_chart_without_a_complaint(any_report: Path, show: Show) -> None:
    page = show(any_report)
    page.draw_all()
    drawn = page.ask(DRAWN)
    assert len(drawn) >= 8
    assert [chart for chart in drawn if chart[1] < 1 or chart[2] < 1] == []
    assert page.complaints == []


def test_a_thousand_experiments_fit_into_a_small_file(large_report: Path, show: Show) -> None:
    assert large_report.stat().st_size < MOST_BYTES
    assert show(large_report).ask(VISIBLE_ROWS) == 1000


def test_charts_are_drawn_when_they_come_into_view(small_report: Path, show: Show) -> None:
    page = show(small_report)
    ask = """new Promise((done) => {
        const chart = document.querySelector("[data-chart=timeline]");
        const before = chart.querySelectorAll(".main-svg").length;
        chart.scrollIntoView();
        const look = () => chart.querySelector(".main-svg") ? done(before) : setTimeout(look, 20);
        look();
    })"""
    assert page.ask(ask) == 0


def test_search_filters_table_and_charts(grid_report: Path, show: Show) -> None:
    page = show(grid_report)
    page.draw_all()
    before = page.ask(POINTS)
    page.ask("document.getElementById('filter-text').focus()")
    page.browser.call("Input.insertText", {"text": "max-num-seqs=64"})
    ask = f"""new Promise((done) => {{
        const look = () => {VISIBLE_ROWS} === 2 ? done({POINTS}) : setTimeout(look, 20);
        look();
    }})"""
    assert 0 < page.ask(ask) < before
    assert page.ask("document.getElementById('filter-count').textContent") == "2 of 5 shown"


def test_search_finds_what_is_written_in_the_table(grid_report: Path, show: Show) -> None:
    page = show(grid_report)
    page.ask("document.getElementById('filter-text').value = 'OUT of memory'")
    page.choose("filter-status", "all")
    assert page.ask(VISIBLE_ROWS) == 1


def test_a_parameters_value_filters_table_and_charts(grid_report: Path, show: Show) -> None:
    page = show(grid_report)
    page.draw_all()
    page.choose("filter-0", "2")
    rows = page.ask(
        "[...document.querySelectorAll('#configurations tbody tr:not([hidden])')]"
        ".map((row) => row.cells[1].textContent)"
    )
    assert rows
    assert set(rows) == {"2"}
    curves = page.ask("document.getElementById('curves-ttft-p50').data.map((t) => t.name)")
    legend = page.ask(
        "[...document.querySelectorAll('#curves-legend li')].map((i) => i.textContent)"
    )
    assert all("tensor-parallel-size=2" in name or "baseline" in name for name in curves)
    assert curves == legend
    page.ask("document.querySelector('#filters button[type=reset]').click()")
    assert page.ask(f"new Promise((done) => setTimeout(() => done({VISIBLE_ROWS})))") == 5


def test_status_filters_out_what_failed(grid_report: Path, show: Show) -> None:
    page = show(grid_report)
    all_rows = page.ask(VISIBLE_ROWS)
    page.choose("filter-status", "failed")
    failed = page.ask(VISIBLE_ROWS)
    page.choose("filter-status", "feasible")
    assert 0 < failed < all_rows
    assert page.ask(VISIBLE_ROWS) == all_rows - failed


def test_of_many_curves_the_best_and_the_baseline_are_shown(large_report: Path, show: Show) -> None:
    page = show(large_report)
    page.draw_all()
    names = page.ask("document.getElementById('curves-tpot-p99').data.map((t) => t.name)")
    assert len(names) == 13
    assert names[0].endswith("(baseline)")
    assert [name.split()[0] for name in names[1:4]] == ["#1", "#2", "#3"]
    page.choose("filter-0", "8")
    names = page.ask("document.getElementById('curves-tpot-p99').data.map((t) => t.name)")
    assert all("tensor-parallel-size=8" in name for name in names[1:])


def test_a_heading_sorts_by_keyboard_with_missing_values_last(
    grid_report: Path, show: Show
) -> None:
    page = show(grid_report)
    page.ask(
        "[...document.querySelectorAll('#configurations thead button')]"
        ".find((b) => b.textContent === 'TPOT').focus()"
    )
    column = page.ask("Number(document.activeElement.dataset.column)")
    for direction in ("ascending", "descending"):
        page.press("Enter", code=13, text="\r")
        assert page.ask("document.activeElement.parentNode.ariaSort") == direction
        keys = page.ask(
            "[...document.querySelectorAll('#configurations tbody tr')]"
            f".map((row) => row.cells[{column}].dataset.v)"
        )
        known = [float(key) for key in keys if key]
        assert known == sorted(known, reverse=direction == "descending")
        assert "" not in keys[: len(known)]
        assert len(known) < len(keys)
    assert page.ask("document.querySelectorAll('[aria-sort=ascending]').length") == 0


def test_details_show_the_command_and_close_again(grid_report: Path, show: Show) -> None:
    page = show(grid_report)
    page.ask("document.querySelector('#configurations tbody button').focus()")
    page.press("Enter", code=13, text="\r")
    assert "sim-server --model" in page.ask("document.querySelector('tr.more').textContent")
    assert page.ask("document.activeElement.ariaExpanded") == "true"
    page.press("Enter", code=13, text="\r")
    assert page.ask("document.querySelectorAll('tr.more').length") == 0


def test_markup_in_a_label_is_shown_as_text_and_never_runs(
    hostile_report: Path, show: Show
) -> None:
    page = show(hostile_report)
    page.draw_all()
    page.ask("document.querySelectorAll('#configurations tbody button').forEach((b) => b.click())")
    hover = """new Promise((done) => {
        const node = document.getElementById("pareto-ttft");
        const places = node.data.flatMap(({ hovertext }, curveNumber) =>
            (hovertext || []).map((text, pointNumber) => ({ curveNumber, pointNumber, text })));
        Plotly.Fx.hover(node, [places.find((place) => place.text.includes("script"))]);
        const look = () => {
            const text = node.querySelector(".hoverlayer").textContent;
            if (text) done(text); else setTimeout(look, 20);
        };
        look();
    })"""
    shown = page.ask(hover)
    assert HOSTILE in shown
    assert page.ask("document.querySelectorAll('img, a[href^=javascript]').length") == 0
    assert page.ask("typeof hacked") == "undefined"
    assert HOSTILE in page.ask("document.getElementById('curves-legend').textContent")
    assert page.complaints == []


def test_nothing_is_wider_than_a_small_screen(any_report: Path, show: Show) -> None:
    page = show(any_report)
    metrics = {"height": 800, "deviceScaleFactor": 1, "mobile": False}
    try:
        page.browser.call("Emulation.setDeviceMetricsOverride", {"width": 400, **metrics})
        page.draw_all()
        assert page.ask("document.documentElement.scrollWidth") <= 400
    finally:
        page.browser.call("Emulation.setDeviceMetricsOverride", {"width": 1360, **metrics})


def test_on_paper_there_are_charts_and_no_controls(large_report: Path, show: Show) -> None:
    page = show(large_report)
    page.browser.call("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        page.ask("window.dispatchEvent(new Event('beforeprint'))")
        hidden = "getComputedStyle(document.getElementById('filters')).display"
        assert page.ask(hidden) == "none"
        assert [chart for chart in page.ask(DRAWN) if chart[1] < 1] == []
        widths = "[...document.querySelectorAll('.main-svg')].map((s) => s.clientWidth)"
        assert max(page.ask(widths)) <= 700
        rows = "[...document.querySelectorAll('#configurations tbody tr')]"
        assert page.ask(f"{rows}.filter((r) => r.clientHeight > 0).length") == 60
        assert "The first 60 of 1000" in page.ask(
            "document.getElementById('print-note').textContent"
        )
        page.ask("window.dispatchEvent(new Event('afterprint'))")
        assert page.ask("document.getElementById('print-note').textContent") == ""
    finally:
        page.browser.call("Emulation.setEmulatedMedia", {"media": ""})


def test_it_prints_to_a_few_pages(small_report: Path, show: Show) -> None:
    page = show(small_report)
    printed = page.browser.call("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    pdf = base64.b64decode(str(printed["data"]))
    assert pdf.startswith(b"%PDF")
    assert 3 <= pdf.count(b"/Type /Page\n") <= 15


def test_every_chart_becomes_a_png(small_report: Path, show: Show) -> None:
    names = show(small_report).ask("report.chartIds()")
    images = write_images(small_report)
    assert [image.name for image in images] == [f"report-{name}.png" for name in names]
    for image in images:
        content = image.read_bytes()
        assert content.startswith(b"\x89PNG")
        width = int.from_bytes(content[16:20], "big")
        assert width == 2000

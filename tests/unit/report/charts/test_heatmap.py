"""The heat map: scores where there are any, and the reason where there are none."""

from __future__ import annotations

from autotuner.report.charts.heatmap import Cell, heatmap_chart

VALUES = {"size": ["8", "16"], "cache": ["a", "b"]}
CELLS = [
    Cell("8", "a", 10.0, "", "one"),
    Cell("8", "b", None, "out of memory at load", "two"),
    Cell("16", "a", 12.0, "", "<three>"),
]


def test_cells_are_where_their_values_are() -> None:
    chart = heatmap_chart(("size", "cache"), VALUES, CELLS, "tok/s", larger_is_better=True)
    (trace,) = chart.figure["data"]  # type: ignore[misc]
    assert trace["z"] == [[10.0, None], [12.0, None]]
    assert (trace["x"], trace["y"]) == (["a", "b"], ["8", "16"])
    assert trace["hovertext"][1][0].startswith("&lt;three&gt;")


def test_cells_without_a_score_are_marked_with_the_reason() -> None:
    chart = heatmap_chart(("size", "cache"), VALUES, CELLS, "tok/s", larger_is_better=True)
    notes = chart.figure["layout"]["annotations"]  # type: ignore[index]
    assert [(n["x"], n["y"], n["hovertext"]) for n in notes] == [
        (1, 0, "out of memory at load"),
        (1, 1, "not in the plan"),
    ]
    assert notes[0]["text"] == "✕<br>out of memory<br>at load"


def test_dark_is_good_in_both_directions() -> None:
    reverse = [
        heatmap_chart(("size", "cache"), VALUES, CELLS, "s", larger_is_better=larger).figure[
            "data"
        ][0]["reversescale"]  # type: ignore[index]
        for larger in (True, False)
    ]
    assert reverse == [True, False]

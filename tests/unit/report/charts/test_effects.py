"""Charts of effects: a panel per parameter, a line per value, text escaped."""

from __future__ import annotations

from autotuner.report.charts.effects import effects_chart, interaction_chart
from autotuner.report.parameter_effects import Interaction, MainEffect

EFFECTS = [
    MainEffect("size", "8", 4, -0.1, -0.2, 0.05),
    MainEffect("size", "16", 1, 0.1, None, None),
    MainEffect("<b>", "<i>", 0, None, None, None),
]


def test_each_parameter_has_a_panel_of_its_own() -> None:
    chart = effects_chart(EFFECTS)
    assert chart is not None
    data, layout = chart.figure["data"], chart.figure["layout"]
    assert [t["yaxis"] for t in data] == ["y", "y2"]  # type: ignore[attr-defined]
    assert data[0]["x"] == [-10.0, 10.0]  # type: ignore[index]
    assert data[0]["error_x"]["arrayminus"] == [10.0, 0.0]  # type: ignore[index]
    first, second = layout["yaxis"]["domain"], layout["yaxis2"]["domain"]  # type: ignore[index]
    assert first[0] >= second[1], "panels do not overlap"


def test_a_value_without_a_score_has_a_row_and_no_point() -> None:
    chart = effects_chart(EFFECTS)
    assert chart is not None
    layout = chart.figure["layout"]
    assert chart.figure["data"][1]["x"] == []  # type: ignore[index]
    assert layout["yaxis2"]["categoryarray"] == ["&lt;i&gt; (n=0)"]  # type: ignore[index]
    assert layout["annotations"][1]["text"] == "<b>&lt;b&gt;</b>"  # type: ignore[index]


def test_without_parameters_there_is_no_chart() -> None:
    assert effects_chart([]) is None


def test_an_interaction_names_its_odd_cell_and_leaves_gaps() -> None:
    found = Interaction(
        "size", "cache", ("8", "16"), ("a", "b"), ((1.0, 2.0), (3.0, None)), (0, 1), 0.12
    )
    chart = interaction_chart(found, "tok/s")
    assert [t["y"] for t in chart.figure["data"]] == [[1.0, 3.0], [2.0, None]]  # type: ignore[attr-defined]
    assert "size = 8 with cache = b scores +12.0 %" in chart.description
    assert chart.figure["layout"]["yaxis"]["title"]["text"] == "mean score (tok/s)"  # type: ignore[index]

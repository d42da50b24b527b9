"""The score over a grid of two parameters; what has none says why."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotuner.report.charts.chart import INK, Chart, axis, layout, plain
from autotuner.report.wording import number, quantity

__all__ = ["Cell", "heatmap_chart"]

_MOST_CELLS_WITH_TEXT = 150
_MANY_COLUMNS = 8
_LINE_CHARS = 14


@dataclass(frozen=True, slots=True)
class Cell:
    """One configuration of the grid."""

    row: str
    """Value of the first parameter."""
    column: str
    """Value of the second."""
    score: float | None
    problem: str
    """Why it has no score that counts, in a few words; empty where it has."""
    name: str


def heatmap_chart(
    parameters: tuple[str, str],
    values: Mapping[str, Sequence[str]],
    cells: Sequence[Cell],
    unit: str,
    *,
    larger_is_better: bool,
) -> Chart:
    """The second parameter from left to right, the first from bottom to top."""
    first, second = parameters
    rows, columns = list(values[first]), list(values[second])
    at = {(cell.row, cell.column): cell for cell in cells}
    scores = [[_score(at.get((row, column))) for column in columns] for row in rows]
    trace: dict[str, object] = {
        "type": "heatmap",
        "x": [plain(value) for value in columns],
        "y": [plain(value) for value in rows],
        "z": scores,
        "hovertext": [[_hover(at.get((row, column)), unit) for column in columns] for row in rows],
        "hoverinfo": "text",
        "hoverongaps": False,
        # Dark is good, on a screen for any eyes as well as in print.
        "colorscale": "Cividis",
        "reversescale": larger_is_better,
        "xgap": 2,
        "ygap": 2,
        "colorbar": {"title": {"text": unit, "side": "top"}, "thickness": 14},
    }
    if len(rows) * len(columns) <= _MOST_CELLS_WITH_TEXT:
        trace["text"] = [["" if z is None else number(z) for z in of_row] for of_row in scores]
        trace["texttemplate"] = "%{text}"
    return Chart(
        "heatmap",
        f"Score over {first} and {second}",
        {
            "data": [trace],
            "layout": layout(
                plot_bgcolor="#eeeeee",
                margin={"l": 70, "r": 20, "t": 45, "b": 60},
                xaxis=axis(plain(second), type="category", showgrid=False),
                yaxis=axis(plain(first), type="category", showgrid=False),
                annotations=_gaps(rows, columns, at),
            ),
        },
        _description(parameters, cells, unit),
        height_px=max(300, 140 + 56 * len(rows)),
        has_rows=True,
    )


def _score(cell: Cell | None) -> float | None:
    return None if cell is None or cell.score is None else float(f"{cell.score:.5g}")


def _gaps(
    rows: Sequence[str], columns: Sequence[str], at: Mapping[tuple[str, str], Cell]
) -> list[dict[str, object]]:
    """A mark on each cell without a score."""
    return [
        {
            "x": x,
            "y": y,
            "text": _mark(_problem(at.get((row, column))), short=len(columns) > _MANY_COLUMNS),
            "hovertext": plain(_problem(at.get((row, column)))),
            "showarrow": False,
            "font": {"size": 11, "color": INK},
        }
        for y, row in enumerate(rows)
        for x, column in enumerate(columns)
        if _score(at.get((row, column))) is None
    ]


def _mark(problem: str, *, short: bool) -> str:
    lines = [] if short else textwrap.wrap(problem, _LINE_CHARS)
    return "<br>".join(["✕", *map(plain, lines)])


def _problem(cell: Cell | None) -> str:
    return "not in the plan" if cell is None else cell.problem or "no score"


def _hover(cell: Cell | None, unit: str) -> str:
    return "" if cell is None else f"{plain(cell.name)}<br>{quantity(cell.score, unit)}"


def _description(parameters: tuple[str, str], cells: Sequence[Cell], unit: str) -> str:
    texts = (
        f"{parameters[0]} {cell.row} with {parameters[1]} {cell.column}: "
        + (quantity(cell.score, unit) if cell.score is not None else cell.problem)
        for cell in cells
    )
    return "Heat map. " + "; ".join(texts) + "."

"""Main effects as one panel per parameter, and the strongest interaction as lines."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from autotuner.report.charts.chart import (
    COLORS,
    DASHES,
    GREY,
    INK,
    SYMBOLS,
    Chart,
    axis,
    layout,
    plain,
)
from autotuner.report.parameter_effects import Interaction, MainEffect
from autotuner.report.wording import counted, quantity, signed_percent

__all__ = ["effects_chart", "interaction_chart"]

_ROW_PX, _HEADING_PX, _FOOT_PX = 26, 34, 60
_ABOVE_PX = 14


def effects_chart(effects: Sequence[MainEffect]) -> Chart | None:
    """One row per value, grouped by parameter; None where there is nothing to show."""
    groups = [
        (parameter, list(of_it))
        for parameter, of_it in itertools.groupby(effects, key=lambda e: e.parameter)
    ]
    if not groups:
        return None
    height = _FOOT_PX + _ABOVE_PX + sum(_HEADING_PX + _ROW_PX * len(g) for _, g in groups)
    inner = height - _FOOT_PX - _ABOVE_PX
    traces, axes, headings = [], {}, []
    top = 1.0
    for number, (parameter, of_it) in enumerate(groups, start=1):
        top -= _HEADING_PX / inner
        bottom = max(0.0, top - _ROW_PX * len(of_it) / inner)
        suffix = "" if number == 1 else str(number)
        traces.append(_trace(of_it, f"y{suffix}"))
        axes[f"yaxis{suffix}"] = _panel_axis(of_it, bottom, top)
        headings.append(_heading(parameter, top))
        top = bottom
    return Chart(
        "effects",
        "What each parameter does on average",
        {
            "data": traces,
            "layout": layout(
                showlegend=False,
                margin={"l": 90, "r": 20, "t": _ABOVE_PX, "b": _FOOT_PX},
                xaxis=axis(
                    "score against the mean",
                    ticksuffix=" %",
                    zeroline=True,
                    zerolinecolor=INK,
                    anchor=f"y{'' if len(groups) == 1 else len(groups)}",
                ),
                annotations=headings,
                **axes,
            ),
        },
        _description(groups),
        height_px=height,
        has_rows=True,
    )


def _trace(effects: Sequence[MainEffect], y_axis: str) -> dict[str, object]:
    known = [e for e in effects if e.effect is not None]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [_percent(e.effect) for e in known],
        "y": [plain(_value_text(e)) for e in known],
        "yaxis": y_axis,
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [_distance(e.effect, e.high) for e in known],
            "arrayminus": [_distance(e.low, e.effect) for e in known],
            "color": GREY,
            "thickness": 1.5,
            "width": 4,
        },
        "hovertext": [
            f"{plain(e.parameter)} = {plain(e.value)}<br>{signed_percent(e.effect)}, "
            f"{counted(e.count, 'configuration')}"
            for e in known
        ],
        "hoverinfo": "text",
        "marker": {"size": 10, "color": COLORS[1]},
    }


def _panel_axis(effects: Sequence[MainEffect], bottom: float, top: float) -> dict[str, object]:
    return axis(
        "",
        domain=[bottom, top],
        type="category",
        categoryorder="array",
        # From the top down.
        categoryarray=[plain(_value_text(e)) for e in reversed(effects)],
        range=[-0.5, len(effects) - 0.5],
        showgrid=True,
        anchor="x",
        fixedrange=True,
    )


def _heading(parameter: str, top: float) -> dict[str, object]:
    return {
        "text": f"<b>{plain(parameter)}</b>",
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "y": top,
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
    }


def _value_text(effect: MainEffect) -> str:
    return f"{effect.value} (n={effect.count})"


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else float(f"{fraction * 100:.4g}")


def _distance(low: float | None, high: float | None) -> float:
    return 0.0 if low is None or high is None else round((high - low) * 100, 3)


def _description(groups: Sequence[tuple[str, Sequence[MainEffect]]]) -> str:
    parts = []
    for parameter, effects in groups:
        values = ", ".join(f"{e.value} {signed_percent(e.effect)}" for e in effects)
        parts.append(f"{parameter}: {values}")
    return "Mean score per value, relative to all configurations. " + "; ".join(parts) + "."


def interaction_chart(found: Interaction, unit: str) -> Chart:
    """One line per value of the second parameter, over the values of the first."""
    row, column = found.worst_cell
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": plain(f"{found.second} = {value}"),
            "x": [plain(first) for first in found.first_values],
            "y": [_digits(of_row[number]) for of_row in found.means],
            "line": {
                "color": COLORS[number % len(COLORS)],
                "dash": DASHES[number % len(DASHES)],
                "width": 2,
            },
            "marker": {"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 8},
            "connectgaps": False,
        }
        for number, value in enumerate(found.second_values)
    ]
    sentence = (
        f"{found.first} = {found.first_values[row]} with {found.second} = "
        f"{found.second_values[column]} scores {signed_percent(found.residual)} against what the "
        "two add up to by themselves"
    )
    return Chart(
        "interaction",
        f"Strongest interaction: {found.first} with {found.second}",
        {
            "data": traces,
            "layout": layout(
                xaxis=axis(plain(found.first), type="category"),
                yaxis=axis(f"mean score ({unit})"),
            ),
        },
        f"Line chart: {sentence}. Mean scores: {_cells(found, unit)}.",
        height_px=420,
    )


def _cells(found: Interaction, unit: str) -> str:
    return "; ".join(
        f"{found.first} = {first}: "
        + ", ".join(
            f"{second} {quantity(mean, unit)}"
            for second, mean in zip(found.second_values, means, strict=True)
        )
        for first, means in zip(found.first_values, found.means, strict=True)
    )


def _digits(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")

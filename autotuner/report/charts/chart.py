"""What a chart is, and what all charts look like: on white, in print, for any eyes."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "BASELINE_COLOR",
    "COLORS",
    "DASHES",
    "GREY",
    "INK",
    "LEADER_COLOR",
    "SYMBOLS",
    "Chart",
    "Figure",
    "axis",
    "layout",
    "plain",
    "value_axis",
]

Figure = dict[str, object]
"""``data`` and ``layout`` of Plotly's JSON.

A trace's ``meta`` ties it to experiments, so that the page can filter it: ``experiment`` is the
one that the whole trace is of, ``experiments`` has one per point. Without either, it stays. The
page also puts the experiment's name in front of what is shown at a point, so that each is in the
file once.
"""

_SPAN = 20.0
_MANY_DECADES = 1e4
INK, GREY, RULE = "#1a1a1a", "#8a8a8a", "#dddddd"
LEADER_COLOR, BASELINE_COLOR = "#D55E00", "#1a1a1a"
# Okabe and Ito's palette without yellow, which white paper swallows.
COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5b4a9e")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SYMBOLS = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "x",
    "triangle-down",
    "star",
    "cross",
    "hexagon",
    "pentagon",
    "bowtie",
    "hourglass",
)


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure with the words that belong to it."""

    id: str
    title: str
    figure: Figure
    description: str
    """What it shows, for those who do not see it."""
    height_px: int = 440
    has_rows: bool = False
    """Whether its height is that of its rows, which paper must not shrink."""
    selects: bool = False
    """Whether it has a curve for every experiment, of which the page shows the best."""


def layout(**changes: object) -> dict[str, object]:
    """The layout of every chart, with what is special to one."""
    base: dict[str, object] = {
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
        "margin": {"l": 70, "r": 20, "t": 20, "b": 60},
        "hovermode": "closest",
        "hoverlabel": {"align": "left", "bgcolor": "#ffffff", "font": {"color": INK}},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "left", "x": 0},
    }
    return {**base, **changes}


def axis(title: str, **changes: object) -> dict[str, object]:
    """An axis; its title says the unit."""
    base: dict[str, object] = {
        "title": {"text": title, "standoff": 10},
        "gridcolor": RULE,
        "linecolor": GREY,
        "zeroline": False,
        "showline": True,
        "ticks": "outside",
        "automargin": True,
    }
    return {**base, **changes}


def value_axis(title: str, values: Sequence[float], **changes: object) -> dict[str, object]:
    """An axis from 0, or a logarithmic one where the values span decades."""
    positive = [value for value in values if value > 0]
    if len(positive) < len(values) or max(positive, default=1) <= _SPAN * min(positive, default=1):
        return axis(title, rangemode="tozero", **changes)
    # Every number in full: Plotly would write 0.05 as a small 5.
    few = max(positive) <= _MANY_DECADES * min(positive)
    return axis(title, type="log", dtick="D2" if few else 1, tickformat="~g", **changes)


def plain(text: str) -> str:
    """Text for Plotly, which would take ``<b>`` or ``<a href=...>`` in it for a tag."""
    return html.escape(text, quote=False)

"""Throughput against what a user feels of it: tokens per second, and time to the first token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from autotuner.report.charts.chart import (
    BASELINE_COLOR,
    COLORS,
    GREY,
    LEADER_COLOR,
    SYMBOLS,
    Chart,
    axis,
    layout,
    plain,
    value_axis,
)
from autotuner.report.subject import Configuration
from autotuner.report.wording import counted, quantity

__all__ = ["MOST_POINTS", "pareto_charts", "sampled"]

MOST_POINTS = 2000
"""More are slow to draw and cover each other."""


@dataclass(frozen=True, slots=True)
class _Side:
    id: str
    title: str
    column: str
    axis_title: str
    larger_is_better: bool


_SIDES = (
    _Side(
        "pareto-interactivity",
        "Throughput against interactivity",
        "interactivity_tok_s",
        "interactivity: tokens/s that one user sees (1 / median TPOT)",
        larger_is_better=True,
    ),
    _Side(
        "pareto-ttft",
        "Throughput against time to first token",
        "ttft_s_p50",
        "time to first token, median (s)",
        larger_is_better=False,
    ),
)
_FRONT_DASHES = ("solid", "dash", "dot", "dashdot")


def pareto_charts(
    points: pd.DataFrame, configurations: Mapping[str, Configuration]
) -> tuple[tuple[Chart, ...], str]:
    """Both charts, and the caption that they share; no charts where there are no points.

    Args:
        points: As `pareto_points` gives them.
        configurations: By experiment id.
    """
    if points.empty:
        return (), "No level has throughput, TTFT and TPOT: there is no front to draw."
    shown = sampled(points, configurations)
    caption = (
        "Each point is one concurrency level of one configuration. Filled points are on the "
        "front: no other is at least as good in throughput, interactivity and time to first "
        "token, and better in one. The line joins the best of the two numbers shown."
    )
    if len(shown) < len(points):
        caption += (
            f" Shown are {len(shown):,} of {counted(len(points), 'point')}: all of the front, of "
            "the leader and of the baseline, and a sample of the rest."
        )
    return tuple(_chart(side, shown, points, configurations) for side in _SIDES), caption


def sampled(points: pd.DataFrame, configurations: Mapping[str, Configuration]) -> pd.DataFrame:
    """At most about `MOST_POINTS`: front, leader, baseline, and evenly spread others."""
    if len(points) <= MOST_POINTS:
        return points
    special = points["experiment_id"].map(
        lambda id_: configurations[id_].standing == "leader" or configurations[id_].is_baseline
    )
    kept = (points["on_front"] | special).to_numpy(dtype=bool, copy=True)
    others = np.flatnonzero(~kept)
    room = max(0, MOST_POINTS - int(kept.sum()))
    # Drawn, since every n-th would be the same concurrency each time.
    drawn = np.random.default_rng(0).permutation(others)[:room]
    kept[drawn] = True
    return points[kept]


def _chart(
    side: _Side,
    shown: pd.DataFrame,
    points: pd.DataFrame,
    configurations: Mapping[str, Configuration],
) -> Chart:
    per = "per GPU" if str(points["per"].iloc[0]) == "GPU" else "of the server"
    workloads = list(dict.fromkeys(points["workload"]))
    traces: list[dict[str, object]] = []
    for number, workload in enumerate(workloads):
        of_it = shown[shown["workload"] == workload]
        word = f" ({workload})" if len(workloads) > 1 else ""
        traces += _point_traces(side, of_it, configurations, number, word)
        traces.append(_front_line(side, points[points["workload"] == workload], number, word))
    return Chart(
        side.id,
        side.title,
        {
            "data": traces,
            "layout": layout(
                xaxis=value_axis(side.axis_title, shown[side.column].tolist()),
                yaxis=axis(f"output tokens/s {per}", rangemode="tozero"),
            ),
        },
        _description(side, points, configurations, per),
        height_px=480,
    )


def _point_traces(
    side: _Side,
    points: pd.DataFrame,
    configurations: Mapping[str, Configuration],
    workload_number: int,
    word: str,
) -> list[dict[str, object]]:
    def group(row_id: str, on_front: bool) -> str:
        configuration = configurations[row_id]
        if configuration.standing == "leader":
            return "leader"
        return "baseline" if configuration.is_baseline else "front" if on_front else "other"

    groups = [
        group(id_, front)
        for id_, front in zip(points["experiment_id"], points["on_front"], strict=True)
    ]
    return [
        _points(side, points[[g == name for g in groups]], configurations, name, marker, word)
        for name, marker in _markers(workload_number).items()
        if name in groups
    ]


def _markers(workload_number: int) -> dict[str, dict[str, object]]:
    symbol = SYMBOLS[workload_number % len(SYMBOLS)]
    front = COLORS[1 + workload_number % (len(COLORS) - 1)]
    return {
        "other": {"symbol": f"{symbol}-open", "size": 6, "color": GREY, "opacity": 0.55},
        "front": {"symbol": symbol, "size": 8, "color": front},
        "leader": {
            "symbol": "star",
            "size": 15,
            "color": LEADER_COLOR,
            "line": {"width": 1, "color": "#ffffff"},
        },
        # Last, since it may lie on the leader, whose mark is larger.
        "baseline": {
            "symbol": "x",
            "size": 10,
            "color": BASELINE_COLOR,
            "line": {"width": 1, "color": "#ffffff"},
        },
    }


_NAMES = {
    "other": "other levels",
    "front": "on the front",
    "baseline": "baseline",
    "leader": "leader",
}


def _points(
    side: _Side,
    points: pd.DataFrame,
    configurations: Mapping[str, Configuration],
    group: str,
    marker: dict[str, object],
    word: str,
) -> dict[str, object]:
    rows = points.to_dict("records")
    texts = [
        f"{plain(row['workload'])} at concurrency {row['concurrency']}<br>"
        f"{quantity(row['throughput_tok_s_per_gpu'], 'tok/s')}, "
        f"{quantity(row['interactivity_tok_s'], 'tok/s')} per user, "
        f"TTFT {quantity(row['ttft_s_p50'], 's')}"
        for row in rows
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": plain(_NAMES[group] + word),
        "x": _short(points[side.column]),
        "y": _short(points["throughput_tok_s_per_gpu"]),
        "hovertext": texts,
        "hoverinfo": "text",
        "marker": marker,
        "meta": {"experiments": [configurations[row["experiment_id"]].index for row in rows]},
    }


def _front_line(side: _Side, points: pd.DataFrame, number: int, word: str) -> dict[str, object]:
    """Steps along the points that nobody beats in the two numbers of the chart."""
    ordered = points.sort_values(
        ["throughput_tok_s_per_gpu", side.column], ascending=[False, not side.larger_is_better]
    )
    values = ordered[side.column]
    best = values.cummax() if side.larger_is_better else values.cummin()
    line = ordered[(values == best) & ~best.duplicated()]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": plain("best of the two" + word),
        "x": _short(line[side.column]),
        "y": _short(line["throughput_tok_s_per_gpu"]),
        "hoverinfo": "skip",
        "line": {
            "color": COLORS[1 + number % (len(COLORS) - 1)],
            "width": 1.5,
            "dash": _FRONT_DASHES[number % len(_FRONT_DASHES)],
            "shape": "vh",
        },
    }


def _description(
    side: _Side,
    points: pd.DataFrame,
    configurations: Mapping[str, Configuration],
    per: str,
) -> str:
    front = points[points["on_front"]].to_dict("records")
    by_throughput = max(front, key=lambda row: row["throughput_tok_s_per_gpu"])
    sign = 1 if side.larger_is_better else -1
    extreme = max(front, key=lambda row: sign * row[side.column])
    unit = "tok/s per user" if side.larger_is_better else "s"
    return (
        f"Scatter chart of {counted(len(points), 'level')}, {len(front)} of them on the front. "
        f"Most throughput: {configurations[by_throughput['experiment_id']].name} at concurrency "
        f"{by_throughput['concurrency']} with "
        f"{quantity(by_throughput['throughput_tok_s_per_gpu'], 'tok/s')} {per}. "
        f"Best in the other number: {configurations[extreme['experiment_id']].name} at "
        f"concurrency {extreme['concurrency']} with {quantity(extreme[side.column], unit)}."
    )


def _short(values: pd.Series[float]) -> list[float]:
    """Five digits are more than a screen shows, and keep the file small."""
    return [float(f"{value:.5g}") for value in values]

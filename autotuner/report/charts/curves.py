"""Latency against throughput, one curve per configuration over its concurrency levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log10

import pandas as pd

from autotuner.report.charts.chart import INK, Chart, axis, layout, value_axis
from autotuner.report.subject import Configuration
from autotuner.report.wording import counted, quantity
from autotuner.results.limits import finite
from autotuner.spec.judging import Judging

__all__ = ["curve_charts"]


@dataclass(frozen=True, slots=True)
class _Panel:
    metric: str
    statistic: str
    words: str

    @property
    def column(self) -> str:
        return f"{self.metric}_{self.statistic}"

    @property
    def short(self) -> str:
        return f"{self.metric[:-2].upper()} {self.statistic} (s)"


_PANELS = (
    _Panel("ttft_s", "p50", "time to first token, median"),
    _Panel("ttft_s", "p99", "time to first token, 99th percentile"),
    _Panel("tpot_s", "p50", "time per output token, median"),
    _Panel("tpot_s", "p99", "time per output token, 99th percentile"),
)
_THROUGHPUT = "output_throughput_tok_s"


def curve_charts(
    levels: pd.DataFrame,
    configurations: Sequence[Configuration],
    judging: Judging,
    workload: str,
    number: int | None = None,
) -> tuple[Chart, ...]:
    """One chart per latency; those without any number are left out.

    Args:
        levels: Pooled levels.
        configurations: In the order of the ranking, which is that of the curves.
        workload: The one whose levels are drawn.
        number: Tells the ids of its charts from those of another workload.
    """
    usable = levels[(levels["workload"] == workload) & (levels["status"] == "ok")]
    per_gpu = bool(usable["output_throughput_tok_s_per_gpu"].notna().any())
    x = "output_throughput_tok_s_per_gpu" if per_gpu else _THROUGHPUT
    by_experiment = dict(iter(usable.sort_values("concurrency").groupby("experiment_id")))
    charts = []
    for panel in _PANELS:
        curves = [
            curve
            for c in configurations
            if c.id in by_experiment
            and (curve := _curve(c, by_experiment[c.id], panel, x)) is not None
        ]
        if curves:
            chart = _chart(panel, curves, judging, workload, per_gpu=per_gpu)
            charts.append(chart if number is None else replace(chart, id=f"{chart.id}-{number}"))
    return tuple(charts)


def _curve(
    configuration: Configuration, rows: pd.DataFrame, panel: _Panel, x: str
) -> dict[str, object] | None:
    points = [
        (throughput, latency, int(concurrency))
        for throughput, latency, concurrency in zip(
            map(finite, rows[x]), map(finite, rows[panel.column]), rows["concurrency"], strict=True
        )
        if throughput is not None and latency is not None
    ]
    if not points:
        return None
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [float(f"{throughput:.5g}") for throughput, _, _ in points],
        "y": [float(f"{latency:.5g}") for _, latency, _ in points],
        "text": [str(concurrency) for _, _, concurrency in points],
        "meta": {"experiment": configuration.index},
    }


def _chart(
    panel: _Panel,
    curves: list[dict[str, object]],
    judging: Judging,
    workload: str,
    *,
    per_gpu: bool,
) -> Chart:
    limits = _limits(panel, judging)
    values = [value for curve in curves for value in curve["y"]]  # type: ignore[attr-defined]
    scale = value_axis(panel.short, values)
    per = "per GPU" if per_gpu else "of the server"
    return Chart(
        f"curves-{panel.metric[:-2]}-{panel.statistic}",
        f"{panel.words[0].upper()}{panel.words[1:]} ({workload})",
        {
            "data": curves,
            "layout": layout(
                showlegend=False,
                xaxis=axis(f"output tokens/s {per}", rangemode="tozero"),
                yaxis=scale,
                shapes=[_line(limit, number) for number, (limit, _) in enumerate(limits)],
                annotations=[
                    _line_text(limit, words, number, logarithmic="type" in scale)
                    for number, (limit, words) in enumerate(limits)
                ],
            ),
        },
        f"Line chart of {panel.words} against throughput over the concurrency levels of workload "
        f"{workload}; {counted(len(curves), 'configuration')}, of which the best by rank and the "
        f"baseline are drawn. Values from {quantity(min(values), 's')} to "
        f"{quantity(max(values), 's')}"
        + "".join(f"; limit {limit:g} s ({words})" for limit, words in limits)
        + ".",
        height_px=380,
        selects=True,
    )


def _limits(panel: _Panel, judging: Judging) -> list[tuple[float, str]]:
    """Limits that the study sets for this very number, and for single requests."""
    of_levels = [
        (c.limit, "soft limit" if c.penalty is not None else "limit")
        for c in judging.constraints
        if c.column == panel.column and c.upper
    ]
    of_requests = [
        (slo.limit_s, "goodput: each request")
        for slo in judging.request_slos
        if slo.metric == panel.metric
    ]
    return of_levels + of_requests


def _line(limit: float, number: int) -> dict[str, object]:
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": limit,
        "y1": limit,
        "line": {"color": INK, "width": 1.5, "dash": ("dash", "dot", "dashdot")[number % 3]},
    }


def _line_text(limit: float, words: str, number: int, *, logarithmic: bool) -> dict[str, object]:
    return {
        # Plotly takes the place of an annotation on a logarithmic axis as a logarithm.
        "y": log10(limit) if logarithmic and limit > 0 else limit,
        "xref": "paper",
        # On the left, where latencies are low: nothing is likely to be there.
        "x": 0,
        "xanchor": "left",
        "yanchor": "top" if number % 2 else "bottom",
        "showarrow": False,
        "text": f"{words} {limit:g} s",
        "font": {"size": 11},
        "bgcolor": "rgba(255,255,255,0.8)",
    }

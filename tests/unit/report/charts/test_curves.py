"""Latency over throughput: one curve per configuration, with the study's limits."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from autotuner.report.charts.curves import curve_charts
from autotuner.report.subject import Configuration
from autotuner.spec.judging import Judging, RequestSlo
from autotuner.spec.objective import Constraint, Direction, Objective, Penalty

JUDGING = Judging(
    Objective("o", "requests_per_s", Direction.MAXIMIZE),
    (Constraint("ttft_s", "p99", 0.5), Constraint("tpot_s", "p50", 0.03, penalty=Penalty())),
    (RequestSlo("ttft_s", 0.2),),
)


def levels(gpus: bool = True, status: str = "ok") -> pd.DataFrame:
    rows = [
        {
            "experiment_id": f"e{n}",
            "workload": workload,
            "concurrency": concurrency,
            "status": status,
            "output_throughput_tok_s": 100.0 * concurrency,
            "output_throughput_tok_s_per_gpu": 50.0 * concurrency if gpus else None,
            "ttft_s_p50": 0.01 * concurrency,
            "ttft_s_p99": 0.02 * concurrency,
            "tpot_s_p50": 0.01,
            "tpot_s_p99": None,
        }
        for n in range(2)
        for workload in ("chat", "other")
        for concurrency in (8, 1)
    ]
    return pd.DataFrame(rows)


def draw(make: Callable[..., Configuration], frame: pd.DataFrame) -> dict[str, dict]:  # type: ignore[type-arg]
    charts = curve_charts(frame, [make(1), make(0)], JUDGING, "chat")
    return {chart.id: chart.figure for chart in charts}


def test_curves_run_over_concurrency_in_the_order_of_the_ranking(
    make_configuration: Callable[..., Configuration],
) -> None:
    figure = draw(make_configuration, levels())["curves-ttft-p50"]
    assert [t["meta"]["experiment"] for t in figure["data"]] == [1, 0]
    assert figure["data"][0]["text"] == ["1", "8"]
    assert figure["data"][0]["x"] == [50.0, 400.0]
    assert figure["data"][0]["y"] == [0.01, 0.08]


def test_without_gpus_the_throughput_is_that_of_the_server(
    make_configuration: Callable[..., Configuration],
) -> None:
    figure = draw(make_configuration, levels(gpus=False))["curves-ttft-p50"]
    assert figure["data"][0]["x"] == [100.0, 800.0]
    assert "of the server" in figure["layout"]["xaxis"]["title"]["text"]


def test_limits_are_lines_where_their_number_is_drawn(
    make_configuration: Callable[..., Configuration],
) -> None:
    figures = draw(make_configuration, levels())
    words = {
        id_: [note["text"] for note in figure["layout"]["annotations"]]
        for id_, figure in figures.items()
    }
    assert words == {
        "curves-ttft-p50": ["goodput: each request 0.2 s"],
        "curves-ttft-p99": ["limit 0.5 s", "goodput: each request 0.2 s"],
        "curves-tpot-p50": ["soft limit 0.03 s"],
    }
    shapes = figures["curves-ttft-p99"]["layout"]["shapes"]
    assert [shape["y0"] for shape in shapes] == [0.5, 0.2]
    assert len({shape["line"]["dash"] for shape in shapes}) == 2


def test_a_latency_that_nobody_has_is_not_drawn(
    make_configuration: Callable[..., Configuration],
) -> None:
    assert "curves-tpot-p99" not in draw(make_configuration, levels())


def test_levels_that_are_not_ok_are_not_drawn(
    make_configuration: Callable[..., Configuration],
) -> None:
    assert draw(make_configuration, levels(status="failed")) == {}


def test_charts_of_another_workload_have_ids_of_their_own(
    make_configuration: Callable[..., Configuration],
) -> None:
    charts = curve_charts(levels(), [make_configuration(0)], JUDGING, "other", 1)
    assert [chart.id for chart in charts] == [
        "curves-ttft-p50-1",
        "curves-ttft-p99-1",
        "curves-tpot-p50-1",
    ]
    assert charts[0].title == "Time to first token, median (other)"

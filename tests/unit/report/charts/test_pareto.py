"""The Pareto charts: what is drawn, marked and left out."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from autotuner.report.charts.pareto import MOST_POINTS, pareto_charts, sampled
from autotuner.report.subject import Configuration

Make = Callable[..., Configuration]


def frame(count: int, *, front: frozenset[int] = frozenset({0}), per: str = "GPU") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "experiment_id": [f"e{n}" for n in range(count)],
            "label": [f"size={n}" for n in range(count)],
            "workload": "chat",
            "concurrency": 8,
            "throughput_tok_s_per_gpu": [1000.0 + n for n in range(count)],
            "per": per,
            "interactivity_tok_s": [50.0 - n / count for n in range(count)],
            "ttft_s_p50": [0.1] * count,
            "on_front": [n in front for n in range(count)],
        }
    )


def by_id(make: Make, count: int, **special: int) -> dict[str, Configuration]:
    return {
        f"e{n}": make(
            n,
            standing="leader" if n == special.get("leader") else "",
            is_baseline=n == special.get("baseline"),
        )
        for n in range(count)
    }


def test_leader_baseline_front_and_the_rest_are_told_apart(make_configuration: Make) -> None:
    points = frame(4, front=frozenset({0, 1}))
    charts, _ = pareto_charts(points, by_id(make_configuration, 4, leader=0, baseline=3))
    traces = {t["name"]: t for t in charts[0].figure["data"]}  # type: ignore[attr-defined]
    assert {n: t["meta"]["experiments"] for n, t in traces.items() if "meta" in t} == {
        "other levels": [2],
        "on the front": [1],
        "leader": [0],
        "baseline": [3],
    }
    symbols = {t["marker"]["symbol"] for t in traces.values() if "marker" in t}
    assert len(symbols) == 4, "color alone tells nobody"


def test_axes_say_what_the_throughput_is_of(make_configuration: Make) -> None:
    for per, words in (("GPU", "per GPU"), ("server", "of the server")):
        charts, _ = pareto_charts(frame(2, per=per), by_id(make_configuration, 2))
        assert [c.id for c in charts] == ["pareto-interactivity", "pareto-ttft"]
        for chart in charts:
            layout = chart.figure["layout"]
            assert words in layout["yaxis"]["title"]["text"]  # type: ignore[index]
            assert words in chart.description


def test_a_large_study_is_sampled_without_front_leader_and_baseline(
    make_configuration: Make,
) -> None:
    count = MOST_POINTS + 500
    configurations = by_id(make_configuration, count, leader=2400, baseline=2300)
    points = frame(count, front=frozenset({7, 2222}))
    kept = set(sampled(points, configurations)["experiment_id"])
    assert len(kept) == MOST_POINTS
    assert {"e7", "e2222", "e2400", "e2300"} <= kept
    _, caption = pareto_charts(points, configurations)
    assert f"Shown are {MOST_POINTS:,} of {count:,} points" in caption
    again = set(sampled(points, configurations)["experiment_id"])
    assert again == kept


def test_a_small_study_is_not_sampled(make_configuration: Make) -> None:
    _, caption = pareto_charts(frame(3), by_id(make_configuration, 3))
    assert "Shown are" not in caption


def test_the_line_joins_the_best_of_both_numbers(make_configuration: Make) -> None:
    points = frame(3).assign(
        throughput_tok_s_per_gpu=[30.0, 20.0, 10.0], interactivity_tok_s=[1.0, 3.0, 2.0]
    )
    charts, _ = pareto_charts(points, by_id(make_configuration, 3))
    line = charts[0].figure["data"][-1]  # type: ignore[index]
    assert (line["x"], line["y"]) == ([1.0, 3.0], [30.0, 20.0])


def test_workloads_have_symbols_and_lines_of_their_own(make_configuration: Make) -> None:
    points = frame(2, front=frozenset({0, 1})).assign(workload=["chat", "<b>long</b>"])
    charts, _ = pareto_charts(points, by_id(make_configuration, 2))
    names = [t["name"] for t in charts[0].figure["data"]]  # type: ignore[attr-defined]
    assert "on the front (chat)" in names
    assert "best of the two (&lt;b&gt;long&lt;/b&gt;)" in names


def test_without_points_there_is_no_chart_but_a_reason() -> None:
    charts, caption = pareto_charts(frame(0), {})
    assert charts == ()
    assert "no front to draw" in caption

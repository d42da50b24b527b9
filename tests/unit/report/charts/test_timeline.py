"""The timeline: lanes, phases, and what is special about an attempt."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from autotuner.report.charts.timeline import stays_of, timeline_chart
from autotuner.report.subject import Configuration

START = pd.Timestamp("2026-03-02 08:00:00", tz="UTC")


def attempt(number: int = 1, **changes: object) -> dict[str, object]:
    return {
        "experiment_id": "e0",
        "attempt": number,
        "purpose": "search",
        "outcome": "completed",
        "failure_kind": None,
        "host": "node-a",
        "gpu_ids": ["0"],
        "started_at": START,
        "ended_at": START + pd.Timedelta(seconds=40),
        "seconds_actor_start": 2.0,
        "seconds_preflight": 1.0,
        "seconds_server_start": 10.0,
        "seconds_warmup": 3.0,
        "seconds_load": 20.0,
        "seconds_bench_overhead": 2.0,
        "seconds_stop": 1.0,
        "seconds_postflight": None,
        **changes,
    }


def draw(make: Callable[..., Configuration], *rows: dict[str, object]) -> dict:  # type: ignore[type-arg]
    chart = timeline_chart(stays_of(pd.DataFrame(rows)), {"e0": make(0)})
    assert chart is not None
    figure = chart.figure
    return {
        "traces": {t["name"]: t for t in figure["data"]},  # type: ignore[attr-defined]
        "lanes": figure["layout"]["yaxis"]["ticktext"],  # type: ignore[index]
        "words": chart.description,
    }


def test_phases_follow_each_other_from_when_the_slot_was_taken(
    make_configuration: Callable[..., Configuration],
) -> None:
    traces = draw(make_configuration, attempt())["traces"]
    spans = {name: (t["base"][0][11:], t["x"][0]) for name, t in traces.items()}
    assert spans == {
        "start": ("07:59:58.000", 13000),
        "warm-up": ("08:00:11.000", 3000),
        "load": ("08:00:14.000", 22000),
        "stop": ("08:00:36.000", 1000),
    }
    assert len({t["marker"]["pattern"]["shape"] for t in traces.values()}) == 4


def test_every_device_of_every_node_has_a_lane_and_a_wide_attempt_spans_its_own(
    make_configuration: Callable[..., Configuration],
) -> None:
    drawn = draw(
        make_configuration,
        attempt(gpu_ids=["0", "1", "3"]),
        attempt(host="node-b", gpu_ids=["10"]),
        attempt(host="node-b", gpu_ids=["2"]),
    )
    assert drawn["lanes"] == [
        "node-a GPU 0",
        "node-a GPU 1",
        "node-a GPU 3",
        "node-b GPU 2",
        "node-b GPU 10",
    ]
    # Devices 0, 1 and 3 are neighbouring lanes.
    assert drawn["traces"]["load"]["y"] == [1.0, 4.0, 3.0]
    assert drawn["traces"]["load"]["width"] == [2.78, 0.78, 0.78]


def test_without_devices_lanes_are_as_many_as_ran_at_once(
    make_configuration: Callable[..., Configuration],
) -> None:
    later = {"started_at": START + pd.Timedelta(seconds=60)}
    later["ended_at"] = later["started_at"] + pd.Timedelta(seconds=40)
    rows = [attempt(gpu_ids=[]), attempt(gpu_ids=[]), attempt(gpu_ids=[], **later)]
    assert draw(make_configuration, *rows)["lanes"] == ["node-a slot 1", "node-a slot 2"]


def test_special_attempts_are_marked(make_configuration: Callable[..., Configuration]) -> None:
    drawn = draw(
        make_configuration,
        attempt(outcome="failed", failure_kind="server_crashed"),
        attempt(2),
        attempt(3, purpose="confirm"),
        attempt(4, purpose="drift_check"),
        attempt(5, outcome="cancelled"),
        attempt(outcome="pruned"),
    )
    marks = {n: t["hovertext"] for n, t in drawn["traces"].items() if t["type"] == "scatter"}
    assert marks == {
        "failed": ["failed: server_crashed"],
        "cancelled": ["attempt 5, cancelled"],
        "pruned": ["pruned"],
        "retry": ["attempt 2, retry", "attempt 5, retry"],
        "repeat of a finalist": ["attempt 3, repeat of a finalist"],
        "drift check": ["attempt 4, drift check"],
    }


def test_the_words_say_how_long_devices_were_idle(
    make_configuration: Callable[..., Configuration],
) -> None:
    half = {"gpu_ids": ["1"], "ended_at": START + pd.Timedelta(seconds=19)}
    words = draw(make_configuration, attempt(), attempt(**half))["words"]
    assert "taken for 75.0 %" in words


def test_attempts_that_never_reached_a_node_are_not_drawn() -> None:
    lost = attempt(host=None, started_at=None)
    assert stays_of(pd.DataFrame([lost])) == ()
    assert timeline_chart((), {}) is None

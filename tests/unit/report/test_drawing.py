"""Which charts a study has, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from report.big_study import write_big_study

from autotuner.report.drawing import draw_effects, draw_latencies, draw_pareto, draw_timeline
from autotuner.report.subject import Subject, load_subject


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """Two parameters; one of four points runs out of memory."""
    axes = {"tensor-parallel-size": (1, 2), "max-num-seqs": (64, 128)}
    folder: Path = tmp_path_factory.mktemp("grid") / "study"
    return load_subject(write_big_study(folder, axes=axes))


def test_a_grid_of_two_parameters_has_a_heat_map_that_names_its_failure(grid: Subject) -> None:
    charts = {chart.id: chart for chart in draw_effects(grid).charts}
    assert "out of memory at load" in charts["heatmap"].description


def test_more_parameters_have_none(subject: Subject) -> None:
    ids = [chart.id for chart in draw_effects(subject).charts]
    assert ids[0] == "effects"
    assert "heatmap" not in ids


def test_a_baseline_outside_of_the_grid_is_in_no_effect(grid: Subject) -> None:
    baseline = grid.baseline
    assert baseline is not None
    assert grid.value_text(baseline, "max-num-seqs") == "32"
    assert baseline not in grid.in_space
    assert grid.varied["max-num-seqs"] == (64, 128)
    assert "1 of 4 configurations have no score that counts" in draw_effects(grid).caption


def test_every_study_with_levels_has_front_curves_and_timeline(subject: Subject) -> None:
    assert [c.id for c in draw_pareto(subject).charts] == ["pareto-interactivity", "pareto-ttft"]
    assert len(draw_latencies(subject).charts) == 4
    (timeline,) = draw_timeline(subject).charts
    assert "3 nodes" in timeline.description


def test_every_trace_that_is_filtered_has_an_experiment_per_point(subject: Subject) -> None:
    charts = [*draw_pareto(subject).charts, *draw_timeline(subject).charts]
    known = range(len(subject.configurations))
    for trace in (t for chart in charts for t in chart.figure["data"]):  # type: ignore[attr-defined]
        experiments = trace.get("meta", {}).get("experiments")
        if experiments is not None:
            along = ("x", "y", "hovertext", *(("base", "width") if trace["type"] == "bar" else ()))
            assert {len(trace[name]) for name in along} == {len(experiments)}
            assert set(experiments) <= set(known)


def test_attempts_that_cannot_be_drawn_are_counted(subject: Subject) -> None:
    assert "Not drawn" not in draw_timeline(subject).caption
    attempts = subject.attempts.copy()
    attempts.loc[attempts["failure_kind"] == "node_lost", "started_at"] = pd.NaT
    lost = Subject(replace(subject.results, attempts=attempts), ())
    assert "Not drawn: 1 attempt whose start" in draw_timeline(lost).caption

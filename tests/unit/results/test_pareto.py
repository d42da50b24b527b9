from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotuner.results.load import StudyResults, load_results
from autotuner.results.pareto import non_dominated, pareto_points
from autotuner.results.score import EntryStatus
from autotuner.results.store import ResultStore
from autotuner.spec.experiment import Attempt, Experiment, Failed, FailureKind, Phase

# Few values, so that ties and equal points are common.
POINT = st.tuples(*[st.sampled_from([0.0, 1.0, 2.0, 3.0, 5.0])] * 3)
POINTS = st.lists(POINT, max_size=40)


def beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


@given(POINTS)
def test_no_point_on_the_front_is_beaten_and_every_other_is_by_one_on_it(points):
    on_front = non_dominated(points)
    front = [point for point, on in zip(points, on_front, strict=True) if on]
    for point, on in zip(points, on_front, strict=True):
        assert on == (not any(beats(other, point) for other in points))
        assert on or any(beats(other, point) for other in front)


@given(st.lists(st.tuples(*[st.floats(0, 1e9)] * 3), min_size=1, max_size=30))
def test_a_beaten_point_more_changes_nothing(points):
    beaten = tuple(value - 1 for value in points[0])
    assert non_dominated([*points, beaten]).tolist() == [*non_dominated(points), False]


@given(POINTS, st.randoms())
def test_the_order_of_the_points_changes_nothing(points, chance):
    places = list(range(len(points)))
    chance.shuffle(places)
    shuffled = non_dominated([points[place] for place in places])
    assert shuffled.tolist() == [non_dominated(points)[place] for place in places]


def test_equal_points_are_on_the_front_together():
    assert non_dominated([(1, 2, 3), (1, 2, 3), (0, 2, 3)]).tolist() == [True, True, False]


def test_no_points_have_no_front():
    assert non_dominated([]).tolist() == []


def test_ten_thousand_levels_that_all_stand_are_no_burden():
    # On a plane where what one column wins another loses: nobody beats anybody, and a comparison
    # of all with all would be 10^8 steps.
    chance = np.random.default_rng(1)
    first, second = chance.random((2, 10_000))
    assert non_dominated(np.column_stack([first, second, -first - second])).all()


ROW: dict[str, Any] = {
    "experiment_id": "a",
    "label": "A",
    "workload": "chat",
    "concurrency": 1,
    "status": "ok",
    "output_throughput_tok_s": 100.0,
    "output_throughput_tok_s_per_gpu": 50.0,
    "tpot_s_p50": 0.02,
    "ttft_s_p50": 0.1,
}


def results_of(*rows: dict[str, Any], **statuses: EntryStatus) -> StudyResults:
    """Results with these pooled levels; ``statuses``: other than feasible."""
    ids = ["b", "a", "c"]
    ended = [{"experiment_id": i, "attempt_id": f"{i}-a1", "outcome": "completed"} for i in ids]
    entries = [
        SimpleNamespace(experiment_id=i, status=statuses.get(i, EntryStatus.FEASIBLE)) for i in ids
    ]
    found = SimpleNamespace(
        study=SimpleNamespace(experiments=[SimpleNamespace(id=i) for i in ids]),
        pooled_levels=pd.DataFrame([ROW | row for row in rows], columns=list(ROW)),
        experiments=pd.DataFrame(ended),
        chosen={i: (f"{i}-a1",) for i in ids},
        ranking=lambda: SimpleNamespace(entries=entries),
    )
    return cast(StudyResults, found)


def test_interactivity_is_what_one_user_sees_per_second():
    points = pareto_points(results_of({}))
    assert points.to_dict("records") == [
        {
            "experiment_id": "a",
            "label": "A",
            "workload": "chat",
            "concurrency": 1,
            "throughput_tok_s_per_gpu": 50.0,
            "per": "GPU",
            "interactivity_tok_s": 50.0,
            "ttft_s_p50": 0.1,
            "on_front": True,
        }
    ]


@pytest.mark.parametrize(
    ("better", "on_front"),
    [
        ({"output_throughput_tok_s_per_gpu": 51.0}, [True, False]),
        ({"tpot_s_p50": 0.01}, [True, False]),
        ({"ttft_s_p50": 0.05}, [True, False]),
        ({"ttft_s_p50": 0.05, "tpot_s_p50": 0.03}, [True, True]),
        ({}, [True, True]),
    ],
)
def test_more_throughput_more_interactivity_and_less_ttft_are_better(better, on_front):
    points = pareto_points(results_of({}, {"experiment_id": "b"} | better))
    assert points["experiment_id"].tolist() == ["b", "a"], "in plan order"
    assert points["on_front"].tolist() == on_front


def test_a_workload_of_short_prompts_does_not_beat_one_of_long_prompts():
    quick = {"workload": "short", "ttft_s_p50": 0.01, "output_throughput_tok_s_per_gpu": 900.0}
    assert pareto_points(results_of({}, quick))["on_front"].tolist() == [True, True]


def test_without_gpus_the_throughput_is_that_of_the_server():
    points = pareto_points(results_of({"output_throughput_tok_s_per_gpu": None}))
    assert points["per"].tolist() == ["server"]
    assert points["throughput_tok_s_per_gpu"].tolist() == [100.0]


@pytest.mark.parametrize(
    "unusable",
    [
        {"status": "failed"},
        {"status": "not_measured"},
        {"tpot_s_p50": None},
        {"tpot_s_p50": 0.0},
        {"ttft_s_p50": None},
        {"output_throughput_tok_s_per_gpu": None},
    ],
)
def test_a_level_without_all_three_numbers_is_no_point(unusable):
    points = pareto_points(results_of({}, {"concurrency": 2} | unusable))
    assert points["concurrency"].tolist() == [1]


def test_an_experiment_under_other_circumstances_is_no_point():
    levels = ({}, {"experiment_id": "b"})
    points = pareto_points(results_of(*levels, b=EntryStatus.NOT_COMPARABLE))
    assert points["experiment_id"].tolist() == ["a"]


def test_an_experiment_that_misses_a_limit_is_a_point():
    points = pareto_points(results_of({}, a=EntryStatus.INFEASIBLE))
    assert points["on_front"].tolist() == [True]


def test_without_levels_there_is_a_frame_with_all_columns():
    points = pareto_points(results_of())
    assert len(points) == 0
    assert "on_front" in points.columns


def test_of_a_stored_study_failed_experiments_are_left_out(
    store: ResultStore, experiments: tuple[Experiment, ...], write_attempt: Callable[..., Attempt]
) -> None:
    assert len(pareto_points(load_results(store.paths.root))) == 0
    write_attempt(store, experiments[0], latency_s=1.0)
    write_attempt(store, experiments[1], latency_s=2.0)
    crash = Failed(FailureKind.SERVER_CRASHED, Phase.LOAD, "the server ended")
    write_attempt(store, experiments[2], latency_s=0.1, outcome=crash)
    points = pareto_points(load_results(Path(store.paths.root)))
    assert points["experiment_id"].tolist() == ["exp0", "exp0", "exp1", "exp1"]
    assert points["on_front"].tolist() == [True, True, False, False]
    assert points["interactivity_tok_s"][0] == pytest.approx(9 / 0.9)

"""The best score so far; what it is made of, test_study_metrics says."""

from __future__ import annotations

from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotuner.driver.live_score import LiveScore
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Direction, Objective, Over

SCORES = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=1, max_size=12)


@pytest.mark.parametrize("direction", Direction)
@given(scores=SCORES)
def test_the_best_is_the_best_mean_whatever_is_measured_again(direction, scores) -> None:
    live = LiveScore(Judging(Objective("x", "error_rate", direction, over=Over.BEST)))
    assert live.best is None
    measured: dict[str, list[int]] = {}
    for experiment, score in scores:
        measured.setdefault(experiment, []).append(score)
        live._add(experiment, (float(score),))
        best = min if direction is Direction.MINIMIZE else max
        assert live.best == pytest.approx(best(map(fmean, measured.values())))

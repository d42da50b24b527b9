from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from unit.search.curves import LEVELS, THROUGHPUT, candidate, problem, row

from autotuner.search.base import Candidate, Problem
from autotuner.search.curve_prior import Prior, prior_of
from autotuner.search.estimators.base import Estimate
from autotuner.search.targets import targets_of
from autotuner.search.yardstick import yardstick
from autotuner.spec.objective import Direction, Objective, Over
from autotuner.spec.workload import Level

NARROW, WIDE, OTHER = candidate("narrow"), candidate("wide", gpus=8), candidate("other")


def prior(asked: Problem) -> Prior:
    stick = yardstick(asked.judging.objective, asked.judging.constraints)
    return prior_of(asked, targets_of(asked, stick))


def says(*names: str, times: float = 1.0) -> Callable[[Candidate, Level], Estimate | None]:
    """An estimator that knows these candidates."""

    def estimate(asked: Candidate, level: Level) -> Estimate | None:
        if asked.id not in names:
            return None
        numbers = {key: float(str(value)) for key, value in row(level, gpus=asked.gpus).items()}
        throughput = numbers["output_throughput_tok_s"] * times
        return Estimate(numbers["ttft_s_mean"], numbers["tpot_s_mean"], throughput, 0.8, 0.3, 0.3)

    return estimate


def test_throughput_is_expected_to_rise_with_load_and_to_saturate() -> None:
    found = prior(problem(NARROW, WIDE)).mean[0, :, 0]
    steps = np.diff(found) / np.log(4)
    assert (steps > 0).all()
    assert (steps <= 1).all()
    assert (np.diff(steps) < 0).all()


def test_a_wide_server_is_expected_to_be_quicker_for_a_user_and_to_make_less_of_a_gpu() -> None:
    throughput, tpot = prior(problem(NARROW, WIDE, floor_tok_s=40)).mean.transpose(2, 0, 1)
    assert (throughput[1] < throughput[0]).all()
    assert (tpot[1] < tpot[0]).all()


def test_where_nothing_is_usual_nothing_is_expected() -> None:
    goodput = Objective("g", "goodput_requests_per_s", Direction.MAXIMIZE, over=Over.BEST)
    assert not prior(problem(NARROW, WIDE, objective=goodput)).mean.any()


def test_an_estimate_is_taken_at_its_word() -> None:
    asked = replace(problem(NARROW, WIDE), estimate=says("narrow", "wide"))
    found = prior(asked)
    assert found.absolute
    assert math.exp(found.mean[1, 2, 0]) == pytest.approx(
        float(str(row(LEVELS[2], gpus=8)[THROUGHPUT.column]))
    )


def test_where_the_estimator_is_silent_the_usual_shape_stands_at_the_height_of_its_words() -> None:
    asked = replace(problem(NARROW, OTHER), estimate=says("narrow", times=10))
    usual, found = prior(problem(NARROW, OTHER)), prior(asked)
    shape = found.mean[1, :, 0] - usual.mean[1, :, 0]
    assert shape == pytest.approx(shape[0])
    assert found.mean[1, :, 0].mean() == pytest.approx(found.mean[0, :, 0].mean())


def test_a_curve_of_which_the_estimator_knows_a_part_has_no_step() -> None:
    """Its words on some levels, and the usual shape on others, would make one."""
    knows = says("narrow", "other")

    def partly(asked: Candidate, level: Level) -> Estimate | None:
        return None if asked.id == "other" and level == LEVELS[-1] else knows(asked, level)

    asked = problem(NARROW, OTHER)
    usual, found = prior(asked), prior(replace(asked, estimate=partly))
    apart = found.mean[1, :, 0] - usual.mean[1, :, 0]
    assert apart == pytest.approx(apart[0])


def test_an_estimator_that_knows_nothing_is_as_none() -> None:
    without = prior(problem(NARROW, WIDE))
    silent = prior(replace(problem(NARROW, WIDE), estimate=says()))
    assert np.array_equal(silent.mean, without.mean)
    assert not silent.absolute


def test_of_columns_in_other_units_only_ratios_are_taken() -> None:
    requests = Objective("r", "requests_per_s", Direction.MAXIMIZE, over=Over.BEST)
    asked = problem(NARROW, WIDE, objective=requests)
    assert not prior(replace(asked, estimate=says("narrow", "wide"))).absolute

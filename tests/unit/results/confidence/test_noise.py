"""Noise between fresh servers, and how one configuration's own variance is moderated."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from autotuner.results.confidence.noise import (
    PRIOR_WEIGHT,
    Noise,
    moderated_variance,
    pooled_noise,
    summarise,
    t_quantile,
)
from autotuner.spec.objective import Direction


def test_nothing_measured_twice_gives_no_noise() -> None:
    assert pooled_noise([]) is None
    assert pooled_noise([summarise([3.0]), summarise([4.0])]) is None


def test_noise_is_pooled_over_what_was_measured_more_than_once() -> None:
    noise = pooled_noise([summarise([1.0]), summarise([1.0, 1.1]), summarise([5.0, 5.0, 5.5])])
    assert noise is not None
    squares = math.log(1.1) ** 2 / 2 + math.log(1.1) ** 2 * 2 / 3
    assert noise.degrees_of_freedom == 3
    assert noise.variance == pytest.approx(squares / 3)


def test_the_coefficient_of_variation_is_that_of_the_values() -> None:
    values = 50 * np.exp(0.05 * np.random.default_rng(0).standard_normal((400, 5)))
    noise = pooled_noise([summarise(row) for row in values.tolist()])
    assert noise is not None
    assert noise.cv == pytest.approx(0.05, rel=0.05)


def test_values_that_are_equal_by_chance_do_not_pass_for_servers_without_noise() -> None:
    noise = pooled_noise([summarise([100.0, 100.0])])
    assert noise is not None
    assert noise.cv == pytest.approx(0.001)


def test_a_value_without_a_logarithm_leaves_the_noise_alone() -> None:
    clean = [summarise([1.0, 1.1])]
    assert pooled_noise([*clean, summarise([0.0, 7.0])]) == pooled_noise(clean)


def test_the_moderated_variance_lies_between_the_own_one_and_the_pooled_one() -> None:
    own, noise = summarise([1.0, 1.2, 0.9]), Noise(0.0001, 20)
    variance, degrees = moderated_variance(own, noise)
    assert noise.variance < variance < own.squares / 2
    assert degrees == PRIOR_WEIGHT + 2


def test_a_configuration_measured_once_has_the_pooled_variance() -> None:
    variance, _ = moderated_variance(summarise([7.0]), Noise(0.0004, 5))
    assert variance == pytest.approx(0.0004)


def test_less_is_better_turns_the_scale_around() -> None:
    high, low = summarise([2.0], Direction.MINIMIZE), summarise([1.0], Direction.MINIMIZE)
    assert low.order < high.order
    assert low.mean > high.mean


@pytest.mark.parametrize("values", [[], [-1.0], [1.0, math.nan]])
def test_what_is_no_measurement_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        summarise(values)


@pytest.mark.parametrize(
    ("degrees", "tail", "value"), [(1, 0.025, 12.706), (5, 0.025, 2.571), (20, 0.0005, 3.850)]
)
def test_quantiles_are_those_of_the_tables(degrees: float, tail: float, value: float) -> None:
    assert t_quantile(degrees, tail) == pytest.approx(value, abs=0.001)


def test_scipy_is_loaded_only_when_something_is_judged() -> None:
    code = "import sys, autotuner.results.confidence.verdict; print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

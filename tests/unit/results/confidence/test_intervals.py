"""Intervals of one configuration between servers, and of one run within itself."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autotuner.results.confidence.intervals import Interval, bootstrap_interval, interval
from autotuner.results.confidence.noise import (
    PRIOR_WEIGHT,
    Noise,
    pooled_noise,
    summarise,
    t_quantile,
)


def bounds(found: Interval) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def test_one_server_alone_has_no_interval() -> None:
    assert interval([5.0]) == Interval(pytest.approx(5.0), None, None)


def test_one_server_has_an_interval_where_the_noise_is_known_from_others() -> None:
    low, high = bounds(interval([5.0], noise=Noise(0.01**2, 10)))
    assert low < 5.0 < high
    t = t_quantile(PRIOR_WEIGHT, 0.025)
    assert high / 5.0 == pytest.approx(math.exp(0.01 * t))


def test_the_estimate_is_the_geometric_mean() -> None:
    assert interval([4.0, 9.0]).estimate == pytest.approx(6.0)


def test_more_servers_narrow_the_interval() -> None:
    noise = Noise(0.02**2, 10)
    widths = []
    for count in (1, 2, 5):
        low, high = bounds(interval([7.0] * count, noise=noise))
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)


def test_scaling_the_values_scales_the_interval() -> None:
    noise = Noise(0.0004, 8)
    first, second = interval([1.0, 1.1], noise=noise), interval([10.0, 11.0], noise=noise)
    assert bounds(second) == pytest.approx([10 * bound for bound in bounds(first)])


@pytest.mark.parametrize("values", [[0.0, 0.0], [0.0, 4.0], [math.inf, 1.0]])
def test_a_value_without_a_logarithm_gives_no_bounds_and_a_finite_estimate(
    values: list[float],
) -> None:
    found = interval(values, noise=Noise(0.0004, 8))
    assert (found.low, found.high) == (None, None)
    assert math.isfinite(found.estimate)


def test_bounds_that_say_nothing_are_not_given() -> None:
    assert interval([1.0, 50.0]).low is None


def test_intervals_hold_the_true_value_as_often_as_they_say() -> None:
    values = np.exp(0.03 * np.random.default_rng(3).standard_normal((600, 8, 3)))
    holds = 0
    for study in values.tolist():
        low, high = bounds(interval(study[0], noise=pooled_noise([summarise(v) for v in study])))
        holds += low <= 1 <= high
    assert holds / 600 >= 0.93


REQUESTS = np.random.default_rng(1).lognormal(0.0, 0.5, 2000)


@pytest.mark.parametrize(("statistic", "true"), [("mean", math.exp(0.125)), ("p50", 1.0)])
def test_a_bootstrap_holds_the_number_of_all_requests(statistic: str, true: float) -> None:
    low, high = bounds(bootstrap_interval(REQUESTS, statistic))
    assert low < true < high
    assert high - low < 0.1


def test_the_same_requests_give_the_same_bootstrap() -> None:
    assert bootstrap_interval(REQUESTS, "p90") == bootstrap_interval(REQUESTS, "p90")
    assert bootstrap_interval(REQUESTS, "p90") != bootstrap_interval(REQUESTS, "p90", seed=1)


def test_a_percentile_that_so_few_requests_cannot_bound_has_no_upper_bound() -> None:
    assert bootstrap_interval(REQUESTS[:367], "p99").high is None
    assert bootstrap_interval(REQUESTS[:368], "p99").high is not None
    assert bootstrap_interval(REQUESTS[:30], "p99").low is not None


def test_few_values_have_no_bootstrap_interval() -> None:
    found = bootstrap_interval([1.0, 2.0, 3.0], "mean")
    assert found == Interval(2.0, None, None)


def test_more_requests_than_are_drawn_narrow_the_interval_of_a_mean() -> None:
    few, many = (bounds(bootstrap_interval(np.tile(REQUESTS, n), "mean")) for n in (1, 100))
    assert (many[1] - many[0]) / (few[1] - few[0]) == pytest.approx(0.1, rel=0.15)


@pytest.mark.parametrize("statistic", ["p50", "p90"])
def test_a_percentile_has_the_interval_of_resamples_drawn_one_by_one(statistic: str) -> None:
    random = np.random.default_rng(4)
    percentile = int(statistic[1:])
    drawn = np.percentile(random.choice(REQUESTS, (2000, REQUESTS.size)), percentile, axis=1)
    expected = np.quantile(drawn, (0.025, 0.975)).tolist()
    assert bounds(bootstrap_interval(REQUESTS, statistic)) == pytest.approx(expected, rel=0.02)


def test_requests_without_a_number_are_left_out() -> None:
    found = bootstrap_interval([*REQUESTS, math.nan], "p50")
    assert found == bootstrap_interval(REQUESTS, "p50")
    with pytest.raises(ValueError, match="no values"):
        bootstrap_interval([math.nan], "p50")

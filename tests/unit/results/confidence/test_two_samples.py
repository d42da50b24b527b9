"""One configuration before and after a change."""

from __future__ import annotations

import math
import random

import pytest

from autotuner.results.confidence.noise import Noise, pooled_noise, summarise
from autotuner.results.confidence.two_samples import Change, difference
from autotuner.spec.objective import Direction

UP, DOWN = Direction.MAXIMIZE, Direction.MINIMIZE
QUIET = Noise(0.002**2, 20)


def judged(before, after, direction=UP, noise=QUIET, effect=0.02, comparisons=1):
    return difference(
        before, after, direction, noise=noise, minimal_effect=effect, comparisons=comparisons
    )


def test_a_clear_gain_is_better_and_its_bounds_hold_it():
    found = judged([100, 100.1], [110, 110.1])
    assert found.change is Change.BETTER
    assert found.fraction.estimate == pytest.approx(0.1, abs=0.001)
    assert 0.08 < found.fraction.low < 0.1 < found.fraction.high < 0.12


def test_a_latency_that_grows_is_worse_and_its_change_is_positive():
    found = judged([0.10, 0.1001], [0.12, 0.1201], DOWN)
    assert found.change is Change.WORSE
    assert found.fraction.estimate == pytest.approx(0.2, abs=0.002)
    assert found.fraction.low > 0.15
    assert judged([0.12, 0.12], [0.10, 0.10], DOWN).change is Change.BETTER


def test_a_change_that_is_certainly_too_small_to_matter_is_the_same():
    assert judged([100, 100.1], [100.5, 100.6]).change is Change.SAME
    # Certainly worse, and certainly not by 2 %.
    assert judged([100] * 5, [99] * 5).change is Change.SAME


def test_a_difference_within_the_noise_is_not_enough_evidence():
    loud = Noise(0.1**2, 20)
    found = judged([100, 101], [104, 103], noise=loud)
    assert found.change is Change.NOT_ENOUGH_EVIDENCE
    assert found.fraction.low < 0 < found.fraction.high


def test_without_any_repeat_nothing_is_said_and_no_bound_is_given():
    found = judged([100], [150], noise=None)
    assert found.change is Change.NOT_ENOUGH_EVIDENCE
    assert found.fraction.estimate == pytest.approx(0.5)
    assert found.fraction.low is None
    assert found.fraction.high is None


def test_the_more_is_compared_the_wider_the_bounds():
    one = judged([100, 101], [103, 104])
    many = judged([100, 101], [103, 104], comparisons=50)
    assert many.fraction.low < one.fraction.low < one.fraction.high < many.fraction.high


def test_before_and_after_are_treated_alike():
    forth, back = judged([100, 101], [103, 105]), judged([103, 105], [100, 101])
    assert math.log1p(forth.fraction.estimate) == pytest.approx(-math.log1p(back.fraction.estimate))
    assert math.log1p(forth.fraction.low) == pytest.approx(-math.log1p(back.fraction.high))


@pytest.mark.parametrize(
    ("before", "after", "direction", "change"),
    [
        ([0, 0], [5, 5], UP, Change.BETTER),
        ([5, 5], [0, 0], UP, Change.WORSE),
        ([0, 0], [0, 0], UP, Change.SAME),
        ([0, 5], [5, 5], UP, Change.NOT_ENOUGH_EVIDENCE),
        ([0, 0], [5, 5], DOWN, Change.WORSE),
        ([5, 5], [0, 0], DOWN, Change.BETTER),
        ([math.inf], [5, 5], DOWN, Change.BETTER),
    ],
)
def test_a_zero_is_judged_without_a_fraction(before, after, direction, change):
    found = judged(before, after, direction)
    assert found.change is change
    assert found.fraction is None


def test_no_number_overflows():
    assert judged([1e-300], [1e300]).fraction is None
    assert judged([1.0], [1.1], noise=Noise(50.0, 1)).fraction.high is None


def test_studies_without_any_change_rarely_get_a_false_verdict():
    """At most 5 % of comparisons of 12 configurations may claim any change."""
    random.seed(1)
    wrong = 0
    studies = 400
    for _ in range(studies):
        noise_cv = random.choice([0.005, 0.02, 0.1])
        pairs = [
            tuple(
                [value * math.exp(random.gauss(0, noise_cv)) for _ in range(random.choice([2, 3]))]
                for _ in range(2)
            )
            for value in (random.uniform(50, 150) for _ in range(12))
        ]
        noise = pooled_noise(summarise(values) for pair in pairs for values in pair)
        found = {judged(*pair, noise=noise, comparisons=len(pairs)).change for pair in pairs}
        wrong += bool(found & {Change.BETTER, Change.WORSE})
    assert wrong / studies <= 0.05


def test_a_real_change_of_ten_percent_is_found():
    random.seed(2)
    found = 0
    for _ in range(100):
        before = [100 * math.exp(random.gauss(0, 0.01)) for _ in range(3)]
        after = [110 * math.exp(random.gauss(0, 0.01)) for _ in range(3)]
        noise = pooled_noise([summarise(before), summarise(after)])
        found += judged(before, after, noise=noise).change is Change.BETTER
    assert found >= 95

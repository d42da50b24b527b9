import random

import numpy as np
import pytest

from autotuner.search.estimators.base import Estimate
from autotuner.search.estimators.correcting import Correction, Observation

SAID = Estimate(0.1, 0.02, 1000.0, 0.6, 0.3, 0.3)


def seen(factor, concurrency=8, **traits):
    """A level whose times are longer than estimated, and its throughput smaller."""
    return Observation(traits, concurrency, SAID, 0.1 * factor, 0.02 * factor, 1000.0 / factor)


def corrected(observations, concurrency=8, **traits):
    return Correction(observations).corrected(SAID, traits, concurrency)


def test_without_measurements_nothing_is_corrected():
    assert corrected([], tp=1) == SAID


def test_one_measurement_moves_all_configurations_and_its_own_most():
    told = [seen(1.5, tp=1, flag="a")]
    own = corrected(told, tp=1, flag="a")
    kin = corrected(told, tp=1, flag="b")
    other = corrected(told, tp=2, flag="b")
    assert SAID.tpot_s < other.tpot_s < kin.tpot_s < own.tpot_s < 1.5 * SAID.tpot_s
    assert own.output_throughput_tok_s < other.output_throughput_tok_s < 1000


def test_many_that_err_alike_are_believed():
    told = [seen(1.5, tp=tp, flag=flag) for tp in (1, 2, 4) for flag in "abc"]
    new = corrected(told, tp=8, flag="a")
    assert new.tpot_s == pytest.approx(1.5 * SAID.tpot_s, rel=0.08)


def test_a_value_that_errs_in_its_own_way_is_told_from_the_others():
    told = [seen(2.0 if tp == 4 else 1.0, tp=tp, flag=flag) for tp in (1, 2, 4) for flag in "abcd"]
    assert corrected(told, tp=4, flag="e").tpot_s > 1.2 * corrected(told, tp=1, flag="e").tpot_s


def test_it_becomes_surer_as_measurements_come_and_surest_of_what_was_measured():
    some = [seen(1.2, tp=1)]
    more = [*some, seen(1.2, tp=2), seen(1.2, tp=4)]
    new = {"tp": 8}
    sigmas = [corrected(told, **new).tpot_sigma for told in ([], some, more)]
    assert sigmas == sorted(sigmas, reverse=True)
    assert corrected(more, tp=1).tpot_sigma < corrected(more, **new).tpot_sigma


def test_near_levels_of_a_configuration_say_more_than_far_ones():
    told = [seen(1.5, concurrency=8, tp=1)]
    near, far = (corrected(told, concurrency=c, tp=1) for c in (16, 512))
    assert near.tpot_s > far.tpot_s
    assert near.tpot_sigma < far.tpot_sigma


def test_errors_larger_than_claimed_make_it_less_sure():
    odd = [seen(factor, tp=tp) for tp, factor in enumerate((0.1, 9.0, 0.2, 12.0, 0.1, 8.0))]
    assert corrected(odd, tp=99).tpot_sigma > SAID.tpot_sigma


def test_a_number_that_was_not_measured_keeps_its_estimate():
    told = [Observation({"tp": 1}, 8, SAID, tpot_s=0.04)]
    new = corrected(told, tp=1)
    assert new.tpot_s > SAID.tpot_s
    assert (new.ttft_s, new.ttft_sigma) == (SAID.ttft_s, SAID.ttft_sigma)


def test_the_order_of_measurements_does_not_matter():
    told = [seen(1.0 + tp / 4, tp=tp, flag=flag) for tp in (1, 2, 4) for flag in "ab"]
    shuffled = random.Random(1).sample(told, len(told))
    left, right = corrected(told, tp=8, flag="a"), corrected(shuffled, tp=8, flag="a")
    assert left.tpot_s == pytest.approx(right.tpot_s)
    assert left.tpot_sigma == pytest.approx(right.tpot_sigma)


def test_its_sigmas_hold_where_errors_are_made_as_it_supposes():
    generator = np.random.default_rng(0)
    standardised = []
    for _ in range(40):
        common = 0.3 * 0.55**0.5 * generator.normal()
        effects = dict(zip("abcd", 0.3 * 0.25**0.5 * generator.normal(size=4), strict=True))
        rest = {flag: 0.3 * 0.2**0.5 * generator.normal() for flag in "abcd"}
        truth = {flag: np.exp(common + effects[flag] + rest[flag]) for flag in "abcd"}
        told = [seen(truth[flag], flag=flag) for flag in "abc"]
        new = corrected(told, flag="d")
        standardised.append(np.log(new.tpot_s / (SAID.tpot_s * truth["d"])) / new.tpot_sigma)
    assert 0.7 < np.std(standardised) < 1.3

import math

import pytest

from autotuner.search.estimators.base import Estimate, Estimator, Load, Misfit, Subject, Unknown
from autotuner.search.estimators.combining import Combined, combine

SUBJECT, LOAD = Subject("vllm", "m", "H100", 1), Load(100, 100, 1)


def said(value, sigma):
    return Estimate(value, value, value, sigma, sigma, sigma)


class Says(Estimator):
    name = "says"

    def __init__(self, answer, misfit=None):
        self.answer, self.refusal = answer, misfit

    def estimate(self, subject, load):
        return self.answer

    def misfit(self, subject):
        return self.refusal


def test_the_surer_one_counts_more():
    both = combine([said(1.0, 0.1), said(4.0, 0.2)])
    assert math.log(both.tpot_s) == pytest.approx(math.log(4.0) / 5)


def test_equals_meet_at_the_geometric_mean():
    assert combine([said(1.0, 0.3), said(4.0, 0.3)]).ttft_s == pytest.approx(2.0)


def test_agreement_makes_no_surer_than_the_surest():
    assert combine([said(2.0, 0.1), said(2.0, 0.1)]).tpot_sigma == 0.1


def test_disagreement_makes_less_sure():
    assert combine([said(1.0, 0.1), said(4.0, 0.1)]).throughput_sigma > 0.5


def test_who_does_not_know_is_left_out():
    combined = Combined([Says(Unknown("no idea")), Says(said(2.0, 0.1))])
    assert combined.estimate(SUBJECT, LOAD) == said(2.0, 0.1)


def test_where_nobody_knows_each_gives_its_reason():
    answer = Combined([Says(Unknown("no idea")), Says(Unknown("none"))]).estimate(SUBJECT, LOAD)
    assert answer == Unknown("says: no idea; says: none")


def test_what_one_of_them_shows_not_to_fit_does_not_fit():
    refusal = Misfit("2 GB > 1 GB")
    assert Combined([Says(None), Says(None, refusal)]).misfit(SUBJECT) is refusal
    assert Combined([Says(None), Says(None)]).misfit(SUBJECT) is None

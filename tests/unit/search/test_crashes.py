from __future__ import annotations

import itertools

import numpy as np

from autotuner.search.axes import Axes
from autotuner.search.crashes import chance_of_running
from autotuner.search.likeness import features_of

POINTS = [
    {"tp": tp, "kv": kv, "seqs": seqs}
    for tp, kv, seqs in itertools.product((1, 2, 4), ("auto", "fp8"), (16, 64, 256))
]
FEATURES = features_of(Axes(POINTS))
CRASHING = np.array([point["kv"] == "fp8" for point in POINTS])


def chance(tried: list[int], ran: list[bool]) -> np.ndarray:
    return chance_of_running(FEATURES, np.array(tried, dtype=int), np.array(ran, dtype=bool))


def test_before_anything_is_tried_most_are_expected_to_run() -> None:
    assert np.allclose(chance([], []), 0.9)
    assert np.allclose(chance([0, 5, 9], [True] * 3), 0.9)


def test_a_value_under_which_servers_crash_loses_chance_for_all_that_share_it() -> None:
    tried = [0, 4, 8, 9, 13, 17]
    found = chance(tried, [not CRASHING[i] for i in tried])
    left = np.setdiff1d(np.arange(len(POINTS)), tried)
    assert found[left][CRASHING[left]].max() < 0.7
    assert found[left][~CRASHING[left]].min() > 0.8


def test_a_single_crash_costs_little() -> None:
    found = chance([0], [False])
    assert found[1:].min() > 0.5


def test_a_crash_costs_those_the_least_that_have_nothing_in_common_with_it() -> None:
    found = chance([0], [False])
    assert found[1] < found[-1]

from __future__ import annotations

import numpy as np

from autotuner.search.axes import Axes
from autotuner.search.likeness import features_of, likeness

POINTS = [
    {"tp": 1, "engine": "a"},
    {"tp": 2, "engine": "a"},
    {"tp": 4, "engine": "b"},
    {"tp": 8},
]
AXES = Axes(POINTS)
EVERY = np.arange(len(POINTS))


def test_numbers_are_alike_by_their_distance_and_words_only_when_they_are_the_same() -> None:
    names = [axis.name for axis in AXES.axes]
    found = dict(zip(names, likeness(AXES, EVERY, EVERY), strict=True))
    assert found["tp"][0, 0] == 1 > found["tp"][0, 1] > found["tp"][0, 2] > found["tp"][0, 3]
    assert found["engine"].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


def test_likeness_is_a_correlation() -> None:
    for table in likeness(AXES, EVERY, EVERY):
        assert np.array_equal(table, table.T)
        assert np.linalg.eigvalsh(table).min() > -1e-9


def test_features_tell_values_apart_and_are_centred() -> None:
    found = features_of(AXES)
    assert np.allclose(found.mean(axis=0), 0)
    assert len(np.unique(found, axis=0)) == len(POINTS)


def test_candidates_without_parameters_have_no_features() -> None:
    assert features_of(Axes([{}, {}])).shape == (2, 0)

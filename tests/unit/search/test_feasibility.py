from __future__ import annotations

import itertools

import numpy as np

from autotuner.search.feasibility import chance_of_no_crash

GRID = np.array(list(itertools.product(np.linspace(-1, 1, 5), repeat=3)))


def chances(crashes: np.ndarray, tried: np.ndarray, seed: int = 0) -> np.ndarray:
    return chance_of_no_crash(GRID, tried, ~crashes[tried], seed)


def test_while_nothing_has_crashed_all_run() -> None:
    nothing = np.zeros(len(GRID), dtype=bool)
    assert (chances(nothing, np.arange(5)) == 1).all()
    assert (chances(nothing, np.arange(0)) == 1).all()


def test_where_everything_has_crashed_little_hope_is_left() -> None:
    found = chances(np.ones(len(GRID), dtype=bool), np.arange(10))
    assert (found < 0.1).all()


def test_a_corner_is_told_from_what_shares_one_value_with_it() -> None:
    corner = (GRID[:, 0] > 0) & (GRID[:, 1] > 0)
    tried = np.random.default_rng(0).choice(len(GRID), 40, replace=False)
    found = chances(corner, tried)
    assert found[corner].mean() < 0.25
    beside = (GRID[:, 0] > 0) & (GRID[:, 1] < 0)
    assert found[beside].mean() > 0.75


def test_the_same_seed_gives_the_same_chances() -> None:
    corner, tried = GRID[:, 0] > 0, np.arange(0, len(GRID), 7)
    assert (chances(corner, tried, 3) == chances(corner, tried, 3)).all()
    assert (chances(corner, tried, 3) != chances(corner, tried, 4)).any()


def test_candidates_that_do_not_differ_share_what_happened_to_them() -> None:
    same = np.zeros((4, 1))
    found = chance_of_no_crash(same, np.array([0, 1]), np.array([True, False]), 0)
    assert np.allclose(found, 1.5 / 2.5)

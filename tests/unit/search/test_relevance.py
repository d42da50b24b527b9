from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from autotuner.search.relevance import (
    Evidence,
    Relevance,
    _likelihood,
    learned_relevance,
    together,
)

EVEN = Relevance.even(3)


def evidence(seed: int = 0, count: int = 40, scatter: float = 0.02) -> Evidence:
    """Of three axes, the first alone decides; beside it every candidate is off by itself."""
    generator = np.random.default_rng(seed)
    places = generator.random((3, count))
    alike = np.exp(-0.5 * ((places[:, :, None] - places[:, None, :]) / 0.4) ** 2)
    value = np.sin(4 * places[0])
    residuals = np.stack([value, -value], axis=1) + scatter * generator.standard_normal((count, 2))
    return Evidence(
        fixed=1e-4 * np.eye(count),
        coefficient=np.ones((count, count)),
        own=0.02 * np.eye(count),
        alike=alike,
        residuals=residuals,
        usual=8 * np.array([[1.0, -0.8], [-0.8, 1.0]]),
        usual_points=8.0,
    )


def test_the_parameter_that_decides_comes_to_count_most() -> None:
    found = learned_relevance(EVEN, evidence()).axes
    assert found[0] > 3 * max(found[1], found[2])


def test_few_measurements_change_little() -> None:
    found = learned_relevance(EVEN, evidence(count=3)).axes
    assert found.max() < 3 * found.min()


def test_candidates_that_differ_in_little_else_come_to_be_thought_alike() -> None:
    """However much the parameter that decides may change."""
    tame, wild = (learned_relevance(EVEN, evidence(scatter=s)).own for s in (0.01, 0.3))
    assert tame < 0.5
    assert wild > 2 * tame


def test_the_gradient_is_that_of_the_likelihood() -> None:
    weights, known = np.array([0.5, 0.3, 0.2, 0.7]), evidence(count=12)
    value, gradient = _likelihood(weights, known)
    assert np.isfinite(value)
    numeric = approx_fprime(weights, lambda at: _likelihood(at, known)[0], 1e-7)
    assert gradient == pytest.approx(numeric, rel=1e-3, abs=1e-3)


def test_the_same_parameters_are_off_alike_wholly() -> None:
    same = np.ones((2, 1, 1))
    assert together(np.array([0.7, 0.3]), same)[0, 0] == pytest.approx(1.0)
    assert together(np.array([0.7, 0.3]), np.array([[[1.0]], [[0.0]]]))[0, 0] < 0.7
    assert together(np.zeros(0), np.zeros((0, 2, 2))).tolist() == [[1, 1], [1, 1]]

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from autotuner.search.relevance import Evidence, _likelihood, learned_relevance, together


def evidence(seed: int = 0, count: int = 40) -> Evidence:
    """Of three axes, the first alone decides."""
    generator = np.random.default_rng(seed)
    places = generator.random((3, count))
    alike = np.exp(-0.5 * ((places[:, :, None] - places[:, None, :]) / 0.4) ** 2)
    value = np.sin(4 * places[0])
    residuals = np.stack([value, -value], axis=1) + 0.02 * generator.standard_normal((count, 2))
    return Evidence(
        fixed=0.02 * np.eye(count),
        coefficient=np.ones((count, count)),
        alike=alike,
        residuals=residuals,
        usual=8 * np.array([[1.0, -0.8], [-0.8, 1.0]]),
        usual_points=8.0,
    )


def test_the_parameter_that_decides_comes_to_count_most() -> None:
    found = learned_relevance(np.full(3, 1 / 3), evidence())
    assert found[0] > 3 * max(found[1], found[2])


def test_few_measurements_change_little() -> None:
    found = learned_relevance(np.full(3, 1 / 3), evidence(count=3))
    assert found.max() < 3 * found.min()


def test_the_gradient_is_that_of_the_likelihood() -> None:
    weights, known = np.array([0.5, 0.3, 0.2]), evidence(count=12)
    value, gradient = _likelihood(weights, known)
    assert np.isfinite(value)
    numeric = approx_fprime(weights, lambda at: _likelihood(at, known)[0], 1e-7)
    assert gradient == pytest.approx(numeric, rel=1e-3, abs=1e-3)


def test_the_same_parameters_are_off_alike_wholly() -> None:
    same = np.ones((2, 1, 1))
    assert together(np.array([0.7, 0.3]), same)[0, 0] == pytest.approx(1.0)
    assert together(np.array([0.7, 0.3]), np.array([[[1.0]], [[0.0]]]))[0, 0] < 0.7
    assert together(np.zeros(0), np.zeros((0, 2, 2))).tolist() == [[1, 1], [1, 1]]

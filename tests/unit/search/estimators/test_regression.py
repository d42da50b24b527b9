import numpy as np
import pytest

from autotuner.search.estimators.regression import Regression

RANDOM = np.random.default_rng(0)


def effect(rows):
    return 0.8 * rows[:, 0] - 0.5 * rows[:, 1] + 0.3 * np.sin(2 * rows[:, 0])


def groups_of_rows(levels, each=30, noise=0.05):
    """Rows of groups that share their effects and differ in level."""
    rows = RANDOM.uniform(-1, 1, (each * len(levels), 2))
    names = [f"group {i // each}" for i in range(len(rows))]
    values = effect(rows) + np.repeat(levels, each) + noise * RANDOM.normal(size=len(rows))
    return rows, names, values[:, None]


def test_between_measured_points_of_a_group_it_interpolates():
    regression = Regression(*groups_of_rows([0.0, 2.0]))
    new = np.array([0.3, 0.2])
    for group, level in (("group 0", 0.0), ("group 1", 2.0)):
        said = regression.predict(new, group)
        assert said.means[0] == pytest.approx(effect(new[None, :])[0] + level, abs=0.1)
        assert said.sigmas[0] < 0.15


def test_an_unmeasured_group_gets_the_effects_that_the_others_share():
    regression = Regression(*groups_of_rows([0.0, 2.0, -1.0, 1.0]))
    points = RANDOM.uniform(-0.9, 0.9, (20, 2))
    means = np.array([regression.predict(point, "new").means[0] for point in points])
    errors = means - effect(points)
    assert np.std(errors) < 0.1
    assert min(regression.predict(point, "new").sigmas[0] for point in points) > 0.4


def test_an_unseen_feature_makes_it_less_sure_and_leaves_the_mean():
    regression = Regression(*groups_of_rows([0.0, 2.0]))
    new = np.array([0.3, 0.2])
    near, far = (regression.predict(new, "group 0", unseen) for unseen in (0.0, 1.0))
    assert far.sigmas[0] > near.sigmas[0]
    assert far.means[0] == pytest.approx(near.means[0], abs=0.5)


def test_its_standard_deviations_are_as_large_as_the_errors_that_it_makes():
    rows, names, values = groups_of_rows([0.0, 2.0, -1.0], each=60, noise=0.3)
    told = np.arange(len(rows)) % 2 == 0
    kept = [name for name, known in zip(names, told, strict=True) if known]
    regression = Regression(rows[told], kept, values[told])
    errors = []
    for row, name, value in zip(rows[~told], np.array(names)[~told], values[~told], strict=True):
        said = regression.predict(row, str(name))
        errors.append((said.means[0] - value[0]) / said.sigmas[0])
    assert 0.7 < np.std(errors) < 1.4


def test_new_groups_are_as_uncertain_as_groups_have_shown_to_be():
    """Noise within groups is large here, and their levels are nearly alike."""
    rows, names, values = groups_of_rows([0.0, 0.01, -0.01, 0.02], noise=0.3)
    alike = Regression(rows, names, values).predict(np.zeros(2), "new").sigmas[0]
    rows, names, values = groups_of_rows([0.0, 3.0, -3.0, 5.0], noise=0.3)
    apart = Regression(rows, names, values)
    new = apart.predict(np.zeros(2), "new").sigmas[0]
    assert new > 2 * alike
    assert new > 4 * apart.predict(np.zeros(2), "group 1").sigmas[0]


def test_one_row_is_enough_to_be_asked_and_says_how_unsure_it_is():
    regression = Regression(np.zeros((1, 2)), ["a"], np.ones((1, 1)))
    assert regression.predict(np.zeros(2), "a").means[0] == pytest.approx(1.0)
    assert regression.predict(np.array([3.0, 0]), "a").sigmas[0] > 1.0


def test_rows_that_repeat_each_other_are_averaged():
    rows = np.zeros((4, 1))
    regression = Regression(rows, ["a"] * 4, np.array([[1.0], [1.1], [0.9], [1.0]]))
    assert regression.predict(np.zeros(1), "a").means[0] == pytest.approx(1.0, abs=0.02)

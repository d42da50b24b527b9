from importlib.metadata import EntryPoint

import pytest

from autotuner.errors import OutputError, PlanError
from autotuner.search.estimators import registry
from autotuner.search.estimators.base import Estimator
from autotuner.search.estimators.combining import Combined
from autotuner.search.estimators.roofline import Roofline
from autotuner.spec import names


@pytest.fixture
def added(monkeypatch):
    """Entry points as an installed package would add them."""

    def add(**targets):
        points = [EntryPoint(n, t, names.ESTIMATOR_ENTRY_POINTS) for n, t in targets.items()]
        monkeypatch.setattr(names, "entry_points", lambda group: points)

    return add


def test_every_estimator_of_ours_loads_and_carries_its_name(monkeypatch):
    monkeypatch.setenv("AUTOTUNER_AICONFIGURATOR_PYTHON", "/some/python")
    for name in names.ESTIMATORS:
        estimator = registry.load_estimator(name)
        assert isinstance(estimator, Estimator)
        assert estimator.name == name


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(PlanError, match="did you mean 'roofline'"):
        registry.load_estimator("rofline")


def test_a_name_like_none_of_ours_is_refused_with_all_of_them():
    with pytest.raises(PlanError, match=r"known: roofline.* or a folder of earlier results"):
        registry.load_estimator("zzzzzz")


def test_what_looks_like_a_folder_is_read_as_earlier_results(tmp_path):
    with pytest.raises(OutputError, match="old-study"):
        registry.load_estimator(str(tmp_path / "old-study"))
    with pytest.raises(OutputError):
        registry.load_estimator(str(tmp_path))


def test_a_folder_among_several_is_read_too(tmp_path):
    with pytest.raises(OutputError, match="old-study"):
        registry.load_estimator(f"roofline + {tmp_path / 'old-study'}")
    with pytest.raises(OutputError, match="old-study"):
        registry.load_estimator(f"{tmp_path / 'old-study'} + roofline")


def test_several_estimators_are_combined():
    assert isinstance(registry.load_estimator("roofline + roofline"), Combined)
    with pytest.raises(PlanError, match="'zzzz'"):
        registry.load_estimator("roofline + zzzz")


def test_another_package_can_add_an_estimator(added):
    added(mine="autotuner.search.estimators.roofline:Roofline")
    assert isinstance(registry.load_estimator("mine"), Roofline)


def test_another_package_cannot_take_over_a_name_of_ours(added):
    added(roofline="json:JSONDecoder")
    assert isinstance(registry.load_estimator("roofline"), Roofline)


@pytest.mark.parametrize(
    "target", ["no.such.module:X", "autotuner.search.estimators.roofline:X", "json:JSONDecoder"]
)
def test_an_added_estimator_that_does_not_load_is_named(added, target):
    added(mine=target)
    with pytest.raises(PlanError, match="mine"):
        registry.load_estimator("mine")

from importlib.metadata import EntryPoint

import pytest

from autotuner.errors import PlanError
from autotuner.search import registry
from autotuner.search.base import Strategy
from autotuner.search.grid import GridStrategy
from autotuner.spec import names


@pytest.fixture
def added(monkeypatch):
    """Entry points as an installed package would add them."""

    def add(**targets):
        points = [EntryPoint(n, t, names.STRATEGY_ENTRY_POINTS) for n, t in targets.items()]
        monkeypatch.setattr(names, "entry_points", lambda group: points)

    return add


def test_every_strategy_that_a_study_may_name_has_its_class():
    assert tuple(registry._BUILT_IN) == names.STRATEGIES
    assert set(names.STRATEGY_ALIASES.values()) <= set(names.STRATEGIES)


@pytest.mark.parametrize("name", ["grid", "random", "sobol", "tpe", "nsga2", "bayesian"])
def test_every_strategy_of_ours_loads(name):
    assert issubclass(registry.load_strategy(name), Strategy)


def test_the_first_autotuners_name_means_the_model_based_one():
    assert registry.load_strategy("bayesian") is registry.load_strategy("tpe")


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(PlanError, match="did you mean 'sobol'"):
        registry.load_strategy("sobel")
    with pytest.raises(PlanError, match="did you mean 'bayesian'"):
        registry.load_strategy("bayes")


def test_a_name_like_none_of_ours_is_refused_with_all_of_them():
    with pytest.raises(PlanError, match="known: grid, random, sobol, tpe, nsga2, adaptive"):
        registry.load_strategy("zzzzzz")


def test_another_package_can_add_a_strategy(added):
    added(mine="autotuner.search.grid:GridStrategy")
    assert registry.load_strategy("mine") is GridStrategy


@pytest.mark.parametrize("name", ["random", "bayesian"])
def test_another_package_cannot_take_over_a_name_of_ours(added, name):
    added(**{name: "autotuner.search.grid:GridStrategy"})
    assert registry.load_strategy(name) is not GridStrategy


@pytest.mark.parametrize(
    "target",
    ["no.such.module:X", "autotuner.search.grid:X", "json:JSONDecoder", "json:dumps"],
)
def test_an_added_strategy_that_does_not_load_is_named(added, target):
    added(mine=target)
    with pytest.raises(PlanError, match="mine"):
        registry.load_strategy("mine")

from importlib.metadata import EntryPoint

import pytest

from autotuner.engines import registry
from autotuner.engines.base import Engine
from autotuner.engines.sim import SimEngine
from autotuner.errors import PlanError
from autotuner.spec import names


@pytest.fixture
def added(monkeypatch):
    """Entry points as an installed package would add them."""

    def add(**targets):
        points = [EntryPoint(n, t, names.ENGINE_ENTRY_POINTS) for n, t in targets.items()]
        monkeypatch.setattr(names, "entry_points", lambda group: points)

    return add


def test_every_engine_of_ours_loads_and_carries_its_name():
    for name in names.ENGINES:
        engine = registry.load_engine(name)
        assert isinstance(engine, Engine)
        assert engine.name == name
        assert engine.bench_backend in {"vllm", "sglang"}
        assert engine.simulated is (name == "sim")


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(PlanError, match="did you mean 'vllm'"):
        registry.load_engine("vlm")


def test_a_name_like_none_of_ours_is_refused_with_all_of_them():
    with pytest.raises(PlanError, match="known: vllm, sglang, custom, sim"):
        registry.load_engine("zzzzzz")


def test_another_package_can_add_an_engine(added):
    added(mine="autotuner.engines.sim:SimEngine")
    assert isinstance(registry.load_engine("mine"), SimEngine)


def test_another_package_cannot_take_over_a_name_of_ours(added):
    added(vllm="autotuner.engines.sim:SimEngine")
    assert registry.load_engine("vllm").name == "vllm"


@pytest.mark.parametrize(
    "target", ["no.such.module:X", "autotuner.engines.sim:X", "json:JSONDecoder"]
)
def test_an_added_engine_that_does_not_load_is_named(added, target):
    added(mine=target)
    with pytest.raises(PlanError, match="mine"):
        registry.load_engine("mine")

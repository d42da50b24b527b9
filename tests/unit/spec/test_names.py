from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from autotuner.spec import names


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines and strategies of an installed package, some of them under a name of ours."""
    points = [
        EntryPoint("vllm", "m:C", names.ENGINE_ENTRY_POINTS),
        EntryPoint("mine", "m:C", names.ENGINE_ENTRY_POINTS),
        EntryPoint("tpe", "m:C", names.STRATEGY_ENTRY_POINTS),
        EntryPoint("bayesian", "m:C", names.STRATEGY_ENTRY_POINTS),
        EntryPoint("clever", "m:C", names.STRATEGY_ENTRY_POINTS),
    ]
    monkeypatch.setattr(
        names, "entry_points", lambda group: [p for p in points if p.group == group]
    )


@pytest.mark.usefixtures("added")
def test_another_package_can_add_an_engine_but_not_take_over_one_of_ours() -> None:
    assert names.added_engines() == {"mine": "m:C"}
    assert names.engine_names() == (*names.ENGINES, "mine")


@pytest.mark.usefixtures("added")
def test_another_package_can_add_a_strategy_but_not_take_over_one_of_ours_or_an_alias() -> None:
    assert names.added_strategies() == {"clever": "m:C"}
    assert names.strategy_names() == (*names.STRATEGIES, *names.STRATEGY_ALIASES, "clever")


def test_ours_come_first_and_once() -> None:
    for ours, found in (
        (names.ENGINES, names.engine_names()),
        (names.STRATEGIES, names.strategy_names()),
    ):
        assert found[: len(ours)] == ours
        assert len(set(found)) == len(found)

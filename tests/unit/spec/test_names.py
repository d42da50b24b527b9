from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from autotuner.spec import names


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two engines of an installed package, one of them under a name of ours."""
    points = [EntryPoint(name, "m:C", names.ENGINE_ENTRY_POINTS) for name in ("vllm", "mine")]
    monkeypatch.setattr(names, "entry_points", lambda group: points)


@pytest.mark.usefixtures("added")
def test_another_package_can_add_an_engine_but_not_take_over_one_of_ours() -> None:
    assert names.added_engines() == {"mine": "m:C"}
    assert names.engine_names() == (*names.ENGINES, "mine")


def test_ours_come_first_and_once() -> None:
    found = names.engine_names()
    assert found[: len(names.ENGINES)] == names.ENGINES
    assert len(set(found)) == len(found)

from __future__ import annotations

import math

import numpy as np
import pytest
from unit.search.curves import LEVELS, THROUGHPUT, candidate, problem, row, rows

from autotuner.search.base import Ended, Told
from autotuner.search.measured import Measured
from autotuner.search.targets import targets_of
from autotuner.search.yardstick import yardstick

CANDIDATES = [candidate(f"c{i:03}") for i in range(200)]


def measured() -> Measured:
    asked = problem(*CANDIDATES)
    return Measured(targets_of(asked, yardstick(THROUGHPUT, ())))


def tell(to: Measured, index: int, speed: float, ended: Ended | None = Ended.COMPLETED) -> None:
    to.tell(CANDIDATES[index], Told(CANDIDATES[index].id, rows(speed), ended))


def top(speed: float) -> float:
    return math.log(float(str(row(LEVELS[-1], speed)[THROUGHPUT.column])))


def test_the_best_is_of_what_has_completed_or_runs() -> None:
    found = measured()
    assert found.best() is None
    tell(found, 0, 100.0)
    assert found.best() == pytest.approx(top(100))
    tell(found, 1, 200.0, ended=None)
    assert found.best() == pytest.approx(top(200))


@pytest.mark.parametrize("ended", [Ended.FAILED, Ended.LOST, Ended.PRUNED])
def test_what_has_no_complete_result_is_not_the_best(ended: Ended) -> None:
    found = measured()
    tell(found, 0, 100.0)
    tell(found, 1, 200.0, ended)
    assert found.best() == pytest.approx(top(100))


def test_a_server_that_failed_teaches_no_curve_and_a_pruned_one_does() -> None:
    found = measured()
    tell(found, 0, 100.0, Ended.FAILED)
    tell(found, 1, 100.0, Ended.PRUNED)
    tell(found, 2, 100.0, Ended.LOST)
    assert set(found.observations().candidates) == {1}
    tried, ran = found.ended()
    assert dict(zip(tried.tolist(), ran.tolist(), strict=True)) == {0: False, 1: True}


def test_what_is_told_again_replaces_what_was_told() -> None:
    found = measured()
    tell(found, 0, 100.0)
    tell(found, 0, 50.0)
    assert found.best() == pytest.approx(top(50))
    assert len(found.observations()) == len(LEVELS)


def test_of_very_many_measurements_the_model_keeps_those_that_tell_most() -> None:
    found = measured()
    for index in range(200):
        tell(found, index, 10.0 + index)
    kept = found.observations()
    assert len(kept) <= 400
    assert {199, 198, 197} <= set(kept.candidates)
    assert (kept.candidates < 20).any(), "it has to know where it is bad"
    assert set(kept.places[kept.candidates == 199]) == {0, len(LEVELS) - 1}
    assert np.isfinite(kept.logs).all()

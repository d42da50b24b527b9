"""Levels of a workload."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from autotuner.spec.workload import Level, StopRule, Workload

WORKLOAD = Workload("chat", "D(100,100)", (8, 1), StopRule(60))


def test_a_workload_has_one_level_per_concurrency_in_the_given_order() -> None:
    assert WORKLOAD.levels == (Level("chat", "D(100,100)", 8), Level("chat", "D(100,100)", 1))


def test_levels_sort_by_concurrency_within_a_workload() -> None:
    assert [level.concurrency for level in sorted(WORKLOAD.levels)] == [1, 8]


def test_repeats_of_a_level_are_different_levels() -> None:
    assert Level("chat", "D(100,100)", 8, repeat=1) != Level("chat", "D(100,100)", 8)


def test_a_level_reads_as_workload_scenario_and_concurrency() -> None:
    assert str(WORKLOAD.levels[0]) == "chat D(100,100) c=8"


def test_a_level_ends_by_time_alone_unless_requests_are_given() -> None:
    assert StopRule(60).requests is None


@pytest.mark.parametrize(
    ("scenario", "tokens"),
    [
        ("D(100,200)", (100, 200)),
        ("N(480,240)/(300,150)", (480, 300)),
        ("U(100,200)/(10,30)", (150, 20)),
        ("U(200,30)", (100, 15)),
        ("dataset", (64, 64)),
    ],
)
def test_typical_tokens_are_the_middle_of_the_scenario(
    scenario: str, tokens: tuple[int, int]
) -> None:
    assert replace(WORKLOAD, scenario=scenario).typical_tokens == tokens


def test_a_workload_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        WORKLOAD.name = "other"  # type: ignore[misc]

"""Levels of a workload."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotuner.spec.workload import Level, LoadRange, StopRule, Workload

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


def test_what_is_measured_is_known_by_the_hash_that_it_had_before_a_load_could_be_found() -> None:
    assert "find" not in WORKLOAD.content()
    assert replace(WORKLOAD, find=LoadRange()).content()["find"] == {
        "least": 1,
        "most": 512,
        "within": 0.1,
        "times": 3,
    }


@given(
    least=st.integers(1, 600),
    span=st.integers(0, 2000),
    within=st.floats(0.01, 1.0, allow_nan=False),
)
def test_loads_that_may_be_found_rise_by_no_more_than_the_tolerance(
    least: int, span: int, within: float
) -> None:
    steps = LoadRange(least, least + span, within).steps
    assert (steps[0], steps[-1]) == (least, least + span)
    for low, high in pairwise(steps):
        assert low < high <= max(low + 1, low * (1 + within) + 1e-6)


def test_few_levels_are_expected_of_a_wide_range() -> None:
    wide = LoadRange(1, 512)
    assert (wide.expected_levels, wide.most_levels) == (10, 18)
    assert LoadRange(8, 8).expected_levels <= LoadRange(8, 8).most_levels
    found = replace(WORKLOAD, concurrency=wide.steps, repeats=wide.times, find=wide)
    assert found.expected_levels == 10
    assert WORKLOAD.expected_levels == 2


def test_a_load_that_is_to_be_found_is_not_warmed_up_with_the_highest() -> None:
    wide = LoadRange(1, 512)
    assert WORKLOAD.warmed_concurrency == 8
    assert replace(WORKLOAD, concurrency=wide.steps, find=wide).warmed_concurrency == 32
    few = LoadRange(1, 4)
    assert replace(WORKLOAD, concurrency=few.steps, find=few).warmed_concurrency == 4

"""Ranges of a parameter: which values they stand for, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotuner.spec.study_ranges import MOST_VALUES, Range, range_values

if TYPE_CHECKING:
    from .conftest import StudyWriter


def values(study: StudyWriter, text: str) -> list[object]:
    (axis,) = study.load(parameters=f"parameters: {{a: {text}}}").axes
    return [point["a"] for point in axis.points]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{min: 0.8, max: 0.95, step: 0.05}", [0.8, 0.85, 0.9, 0.95]),
        ("{min: 1, max: 10, step: 4}", [1, 5, 9]),
        ("{min: 1, max: 2, step: 0.5}", [1.0, 1.5, 2.0]),
        ("{min: 16, max: 4096, count: 5, scale: log}", [16, 64, 256, 1024, 4096]),
        ("{min: 0, max: 100, count: 3}", [0, 50, 100]),
        ("{min: 1, max: 3, count: 9}", [1, 2, 3]),
        ("{min: 1, max: 4}", [1, 2, 3, 4]),
        ("{min: 0, max: 1000}", [0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]),
        ("{min: 0.5, max: 0.6, count: 2}", [0.5, 0.6]),
        ("{type: range, min: 1, max: 2}", [1, 2]),
    ],
)
def test_a_range_stands_for_the_values_that_its_steps_give(
    study: StudyWriter, text: str, expected: list[object]
) -> None:
    found = values(study, text)
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1, 1024, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]),
        (3, 100, [3, 4, 8, 16, 32, 64, 100]),
        (4, 64, [4, 8, 16, 32, 64]),
        (5, 7, [5, 7]),
    ],
)
def test_whole_numbers_on_a_log_scale_are_powers_of_two_and_both_ends(
    study: StudyWriter, low: int, high: int, expected: list[int]
) -> None:
    assert values(study, f"{{min: {low}, max: {high}, scale: log}}") == expected


def test_other_numbers_on_a_log_scale_grow_by_the_same_proportion(study: StudyWriter) -> None:
    found = values(study, "{min: 0.001, max: 1, scale: log}")
    assert found == [0.001, 0.002, 0.00398, 0.00794, 0.0158, 0.0316, 0.0631, 0.126, 0.251, 0.501, 1]
    assert {type(value) for value in found} == {float}


ENDS = st.one_of(st.integers(-500, 10**6), st.floats(-500, 10**6, allow_nan=False))


@given(st.lists(ENDS, min_size=2, max_size=2, unique=True), st.none() | st.integers(2, 50))
def test_both_ends_are_among_the_values_which_rise(ends: list[float], count: int | None) -> None:
    low, high = sorted(ends)
    found = range_values(Range(low, high, None, count))
    assert (found[0], found[-1]) == (low, high)
    assert list(found) == sorted(found)


def test_a_variable_may_have_a_range(study: StudyWriter) -> None:
    (axis,) = study.load(parameters="parameters: {env.N: {min: 1, max: 3}}").axes
    assert [point["env.N"] for point in axis.points] == [1, 2, 3]


def test_a_condition_may_name_a_value_of_a_range_and_no_other(study: StudyWriter) -> None:
    parameters = "parameters: {a: {min: 1, max: 8, scale: log}}"
    assert study.load(parameters=parameters, exclude="exclude: [{when: {a: 4}}]").exclusions
    problem = study.problem(parameters=parameters, exclude="exclude: [{when: {a: 3}}]")
    assert problem.key == "exclude[0].when.a"


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("{min: 1}", "parameters.a.max", "missing"),
        ("{max: 1}", "parameters.a.min", "missing"),
        ("{min: 4, max: 1}", "parameters.a.max", "above `min`, which is 4"),
        ("{min: 4, max: 4}", "parameters.a.max", "above `min`"),
        ("{min: 1, max: many}", "parameters.a.max", "write a number"),
        ('{min: "1", max: 2}', "parameters.a.min", "without quotes"),
        ("{min: true, max: 2}", "parameters.a.min", "write a number"),
        ("{min: 0, max: 2, scale: log}", "parameters.a.min", "above 0"),
        ("{min: 1, max: 2, scale: logarithmic}", "parameters.a.scale", "linear, log"),
        ("{min: 1, max: 8, scale: log, step: 2}", "parameters.a.step", "factors"),
        ("{min: 1, max: 8, count: 3, step: 2}", "parameters.a.count", "remove one"),
        ("{min: 1, max: 8, count: 1}", "parameters.a.count", "at least 2"),
        ("{min: 1, max: 8, count: 2.5}", "parameters.a.count", "whole number"),
        ("{min: 1, max: 8, step: 0}", "parameters.a.step", "above 0"),
        ("{min: 1, max: 8, step: 9}", "parameters.a.step", "at most 7"),
        ("{min: 1, max: 1e6, step: 1}", "parameters.a.step", "count: 11"),
        ("{low: 1, max: 8}", "parameters.a.low", "`min`"),
        ("{min: 1, max: 8, num: 8}", "parameters.a.num", "`count`"),
        ("{min: 1, max: 8, log: true}", "parameters.a.log", "`scale: log`"),
        ("{min: 1, max: 8, values: [1]}", "parameters.a.values", "unknown key"),
    ],
)
def test_a_wrong_range_is_explained(study: StudyWriter, text: str, key: str, words: str) -> None:
    problem = next(
        p for p in study.problems(parameters=f"parameters: {{a: {text}}}") if p.key == key
    )
    assert problem.line == 6
    assert words in problem.fix


def test_no_range_has_more_values_than_anyone_measures() -> None:
    assert len(range_values(Range(0, 10**9, 1))) == MOST_VALUES + 1


def test_a_parallel_size_that_is_none_is_refused_in_a_range_too(study: StudyWriter) -> None:
    problem = study.problem(
        parameters="parameters: {tensor-parallel-size: {min: 0.5, max: 2, step: 0.5}}"
    )
    assert problem.key == "parameters.tensor-parallel-size"
    assert "0.5 is among the values" in problem.fix

from __future__ import annotations

import pytest

from autotuner.results.comparability import (
    AttemptCircumstances,
    circumstances_of,
    compare_circumstances,
)
from autotuner.spec.judging import Condition


def attempt(name: str, number: int = 1, **row: object) -> AttemptCircumstances:
    found = circumstances_of(row, neighbours_of_gpus=True)
    return AttemptCircumstances(name, f"{name}-a{number}", found)


def test_equal_circumstances_are_all_compared() -> None:
    found = compare_circumstances([attempt(n, engine_version="1", nice=0) for n in "abc"])
    assert (found.apart, found.left_out) == ({}, frozenset())


def test_nothing_measured_is_nothing_apart() -> None:
    assert compare_circumstances([]).apart == {}


@pytest.mark.parametrize(
    ("usual", "other"),
    [
        ({"engine_version": "0.6"}, {"engine_version": "0.7"}),
        ({"gpu_model": "H100"}, {"gpu_model": "A100"}),
        ({"image_id": "sha256:1"}, {"image_id": "sha256:2"}),
        ({"nice": 0}, {"nice": 15}),
        ({"bench_version": "0.0.5"}, {"bench_version": "0.0.4"}),
        ({"neighbours_mean": 2.0}, {"neighbours_mean": 0.1}),
    ],
)
def test_whoever_differs_from_the_largest_group_is_apart_with_the_reason_and_the_fix(
    usual: dict[str, object], other: dict[str, object]
) -> None:
    found = compare_circumstances(
        [attempt("odd", **other), attempt("a", **usual), attempt("b", **usual)]
    )
    assert set(found.apart) == {"odd"}
    assert found.left_out == {"odd-a1"}
    (column,) = usual
    condition = column.removesuffix("_mean")
    assert condition in found.apart["odd"]
    assert f"`compare_across: [{condition}]`" in found.apart["odd"]
    assert "Measure it again" in found.apart["odd"]


def test_both_values_are_named() -> None:
    rows = [attempt("a", nice=0), attempt("b", nice=0), attempt("c", nice=15)]
    assert "its nice is 15, that of the others 0" in compare_circumstances(rows).apart["c"]


def test_a_condition_that_may_differ_is_not_looked_at_and_stays_in_the_fix() -> None:
    rows = [
        attempt("a", nice=0, engine_version="1"),
        attempt("b", nice=15, engine_version="1"),
        attempt("c", nice=15, engine_version="2"),
    ]
    found = compare_circumstances(rows, {Condition.NICE})
    assert set(found.apart) == {"c"}
    assert "`compare_across: [engine_version, nice]`" in found.apart["c"]
    assert compare_circumstances(rows, set(Condition)).apart == {}


def test_of_groups_of_equal_size_the_earliest_is_the_reference() -> None:
    rows = [attempt("a", nice=5), attempt("b", nice=0)]
    assert set(compare_circumstances(rows).apart) == {"b"}


def test_groups_are_counted_in_experiments_not_in_attempts() -> None:
    rows = [
        *(attempt("a", number, nice=5) for number in (1, 2, 3)),
        attempt("b", nice=0),
        attempt("c", nice=0),
    ]
    assert set(compare_circumstances(rows).apart) == {"a"}


def test_what_is_unknown_is_compared_with_anything() -> None:
    rows = [attempt("a", nice=None), attempt("b", nice=0), attempt("c")]
    assert compare_circumstances(rows).apart == {}


def test_an_attempt_of_unknown_circumstances_does_not_join_two_groups() -> None:
    rows = [
        attempt("unknown"),
        attempt("a", nice=0),
        attempt("b", nice=0),
        attempt("c", nice=15),
    ]
    assert set(compare_circumstances(rows).apart) == {"c"}


def test_an_experiment_with_a_comparable_attempt_is_compared_by_that_one() -> None:
    rows = [
        attempt("a", 1, nice=0),
        attempt("b", 1, nice=0),
        attempt("b", 2, nice=15),
    ]
    found = compare_circumstances(rows)
    assert found.apart == {}
    assert found.left_out == {"b-a2"}


def test_a_simulated_server_has_no_neighbours_that_slow_it() -> None:
    rows = [
        attempt("a", neighbours_mean=1.0, simulated=True),
        attempt("b", neighbours_mean=0.0, simulated=True),
    ]
    assert compare_circumstances(rows).apart == {}


@pytest.mark.parametrize(
    ("gpus", "asked", "said"), [(0, False, "shared"), (1, False, None), (1, True, "shared")]
)
def test_neighbours_of_a_server_with_gpus_of_its_own_matter_only_where_the_study_says_so(
    gpus: int, asked: bool, said: str | None
) -> None:
    row = {"gpus": gpus, "neighbours_mean": 2.0}
    assert circumstances_of(row, neighbours_of_gpus=asked)[Condition.NEIGHBOURS] == said

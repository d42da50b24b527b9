"""The points of a space: all of them, or some that represent it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from itertools import islice

import pytest

from autotuner.search.space import all_points, combinations, even_points
from autotuner.spec.study import Axis


def axis(name: str, count: int) -> Axis:
    return Axis(name, tuple({name: value} for value in range(count)))


WIDE = tuple(axis(f"p{number}", 8) for number in range(10))


def test_all_points_have_the_last_axis_vary_fastest() -> None:
    space = (axis("a", 2), axis("b", 3))
    assert [tuple(point.values()) for point in all_points(space)] == [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
        (1, 2),
    ]


def test_a_space_without_axes_has_one_point() -> None:
    assert list(all_points(())) == [{}]
    assert list(even_points((), 0, 5)) == [{}]


def test_tied_parameters_are_drawn_together() -> None:
    tied = Axis("size", ({"a": 1, "b": 10}, {"a": 2}))
    assert sorted(map(str, even_points((tied,), 0, 9))) == ["{'a': 1, 'b': 10}", "{'a': 2}"]


def test_points_are_different_and_even_on_every_axis() -> None:
    assert combinations(WIDE) == 2**30
    points = list(islice(even_points(WIDE, 0, 1024), 1024))
    assert len({tuple(point.values()) for point in points}) == 1024
    for one in WIDE:
        assert set(Counter(point[one.name] for point in points).values()) == {128}


def test_pairs_of_axes_are_covered_too() -> None:
    points = list(islice(even_points(WIDE, 3, 1024), 1024))
    pairs = {(point["p0"], point["p1"]) for point in points}
    assert len(pairs) == 64


def test_a_small_space_is_drawn_whole_and_then_ends() -> None:
    space = (axis("a", 3), axis("b", 5), axis("c", 2))
    points = list(even_points(space, 0, 1000))
    assert sorted(map(str, points)) == sorted(map(str, all_points(space)))


def test_the_first_points_are_the_same_however_many_are_wanted() -> None:
    few = list(islice(even_points(WIDE, 0, 10), 10))
    assert list(islice(even_points(WIDE, 0, 5000), 10)) == few


def test_another_seed_draws_other_points() -> None:
    one, other = (list(islice(even_points(WIDE, seed, 20), 20)) for seed in (0, 1))
    assert one != other


@pytest.mark.parametrize(("seed", "digest"), [(0, "2eae5fc8e7cc"), (7, "7e187f72272a")])
def test_a_pool_is_the_same_on_every_machine(seed: int, digest: str) -> None:
    points = list(islice(even_points(WIDE, seed, 500), 500))
    assert hashlib.sha256(json.dumps(points).encode()).hexdigest()[:12] == digest

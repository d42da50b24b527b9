from __future__ import annotations

import numpy as np
import pytest

from autotuner.search.axes import Axes
from autotuner.spec.server import Value


def distances(values: list[Value], value: Value) -> list[float]:
    axes = Axes([{"x": one} for one in values])
    return axes.distances(axes.place_of(values.index(value))).tolist()


def test_numbers_are_apart_by_their_rank_whatever_their_scale() -> None:
    assert distances([1, 2, 4, 8, 16], 2) == [0.25, 0.0, 0.25, 0.5, 0.75]
    assert distances([0.9, 0.8, 1000], 0.9) == pytest.approx([0.0, 0.5, 0.5])


def test_words_and_switches_are_near_only_to_themselves() -> None:
    assert distances(["auto", "fp8", "bf16"], "fp8") == [1.0, 0.0, 1.0]
    assert distances([True, False], True) == [0.0, 1.0]


def test_a_flag_that_is_left_out_lies_apart_from_its_numbers() -> None:
    assert distances([None, 16, 64, 256], 16) == [1.0, 0.0, 0.5, 1.0]
    assert distances([None, 16, 64, 256], None) == [0.0, 1.0, 1.0, 1.0]


def test_true_is_not_one_and_absent_is_not_null() -> None:
    axes = Axes([{"x": 1}, {"x": True}, {"x": None}, {}])
    table = [axes.distances(axes.place_of(index)).tolist() for index in range(4)]
    assert table == (1 - np.eye(4)).tolist()


def test_a_parameter_with_one_value_is_no_axis() -> None:
    axes = Axes([{"x": 1, "y": 1}, {"x": 1.0, "y": 2}])
    assert [axis.name for axis in axes.axes] == ["y"]


def test_axes_count_alike_however_many_values_they_have() -> None:
    points: list[dict[str, Value]] = [{"x": x, "y": y} for x in range(10) for y in range(2)]
    axes = Axes(points)
    here = axes.distances(axes.place_of(0))
    assert here[points.index({"x": 9, "y": 0})] == here[points.index({"x": 0, "y": 1})] == 1.0


def test_each_value_of_an_axis_has_the_same_share_of_the_unit_interval() -> None:
    axes = Axes([{"x": value} for value in (None, 1, 2, 1000)])
    places = [axes.from_cube(np.array([share])) for share in (0.1, 0.3, 0.6, 0.9)]
    nearest = [int(np.argmin(axes.distances(place))) for place in places]
    assert nearest == [1, 2, 3, 0]

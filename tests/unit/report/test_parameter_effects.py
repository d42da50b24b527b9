"""Main effects and the strongest interaction of scores that are made from known effects."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from autotuner.report.parameter_effects import Scored, main_effects, strongest_interaction

VALUES = {"size": ["8", "16", "32"], "cache": ["a", "b", "c"], "idle": ["x", "y"]}
SIZE = {"8": 1.0, "16": 2.0, "32": 4.0}
CACHE = {"a": 1.0, "b": 1.1, "c": 0.9}


def grid(score: Callable[[str, str], float]) -> list[Scored]:
    return [
        Scored({"size": size, "cache": cache, "idle": idle}, score(size, cache))
        for size, cache, idle in itertools.product(*VALUES.values())
    ]


def test_effects_of_a_full_grid_are_those_it_was_made_of() -> None:
    found = main_effects(grid(lambda size, cache: SIZE[size] * CACHE[cache]), VALUES)
    effects = {(e.parameter, e.value): e.effect for e in found}
    assert effects["size", "16"] == pytest.approx(0.0)
    assert effects["size", "32"] == pytest.approx(1.0)
    assert effects["idle", "x"] == pytest.approx(0.0)


def test_the_parameter_with_the_widest_range_comes_first_and_values_keep_their_order() -> None:
    found = main_effects(grid(lambda size, cache: SIZE[size] * CACHE[cache]), VALUES)
    assert list(dict.fromkeys(e.parameter for e in found)) == ["size", "cache", "idle"]
    assert [e.value for e in found[:3]] == ["8", "16", "32"]


def test_spread_is_one_standard_deviation_of_the_logarithms() -> None:
    scored = [Scored({"p": "a"}, 1.0), Scored({"p": "a"}, 4.0)]
    (effect,) = main_effects(scored, {"p": ["a"]})
    assert effect.effect == pytest.approx(0.0)
    assert effect.low is not None
    assert effect.high is not None
    assert (1 + effect.low) * (1 + effect.high) == pytest.approx(1.0)
    assert 1 + effect.high == pytest.approx(2**2**0.5)


def test_a_value_without_a_score_has_no_effect_and_one_score_no_spread() -> None:
    found = main_effects([Scored({"p": "a"}, 2.0)], {"p": ["a", "b"]})
    assert [(e.count, e.effect, e.high) for e in found] == [(1, 0.0, None), (0, None, None)]
    assert main_effects([], {"p": ["a"]}) == ()


def test_effects_that_add_up_have_no_interaction() -> None:
    assert strongest_interaction(grid(lambda s, c: SIZE[s] * CACHE[c]), VALUES) is None


def test_the_strongest_interaction_is_that_of_the_odd_cell() -> None:
    def score(size: str, cache: str) -> float:
        return SIZE[size] * CACHE[cache] * (1.5 if (size, cache) == ("32", "b") else 1.0)

    found = strongest_interaction(grid(score), VALUES)
    assert found is not None
    assert (found.first, found.second) == ("size", "cache")
    assert (found.first_values[found.worst_cell[0]], found.second_values[found.worst_cell[1]]) == (
        "32",
        "b",
    )
    # Of a factor 1.5 in one cell of 3 x 3, the additive fit takes up all but (2/3)(2/3).
    assert found.residual == pytest.approx(1.5 ** (4 / 9) - 1)


def test_of_two_equal_residuals_the_one_above_is_named() -> None:
    scored = [
        Scored({"a": a, "b": b}, 2.0 if a == b else 1.0) for a in ("1", "2") for b in ("1", "2")
    ]
    found = strongest_interaction(scored, {"a": ["1", "2"], "b": ["1", "2"]})
    assert found is not None
    assert found.residual == pytest.approx(2**0.5 - 1)


def test_missing_cells_make_no_interaction_and_have_no_mean() -> None:
    scored = [s for s in grid(lambda s, c: SIZE[s] * CACHE[c]) if s.values["size"] != "32"]
    scored += [Scored({"size": "32", "cache": "a", "idle": "x"}, 4.4)]
    values = {name: VALUES[name] for name in ("size", "idle")}
    assert strongest_interaction(scored, values) is None
    odd = [*scored, Scored({"size": "8", "cache": "a", "idle": "x"}, 9.0)]
    found = strongest_interaction(odd, values)
    assert found is not None
    assert found.means[2][1] is None


def test_too_few_cells_tell_of_no_interaction() -> None:
    scored = [Scored({"a": "1", "b": "1"}, 1.0), Scored({"a": "2", "b": "2"}, 9.0)]
    assert strongest_interaction(scored, {"a": ["1", "2"], "b": ["1", "2"]}) is None

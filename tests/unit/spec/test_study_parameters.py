"""The search space of a study file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autotuner.spec.study import Axis

if TYPE_CHECKING:
    from .conftest import StudyWriter


def axes(study: StudyWriter, text: str) -> tuple[Axis, ...]:
    return study.load(parameters=f"parameters: {text}").axes


@pytest.mark.parametrize("text", ["", "{}", "null"])
def test_no_parameters_mean_no_axes(study: StudyWriter, text: str) -> None:
    assert axes(study, text) == ()


@pytest.mark.parametrize(
    "text", ["{a: [1, x]}", "{a: {type: choice, values: [1, x]}}", "{a: {values: [1, x]}}"]
)
def test_a_list_and_a_choice_give_one_point_per_value(study: StudyWriter, text: str) -> None:
    assert axes(study, text) == (Axis("a", ({"a": 1}, {"a": "x"})),)


def test_values_keep_their_types(study: StudyWriter) -> None:
    (axis,) = axes(study, '{a: ["8", 9, 0.5, true, null, on-off]}')
    values = [point["a"] for point in axis.points]
    assert values == ["8", 9, 0.5, True, None, "on-off"]
    assert values[3] is True


def test_tied_points_set_their_own_parameters(study: StudyWriter) -> None:
    (axis,) = axes(study, "{p: {type: tied, values: [{tp: 8}, {tp: 4, pp: 2}]}}")
    assert axis == Axis("p", ({"tp": 8}, {"tp": 4, "pp": 2}))
    assert axis.parameters == ("tp", "pp")


def test_axes_keep_the_order_of_the_file(study: StudyWriter) -> None:
    assert [axis.name for axis in axes(study, "{b: [1], a: [1]}")] == ["b", "a"]


def test_booleans_of_a_variable_are_text_as_spelled(study: StudyWriter) -> None:
    (axis,) = axes(study, "{env.A: [yes, true, 1, null]}")
    assert [point["env.A"] for point in axis.points] == ["yes", "true", 1, None]


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("[a]", "parameters", "mapping"),
        ("{a: []}", "parameters.a", "empty"),
        ("{a: {type: choice, values: []}}", "parameters.a.values", "empty"),
        ("{a: 16}", "parameters.a", "write a list: [16]"),
        ("{a: fp8}", "parameters.a", "write a list: [fp8]"),
        ('{a: "8"}', "parameters.a", 'write a list: ["8"]'),
        ("{a: null}", "parameters.a", "list of values"),
        ("{a: {b: 1}}", "parameters.a", "JSON text in quotes"),
        ("{a: [{b: 1}]}", "parameters.a[0]", "JSON text in quotes"),
        ("{a: [[1]]}", "parameters.a[0]", "JSON text in quotes"),
        ("{a: {type: choice}}", "parameters.a", "`values` is missing"),
        ("{a: {type: grid, values: [1]}}", "parameters.a.type", "choice, tied, range"),
        ("{a: {type: range, values: [1]}}", "parameters.a.type", "{min: 1, max: 1024}"),
        ("{a: {type: integer, values: [1]}}", "parameters.a.type", "{min: ..., max: ...}"),
        ("{a: {type: teid, values: [1]}}", "parameters.a.type", "`tied`"),
        ("{a: {values: [1], valeus: [2]}}", "parameters.a.valeus", "`values`"),
        ("{a: {type: tied, values: [1]}}", "parameters.a.values[0]", "mapping"),
        ("{a: {type: tied, values: [{}]}}", "parameters.a.values[0]", "mapping"),
        ("{a: {type: tied, values: {b: 1}}}", "parameters.a.values", "list of mappings"),
        ("{a: {type: tied, values: [{b: [1]}]}}", "parameters.a.values[0].b", "JSON"),
        ("{a: {type: tied, values: [{--b: 1}]}}", "parameters.a.values[0].--b", "`b`"),
        ("{a: {type: tied, values: [{port: 1}]}}", "parameters.a.values[0].port", "itself"),
        ("{--a: [1]}", "parameters.--a", "`a`"),
        ("{env.: [1]}", "parameters.env.", "no environment variable"),
        ("{env.A-B: [1]}", "parameters.env.A-B", "no environment variable"),
        ("{a: [1, .inf]}", "parameters.a[1]", "finite"),
        ("{a: [1, .nan]}", "parameters.a[1]", "finite"),
    ],
)
def test_a_wrong_parameter_is_explained(
    study: StudyWriter, text: str, key: str, words: str
) -> None:
    problem = study.problem(parameters=f"parameters: {text}")
    assert (problem.key, problem.line) == (key, 6)
    assert words in problem.fix


@pytest.mark.parametrize(
    ("text", "key", "item"),
    [
        ("{a: [1, 2, 1]}", "parameters.a[2]", 1),
        ('{a: [2, 8, "8"]}', "parameters.a[2]", 2),
        ("{a: [1, 1.0]}", "parameters.a[1]", 1),
        ("{a: [true, false, null]}", "parameters.a[2]", 2),
        ("{a: {type: tied, values: [{b: 1, c: 2}, {c: 2, b: 1}]}}", "parameters.a.values[1]", 1),
    ],
)
def test_values_that_start_the_same_server_are_duplicates(
    study: StudyWriter, text: str, key: str, item: int
) -> None:
    problem = study.problem(parameters=f"parameters: {text}")
    assert problem.key == key
    assert f"item {item} of the list" in problem.fix


def test_true_and_one_are_different_values(study: StudyWriter) -> None:
    assert len(axes(study, "{a: [true, 1]}")[0].points) == 2


@pytest.mark.parametrize(
    ("engine", "text", "key", "owner"),
    [
        ("", "{a: [1], b: {type: tied, values: [{a: 2}]}}", "parameters.b.values[0].a", "a"),
        ("", "{a-b: [1], a_b: [2]}", "parameters.a_b", "parameters.a-b"),
        ("flags: {a: 1}", "{a: [1]}", "parameters.a", "engine.flags.a"),
        ("flags: {a-b: 1}", "{a_b: [1]}", "parameters.a_b", "engine.flags.a-b"),
        ("environment: {A: 1}", "{env.A: [1]}", "parameters.env.A", "engine.environment.A"),
        ("flags: {a: 1}", "{c: {values: [{}]}, a: 3}", "parameters.a", "engine.flags.a"),
    ],
)
def test_a_parameter_that_is_set_twice_is_ambiguous(
    study: StudyWriter, engine: str, text: str, key: str, owner: str
) -> None:
    problems = study.problems(
        engine=f"engine: {{name: vllm, {engine}}}", parameters=f"parameters: {text}"
    )
    (problem,) = (problem for problem in problems if "ambiguous" in problem.fix)
    assert problem.key == key
    assert owner in problem.fix


def test_a_variable_and_a_flag_of_the_same_name_are_two_things(study: StudyWriter) -> None:
    study.load(engine="engine: {name: vllm, flags: {A: 1}}", parameters="parameters: {env.A: [1]}")


@pytest.mark.parametrize("value", ["'2'", "0", "1.5", "true", "many"])
def test_a_parallel_size_that_is_none_is_refused_where_it_stands(
    study: StudyWriter, value: str
) -> None:
    point = f"{{tensor-parallel-size: {value}}}"
    text = f"parameters: {{p: {{type: tied, values: [{point}, {{max-num-seqs: 1}}]}}}}"
    problem = study.problem(parameters=text)
    assert problem.key == "parameters.p.values[0].tensor-parallel-size"
    assert "whole number of at least 1" in problem.fix


def test_a_parallel_size_may_be_left_out(study: StudyWriter) -> None:
    (axis,) = axes(study, "{data-parallel-size: [2, null]}")
    assert [point["data-parallel-size"] for point in axis.points] == [2, None]

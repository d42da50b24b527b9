"""The combinations that a study file drops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autotuner.spec.study import Condition, Exclusion, Operator, ParameterRef

if TYPE_CHECKING:
    from .conftest import StudyWriter

ENGINE = "engine: {name: vllm, flags: {max-model-len: 4096}, environment: {V: yes}}"
PARAMETERS = (
    "parameters: {seqs: [1, 16], tokens: [256, 512], cache: [true, false], env.W: [on, 2], "
    "p: {type: tied, values: [{tp: 8}, {tp: 4, pp: 2}]}}"
)


def exclusions(study: StudyWriter, when: str, reason: str = "") -> tuple[Exclusion, ...]:
    spec = study.load(
        engine=ENGINE, parameters=PARAMETERS, exclude=f"exclude: [{{when: {when}{reason}}}]"
    )
    return spec.exclusions


@pytest.mark.parametrize(
    ("test", "operator", "operand"),
    [
        ("16", Operator.EQUALS, 16),
        ("{equals: 16}", Operator.EQUALS, 16),
        ("[1, 16]", Operator.ONE_OF, (1, 16)),
        ("[16, 99]", Operator.ONE_OF, (16, 99)),
        ("{one_of: [16]}", Operator.ONE_OF, (16,)),
        ("{not_equals: 3}", Operator.NOT_EQUALS, 3),
        ("{less_than: 5}", Operator.LESS_THAN, 5),
        ("{at_most: 5}", Operator.AT_MOST, 5),
        ("{greater_than: 0.5}", Operator.GREATER_THAN, 0.5),
        ("{at_least: 5}", Operator.AT_LEAST, 5),
        ("{less_than: {parameter: tokens}}", Operator.LESS_THAN, ParameterRef("tokens")),
        (
            "{less_than: {parameter: max-model-len}}",
            Operator.LESS_THAN,
            ParameterRef("max-model-len"),
        ),
        ("{equals: {parameter: env.W}}", Operator.EQUALS, ParameterRef("env.W")),
    ],
)
def test_each_form_of_a_condition_is_read(
    study: StudyWriter, test: str, operator: Operator, operand: object
) -> None:
    (exclusion,) = exclusions(study, f"{{seqs: {test}}}")
    assert exclusion.conditions == (Condition("seqs", operator, operand),)


def test_all_conditions_of_one_mapping_belong_together(study: StudyWriter) -> None:
    (exclusion,) = exclusions(study, "{seqs: {at_least: 2, at_most: 4}, tokens: 256}")
    assert [condition.operator for condition in exclusion.conditions] == [
        Operator.AT_LEAST,
        Operator.AT_MOST,
        Operator.EQUALS,
    ]


def test_the_reason_is_the_given_one_or_spells_the_conditions(study: StudyWriter) -> None:
    assert exclusions(study, "{seqs: 16}", ", reason: too wide")[0].reason == "too wide"
    (exclusion,) = exclusions(study, "{seqs: 16, tokens: {less_than: {parameter: seqs}}}")
    assert exclusion.reason == "seqs equals 16 and tokens less than seqs"


@pytest.mark.parametrize(("when", "operand"), [("{env.W: on}", "on"), ("{cache: true}", True)])
def test_booleans_are_text_for_variables_only(
    study: StudyWriter, when: str, operand: object
) -> None:
    assert exclusions(study, when)[0].conditions[0].operand == operand


def test_parameters_of_tied_points_and_fixed_flags_can_be_named(study: StudyWriter) -> None:
    assert len(exclusions(study, "{tp: 8, pp: 2, max-model-len: 4096}")[0].conditions) == 3


@pytest.mark.parametrize(
    ("when", "key", "words"),
    [
        ("{sqes: 16}", "sqes", "`seqs`"),
        ("{env.V: yes}", "env.V", "`env.W`"),
        ("{p: 8}", "p", "tp, pp"),
        ("{seqs: {less_then: 3}}", "seqs.less_then", "`less_than`"),
        ("{seqs: {}}", "seqs", "comparison"),
        ("{seqs: {parameter: tokens}}", "seqs", "equals"),
        ("{seqs: {less_than: {parameter: tokns}}}", "seqs.less_than.parameter", "`tokens`"),
        ("{seqs: {less_than: {param: tokens}}}", "seqs.less_than", "{parameter: name}"),
        ("{seqs: {one_of: {parameter: tokens}}}", "seqs.one_of", "list of values"),
        ("{seqs: {one_of: 3}}", "seqs.one_of", "takes a list"),
        ("{seqs: []}", "seqs", "takes a list"),
        ("{seqs: {equals: [1, 2]}}", "seqs.equals", "one_of"),
        ("{seqs: {less_than: '5'}}", "seqs.less_than", "a number"),
        ("{seqs: {less_than: true}}", "seqs.less_than", "a number"),
        ("{seqs: null}", "seqs", "never holds"),
        ("{seqs: [1, null]}", "seqs[1]", "never holds"),
        ("{seqs: 17}", "seqs", "[1, 16]"),
        ("{seqs: '16'}", "seqs", "[1, 16]"),
        ("{seqs: [17, 18]}", "seqs", "[1, 16]"),
        ("{cache: 1}", "cache", "[true, false]"),
    ],
)
def test_a_wrong_condition_is_explained(
    study: StudyWriter, when: str, key: str, words: str
) -> None:
    problem = study.problem(
        engine=ENGINE, parameters=PARAMETERS, exclude=f"exclude:\n  - when: {when}"
    )
    assert (problem.key, problem.line) == (f"exclude[0].when.{key}", 8)
    assert words in problem.fix


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("{when: {a: 1}}", "exclude"),
        ("[a]", "exclude[0]"),
        ("[{when: {}}]", "exclude[0].when"),
        ("[{reason: x}]", "exclude[0].when"),
        ("[{when: {a: 1}, reason: 3}]", "exclude[0].reason"),
        ("[{when: {a: 1}, raeson: x}]", "exclude[0].raeson"),
    ],
)
def test_a_wrong_exclusion_is_explained(study: StudyWriter, text: str, key: str) -> None:
    problem = study.problem(parameters="parameters: {a: [1]}", exclude=f"exclude: {text}")
    assert problem.key == key


def test_a_condition_in_a_study_without_parameters_is_explained(study: StudyWriter) -> None:
    assert "no parameters" in study.problem(exclude="exclude: [{when: {a: 1}}]").fix


def test_a_parameter_with_a_mistake_of_its_own_still_counts_as_known(study: StudyWriter) -> None:
    problem = study.problem(
        parameters="parameters: {a: 16}", exclude="exclude: [{when: {a: {less_than: 3}}}]"
    )
    assert problem.key == "parameters.a"

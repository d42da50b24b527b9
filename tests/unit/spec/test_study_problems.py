"""Messages never show a secret, and stay short."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autotuner.spec.study_problems import did_you_mean, flow_text, unknown_name

if TYPE_CHECKING:
    from .conftest import StudyWriter

SECRET = "hunter2-hunter2"  # noqa: S105


@pytest.mark.parametrize(
    "sections",
    [
        {"engine": f"engine: {{name: vllm, environment: {{HF_TOKEN: [{SECRET}]}}}}"},
        {"engine": f"engine: {{name: vllm, environment: {{my_apikey: {{a: {SECRET}}}}}}}"},
        {"engine": f"engine: {{name: vllm, environment: [HF_TOKEN={SECRET}]}}"},
        {"engine": f"engine: {{name: vllm, environment: HF_TOKEN={SECRET}}}"},
        {"engine": f"engine: {{name: vllm, envronment: {{HF_TOKEN: {SECRET}}}}}"},
        {"engine": f"engine: {{name: vllm, flags: {{api-key: {SECRET}}}}}"},
        {"engine": f"engine: {{name: custom, command: serve --api-key {SECRET}}}"},
        {"engine": f"engine: {{name: custom, command: [serve, --api-key, {SECRET}]}}"},
        {"environment": f"environment: {{DB_PASSWORD: {SECRET}}}"},
        {"parameters": f"parameters: {{env.API_KEY: {SECRET}}}"},
        {"parameters": f"parameters: {{env.API_KEY: [{SECRET}, {SECRET}]}}"},
        {"parameters": f"parameters: {{api-key: {SECRET}}}"},
        {
            "parameters": f"parameters: {{env.API_KEY: [{SECRET}]}}",
            "exclude": "exclude: [{when: {env.API_KEY: other-text}}]",
        },
    ],
)
def test_a_secret_is_never_shown(study: StudyWriter, sections: dict[str, str]) -> None:
    problems = study.problems(**sections)
    assert problems
    assert SECRET not in str(problems)


def test_a_secret_that_yaml_twists_is_never_shown(study: StudyWriter) -> None:
    problem = study.problem(engine="engine: {name: vllm, environment: {API_KEY: 2024-01-01}}")
    assert problem.value == "***"
    assert "2024" not in problem.fix


def test_a_flag_that_only_contains_the_word_token_is_no_secret(study: StudyWriter) -> None:
    problem = study.problem(parameters="parameters: {max-num-batched-tokens: 2048}")
    assert problem.value == "2048"
    assert "[2048]" in problem.fix


def test_a_long_value_is_cut(study: StudyWriter) -> None:
    problem = study.problem(launcher=f"launcher: {'x' * 500}")
    assert len(problem.value) == 60
    assert problem.value.endswith("...")


def test_a_value_of_many_lines_is_shown_in_one(study: StudyWriter) -> None:
    problem = study.problem(launcher="launcher: |\n  a\n  b\n")
    assert problem.value == "a b"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 8, "b": "x"}, "{a: 8, b: x}"),
        ([True, None, "true", "8", "a b"], '[true, null, "true", "8", "a b"]'),
        ((), "[]"),
        ("D(1,2)", '"D(1,2)"'),
    ],
)
def test_flow_text_is_yaml_in_one_line(value: object, text: str) -> None:
    assert flow_text(value) == text


@pytest.mark.parametrize("word", ["max_num_seqs", "Max-Num-Seqs", "max-num-seq"])
def test_case_and_the_kind_of_dash_do_not_hide_a_near_name(word: str) -> None:
    assert did_you_mean(word, ["dtype", "max-num-seqs"]) == "max-num-seqs"


def test_without_a_near_name_all_are_listed() -> None:
    assert unknown_name("zzz", ["path", "tokenizer"]) == "unknown key; allowed: path, tokenizer"

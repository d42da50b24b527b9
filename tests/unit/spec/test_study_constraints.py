"""The limits that a study file sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autotuner.spec.objective import Constraint, Penalty

if TYPE_CHECKING:
    from .conftest import StudyWriter


def test_each_form_of_a_constraint_is_read(study: StudyWriter) -> None:
    spec = study.load(
        constraints="constraints: {ttft_s: {p99: 0.5, mean: 1}, error_rate: 0.01, "
        "output_throughput_tok_s: {at_least: 100}, requests_per_s: {at_least: 2}}"
    )
    assert spec.judging.constraints == (
        Constraint("ttft_s", "p99", 0.5),
        Constraint("ttft_s", "mean", 1.0),
        Constraint("error_rate", None, 0.01),
        Constraint("output_throughput_tok_s", None, 100.0, upper=False),
        Constraint("requests_per_s", None, 2.0, upper=False),
    )


def test_an_upper_limit_may_be_spelled_out(study: StudyWriter) -> None:
    spec = study.load(constraints="constraints: {error_rate: {at_most: 0}}")
    assert spec.judging.constraints == (Constraint("error_rate", None, 0.0),)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("{ttft: {p99: 1}}", "ttft", "`ttft_s`"),
        ("{ttft_ms: {p99: 1}}", "ttft_ms", "200 ms is 0.2"),
        ("{latency: {p99: 1}}", "latency", "`e2e_latency_s`"),
        ("{cost: 1}", "cost", "allowed: ttft_s"),
        ("{ttft_s: 0.3}", "ttft_s", "{p99: 0.3}"),
        ("{ttft_s: {}}", "ttft_s", "{p99: 0.5}"),
        ("{ttft_s: {p98: 1}}", "ttft_s.p98", "did you mean"),
        ("{ttft_s: {at_most: 1}}", "ttft_s.at_most", "statistic"),
        ("{ttft_s: {p99: 0}}", "ttft_s.p99", "above 0"),
        ("{ttft_s: {p99: '1'}}", "ttft_s.p99", "without quotes"),
        ("{ttft_s: {p99: true}}", "ttft_s.p99", "number"),
        ("{error_rate: 1}", None, ""),
        ("{error_rate: 5}", "error_rate", "1 % is 0.01"),
        ("{error_rate: -0.1}", "error_rate", "1 % is 0.01"),
        ("{error_rate: '0.1'}", "error_rate", "without quotes"),
        ("{error_rate: {at_least: 0.1}}", "error_rate.at_least", "at_most"),
        ("{error_rate: {}}", "error_rate", "at_most"),
        ("{output_throughput_tok_s: 100}", "output_throughput_tok_s", "{at_least: 100}"),
        (
            "{output_throughput_tok_s: {at_most: 1}}",
            "output_throughput_tok_s.at_most",
            "{at_least: number}",
        ),
        ("{requests_per_s: {at_least: 0}}", "requests_per_s.at_least", "above 0"),
        ("{requests_per_s: {at_least: true}}", "requests_per_s.at_least", "a number"),
    ],
)
def test_a_wrong_constraint_is_explained(
    study: StudyWriter, text: str, key: str | None, words: str
) -> None:
    if key is None:
        study.load(constraints=f"constraints: {text}")
        return
    problem = study.problem(constraints=f"constraints: {text}")
    assert (problem.key, problem.line) == (f"constraints.{key}", 6)
    assert words in problem.fix


def test_constraints_are_a_mapping(study: StudyWriter) -> None:
    assert "mapping" in study.problem(constraints="constraints: [ttft_s]").fix

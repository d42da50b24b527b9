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
        ("{ttft_ms: {p99: 1}}", "ttft_ms", "200 ms is 0.2"),
        ("{latency_p99: {p99: 1}}", "latency_p99", "`e2e_latency_s`"),
        ("{e2e_ms: {p99: 1}}", "e2e_ms", "`e2e_latency_s`"),
        ("{itl_ms: {p99: 1}}", "itl_ms", "`itl_s`"),
        ("{ttft: 0.3}", "ttft", "{p99: 0.3}"),
        ("{ttft: {mean: 0.3}, ttft_s: {mean: 0.5}}", "ttft_s.mean", "on line 6 under another name"),
        ("{steepness: 0, ttft: {p99: 1}}", "steepness", "above 0"),
        ("{steepness: true, ttft: {p99: 1}}", "steepness", "above 0"),
        ("{ttft_s: {limit: 1}}", "ttft_s.limit", "{p99: 1}"),
        ("{ttft_s: {p99: {}}}", "ttft_s.p99", "has no limit"),
        ("{ttft_s: {p99: {limit: 0}}}", "ttft_s.p99.limit", "above 0"),
        ("{ttft_s: {p99: {limit: '1'}}}", "ttft_s.p99.limit", "without quotes"),
        ("{ttft_s: {p99: {limit: 1, at_most: 1}}}", "ttft_s.p99", "twice"),
        ("{ttft_s: {p99: {at_least: 1}}}", "ttft_s.p99.at_least", "{at_most: number}"),
        ("{ttft_s: {p99: {limit: 1, soft: 'yes'}}}", "ttft_s.p99.soft", "true or false"),
        ("{ttft_s: {p99: {limit: 1, soft: true, weight: -1}}}", "ttft_s.p99.weight", "at least 0"),
        (
            "{ttft_s: {p99: {limit: 1, soft: true, steepness: 0}}}",
            "ttft_s.p99.steepness",
            "above 0",
        ),
        ("{ttft_s: {p99: {limit: 1, wieght: 2}}}", "ttft_s.p99.wieght", "`weight`"),
        ("{ttft_s: {p99: {threshold: 1, soft: true}}}", "ttft_s.p99.soft", "is soft"),
        ("{ttft_s: {p99: {threshold: 1, limit: 1}}}", "ttft_s.p99.limit", "keep one"),
        ("{ttft_s: {p99: {hard_fail: true}}}", "ttft_s.p99.threshold", "`threshold: 0.5`"),
        ("{ttft: {threshold: 1, p99: 2}}", "ttft.p99", "unknown key"),
        ("{error_rate: {at_most: 0, soft: true}}", "error_rate.at_most", "above 0"),
        ("{goodput_share: {at_least: 95}}", "goodput_share.at_least", "95 % is 0.95"),
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
    goodput = "goodput: {ttft_s: 1}" if "goodput" in text else ""
    problem = study.problem(constraints=f"constraints: {text}", goodput=goodput)
    assert (problem.key, problem.line) == (f"constraints.{key}", 6)
    assert words in problem.fix


def test_constraints_are_a_mapping(study: StudyWriter) -> None:
    assert "mapping" in study.problem(constraints="constraints: [ttft_s]").fix


def limits(study: StudyWriter, text: str, name: str = "constraints") -> tuple[Constraint, ...]:
    return study.load(limits=f"{name}: {text}").judging.constraints


@pytest.mark.parametrize("name", ["constraints", "slo"])
def test_constraints_and_slo_are_two_names_of_one_section(study: StudyWriter, name: str) -> None:
    assert limits(study, "{ttft_s: {p99: 0.5}}", name) == (Constraint("ttft_s", "p99", 0.5),)
    problem = study.problem(limits=f"{name}: {{ttft_s: {{p42: 0.5}}}}")
    assert problem.key == f"{name}.ttft_s.p42"


def test_both_names_at_once_are_refused_with_both_lines(study: StudyWriter) -> None:
    problem = study.problem(
        constraints="constraints: {ttft_s: {p99: 1}}", slo="slo: {tpot: {p99: 1}}"
    )
    assert (problem.key, problem.line) == ("slo", 7)
    assert "`constraints` on line 6 and `slo` on line 7" in problem.fix


@pytest.mark.parametrize(
    ("alias", "metric"),
    [
        ("ttft", "ttft_s"),
        ("tpot", "tpot_s"),
        ("itl", "itl_s"),
        ("latency", "e2e_latency_s"),
        ("e2e_latency", "e2e_latency_s"),
        ("itl_s", "itl_s"),
    ],
)
def test_a_name_without_its_unit_means_seconds(study: StudyWriter, alias: str, metric: str) -> None:
    assert limits(study, f"{{{alias}: {{p95: 0.5}}}}") == (Constraint(metric, "p95", 0.5),)


@pytest.mark.parametrize(
    ("text", "penalty"),
    [
        ("0.5", None),
        ("{limit: 0.5}", None),
        ("{at_most: 0.5}", None),
        ("{limit: 0.5, soft: false}", None),
        ("{limit: 0.5, soft: true}", Penalty(1.0, 0.1, None)),
        ("{limit: 0.5, soft: true, weight: 2, steepness: 0.3}", Penalty(2.0, 0.3, None)),
        ("{limit: 0.5, soft: true, weight: 0, fail_ratio: 1}", Penalty(0.0, 0.1, 1.0)),
        ("{threshold: 0.5}", Penalty(1.0, 0.1, None)),
        ("{threshold: 0.5, weight: 3, hard_fail: false, fail_ratio: 0.5}", Penalty(3.0, 0.1, None)),
        ("{threshold: 0.5, hard_fail: true}", Penalty(1.0, 0.1, 0.5)),
        ("{threshold: 0.5, hard_fail: true, fail_ratio: 0}", Penalty(1.0, 0.1, 0.0)),
    ],
)
def test_a_limit_is_hard_unless_it_is_soft_or_a_threshold(
    study: StudyWriter, text: str, penalty: Penalty | None
) -> None:
    expected = (Constraint("ttft_s", "p99", 0.5, penalty=penalty),)
    assert limits(study, f"{{ttft_s: {{p99: {text}}}}}") == expected


def test_a_threshold_without_a_statistic_is_compared_with_the_mean(study: StudyWriter) -> None:
    (limit,) = limits(study, "{ttft: {threshold: 1.0, weight: 2.0}}", "slo")
    assert limit == Constraint("ttft_s", "mean", 1.0, penalty=Penalty(2.0))


def test_the_steepness_of_the_section_is_that_of_limits_without_one(study: StudyWriter) -> None:
    text = "{ttft: {p50: {threshold: 1}, p90: {limit: 1, soft: true, steepness: 2}, p99: 1}"
    found = limits(study, f"{text}, steepness: 0.5}}", "slo")
    assert [limit.penalty and limit.penalty.steepness for limit in found] == [0.5, 2.0, None]


def test_the_first_autotuners_section_is_read_as_it_stands(study: StudyWriter) -> None:
    text = """
  latency:
    p50: {threshold: 2.0, weight: 1.0, hard_fail: false}
    p99: {threshold: 5.0, weight: 3.0, hard_fail: true, fail_ratio: 0.2}
  ttft: {threshold: 1.0, weight: 2.0, hard_fail: false, fail_ratio: 0.5}
  steepness: 0.1
"""
    assert limits(study, text, "slo") == (
        Constraint("e2e_latency_s", "p50", 2.0, penalty=Penalty(1.0)),
        Constraint("e2e_latency_s", "p99", 5.0, penalty=Penalty(3.0, fail_ratio=0.2)),
        Constraint("ttft_s", "mean", 1.0, penalty=Penalty(2.0)),
    )


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("output_throughput_tok_s: {at_least: 9, soft: true}", 9.0),
        ("output_throughput_tok_s: {limit: 9, soft: true}", 9.0),
        ("output_throughput_tok_s: {threshold: 9}", 9.0),
    ],
)
def test_a_metric_without_statistics_takes_soft_limits_too(
    study: StudyWriter, text: str, limit: float
) -> None:
    expected = Constraint("output_throughput_tok_s", None, limit, upper=False, penalty=Penalty())
    assert limits(study, f"{{{text}}}") == (expected,)


@pytest.mark.parametrize("key", ["weight", "steepness", "fail_ratio"])
def test_a_hard_limit_has_no_price(study: StudyWriter, key: str) -> None:
    problem = study.problem(limits=f"slo: {{ttft: {{p99: {{limit: 1, {key}: 0.5}}}}}}")
    assert problem.key == f"slo.ttft.p99.{key}"
    assert "soft: true" in problem.fix


@pytest.mark.parametrize("metric", ["goodput_share", "goodput_requests_per_s"])
def test_a_limit_on_goodput_needs_the_limits_of_a_request(study: StudyWriter, metric: str) -> None:
    text = f"constraints: {{{metric}: {{at_least: 0.9}}}}"
    problem = study.problem(constraints=text)
    assert problem.key == f"constraints.{metric}"
    line = problem.fix.split("`")[-2]
    assert study.load(constraints=text, goodput=line).judging.constraints == (
        Constraint(metric, None, 0.9, upper=False),
    )


def test_a_limit_on_tokens_per_dollar_needs_a_price(study: StudyWriter) -> None:
    text = "constraints: {output_tokens_per_usd: {at_least: 1000}}"
    line = study.problem(constraints=text).fix.split("`")[-2]
    (limit,) = study.load(constraints=text, price=line).judging.constraints
    assert limit == Constraint("output_tokens_per_usd", None, 1000.0, upper=False)
    problem = study.problem(constraints=text, resources="resources: {gpus: 0}")
    assert "GPUs to pay for" in problem.fix

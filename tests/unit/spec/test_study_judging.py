"""How a study file wants its results judged, limits and objective apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autotuner.spec.judging import Condition, Judging, RequestSlo

if TYPE_CHECKING:
    from .conftest import StudyWriter


def judging(study: StudyWriter, text: str) -> Judging:
    return study.load(x=text).judging


@pytest.mark.parametrize(("text", "value"), [("0.01", 0.01), ("0.5", 0.5), ("5e-3", 0.005)])
def test_the_minimal_effect_is_a_fraction(study: StudyWriter, text: str, value: float) -> None:
    assert judging(study, f"minimal_effect: {text}").minimal_effect == value


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2", "0.02"),
        ('"2%"', "0.02"),
        ("2 %", "0.02"),
        ("0.5%", "0.005"),
        ("1.5", "0.015"),
        ('"0.03"', "0.03"),
        ("0", "0.02"),
        ("1", "0.01"),
        ("100", "0.02"),
        ("-0.02", "0.02"),
        ("true", "0.02"),
        ("[0.02]", "0.02"),
    ],
)
def test_a_percentage_is_told_as_the_fraction_that_was_meant(
    study: StudyWriter, text: str, meant: str
) -> None:
    problem = study.problem(x=f"minimal_effect: {text}")
    assert problem.key == "minimal_effect"
    assert problem.fix.endswith(f"write {meant}")


def test_the_finalists_may_be_measured_on_other_numbers_of_servers(study: StudyWriter) -> None:
    assert judging(study, "finalist_servers: 3").finalist_servers == 3


def test_repeats_cost_no_more_than_the_search_nor_than_six_finalists_take(
    study: StudyWriter,
) -> None:
    assert judging(study, "description: x").most_repeats(12) == 12
    assert judging(study, "description: x").most_repeats(1000) == 24
    assert judging(study, "finalist_servers: 4").most_repeats(2) == 6
    assert judging(study, "max_repeats: 3").most_repeats(24) == 3
    assert judging(study, "max_repeats: 0").most_repeats(24) == 0


def test_the_price_is_in_dollars_per_gpu_and_hour(study: StudyWriter) -> None:
    assert judging(study, "usd_per_gpu_hour: 2").usd_per_gpu_hour == 2.0


@pytest.mark.parametrize("text", ["0", "-1", "true", '"2.5"', "[2]"])
def test_a_price_is_a_number_above_0(study: StudyWriter, text: str) -> None:
    problem = study.problem(x=f"usd_per_gpu_hour: {text}")
    assert (problem.key, problem.value) == ("usd_per_gpu_hour", text)
    assert "above 0" in problem.fix


def test_without_gpus_there_is_nothing_to_pay(study: StudyWriter) -> None:
    problem = study.problem(x="usd_per_gpu_hour: 2.5", resources="resources: {gpus: 0}")
    assert (problem.key, problem.line) == ("usd_per_gpu_hour", 6)
    assert "nothing to pay" in problem.fix


@pytest.mark.parametrize(
    ("text", "slos"),
    [
        (
            "{ttft_s: 0.5, tpot_s: 0.05}",
            (RequestSlo("ttft_s", 0.5), RequestSlo("tpot_s", 0.05)),
        ),
        ("{e2e_latency_s: 3}", (RequestSlo("e2e_latency_s", 3.0),)),
        ("{ttft: 1, latency: 9}", (RequestSlo("ttft_s", 1.0), RequestSlo("e2e_latency_s", 9.0))),
    ],
)
def test_goodput_limits_each_request(
    study: StudyWriter, text: str, slos: tuple[RequestSlo, ...]
) -> None:
    assert judging(study, f"goodput: {text}").request_slos == slos


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("{}", "", "each request"),
        ("0.5", "", "each request"),
        ("{ttft_ms: 500}", ".ttft_ms", "200 ms is 0.2"),
        ("{itl_s: 0.1}", ".itl_s", "`tpot_s`"),
        ("{error_rate: 0.1}", ".error_rate", "allowed: ttft_s, tpot_s, e2e_latency_s"),
        ("{ttft_s: {p99: 0.5}}", ".ttft_s", "under `constraints`"),
        ("{ttft_s: 0}", ".ttft_s", "above 0"),
        ("{ttft_s: '1'}", ".ttft_s", "without quotes"),
        ("{ttft_s: true}", ".ttft_s", "above 0"),
        ("{ttft_s: 1, ttft: 2}", ".ttft", "twice"),
    ],
)
def test_a_wrong_goodput_is_explained(study: StudyWriter, text: str, key: str, words: str) -> None:
    problem = study.problem(x=f"goodput: {text}")
    assert (problem.key, problem.line) == (f"goodput{key}", 6)
    assert words in problem.fix


def test_circumstances_that_may_differ_are_listed(study: StudyWriter) -> None:
    assert judging(study, "description: x").compare_across is None
    assert judging(study, "compare_across: []").compare_across == frozenset()
    found = judging(study, "compare_across: [neighbours, gpu_model]").compare_across
    assert found == {Condition.NEIGHBOURS, Condition.GPU_MODEL}


@pytest.mark.parametrize("condition", list(Condition))
def test_every_circumstance_may_be_named(study: StudyWriter, condition: Condition) -> None:
    assert judging(study, f"compare_across: [{condition}]").compare_across == {condition}


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("nice", "", "`compare_across: [nice]`"),
        ("{nice: true}", "", "[neighbours]"),
        ("[neighbors]", "[0]", "`neighbours`"),
        ("[nice, zzz]", "[1]", "allowed: engine_version"),
        ("[1]", "[0]", "allowed"),
    ],
)
def test_a_wrong_circumstance_is_explained(
    study: StudyWriter, text: str, key: str, words: str
) -> None:
    problem = study.problem(x=f"compare_across: {text}")
    assert problem.key == f"compare_across{key}"
    assert words in problem.fix


def test_a_mistake_in_the_objective_hides_none_in_how_results_are_judged(
    study: StudyWriter,
) -> None:
    problems = study.problems(
        objective="objective: maximise", effect="minimal_effect: 2", slo="slo: {ttft: {p42: 1}}"
    )
    assert [p.key for p in problems] == ["objective.name", "minimal_effect", "slo.ttft.p42"]

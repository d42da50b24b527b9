import pytest

from autotuner.results.schema import LEVELS
from autotuner.search.estimators.base import Estimate, Load
from autotuner.search.estimators.expected_rows import chance_to_keep, expected_row
from autotuner.spec.objective import Constraint, Penalty

SAID = Estimate(0.2, 0.02, 800.0, 0.6, 0.3, 0.3)
LOAD = Load(1000, 101, 16)
ROW = expected_row(SAID, LOAD, gpus=4, usd_per_gpu_hour=2.0)


def chance(metric, limit, statistic="mean", upper=True, **how):
    return chance_to_keep([Constraint(metric, statistic, limit, upper, **how)], ROW, SAID)


def test_an_expected_row_has_columns_of_a_measured_one():
    assert ROW.keys() <= set(LEVELS.names)


def test_rates_follow_from_the_output_throughput():
    assert ROW["output_throughput_tok_s_per_gpu"] == 200
    assert ROW["requests_per_s"] == pytest.approx(800 / 101)
    assert ROW["total_throughput_tok_s"] == pytest.approx(800 + 800 / 101 * 1000)
    assert ROW["output_tokens_per_usd"] == pytest.approx(200 * 3600 / 2)
    assert ROW["e2e_latency_s_p99"] == pytest.approx(0.2 + 100 * 0.02)


def test_the_load_itself_is_a_number_that_may_be_asked_for():
    assert ROW["concurrency"] == 16
    assert chance("concurrency", 8, None, upper=False) == 1.0


def test_a_server_without_gpus_has_no_throughput_per_gpu():
    assert "output_throughput_tok_s_per_gpu" not in expected_row(SAID, LOAD, gpus=0)


def test_a_limit_at_the_estimate_is_kept_by_half():
    assert chance("tpot_s", 0.02) == pytest.approx(0.5)
    assert chance("output_throughput_tok_s", 800, None, upper=False) == pytest.approx(0.5)


def test_the_chance_is_larger_the_farther_the_limit_and_the_surer_the_estimate():
    assert 0.5 < chance("tpot_s", 0.022) < chance("tpot_s", 0.03) < 1
    assert chance("ttft_s", 0.3) < chance("tpot_s", 0.03)
    assert chance("output_throughput_tok_s", 1000, None, upper=False) < 0.3


def test_soft_limits_are_none():
    assert chance("tpot_s", 0.001, penalty=Penalty()) == 1.0


def test_of_what_is_not_estimated_no_chance_is_known():
    assert chance("goodput_share", 0.9, None, upper=False) is None


def test_errors_are_not_expected():
    assert chance("error_rate", 0.0, None) == 1.0

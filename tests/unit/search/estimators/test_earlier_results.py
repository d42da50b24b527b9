import math

import pytest

from autotuner.search.estimators.base import Estimate, Load, Subject, Unknown
from autotuner.search.estimators.earlier_results import EarlierResults, Measured


def subject(model="a", gpu="H100", tensor=1, **flags):
    return Subject("vllm", model, gpu, tensor, tensor, flags=flags)


def measured(speed=1.0, concurrencies=(1, 4, 16, 64), load=(1000, 100), **of):
    """Levels of a server whose tokens slow down with the square root of the concurrency."""
    server = subject(**of)
    for concurrency in concurrencies:
        tpot_s = 0.02 / speed * math.sqrt(concurrency / server.gpus)
        ttft_s = 10 * tpot_s
        throughput = concurrency * load[1] / (ttft_s + tpot_s * (load[1] - 1))
        yield Measured(server, Load(*load, concurrency), ttft_s, tpot_s, throughput)


def estimate(rows, concurrency=16, **of):
    said = EarlierResults(tuple(rows)).estimate(subject(**of), Load(1000, 100, concurrency))
    assert isinstance(said, Estimate)
    return said


def test_between_two_measured_concurrencies_it_interpolates_on_their_logarithm():
    said = estimate(measured(), concurrency=8)
    assert said.tpot_s == pytest.approx(0.02 * math.sqrt(8), rel=0.1)
    assert said.tpot_sigma < 0.3


def test_where_nothing_is_near_servers_are_thought_to_batch_as_usual():
    rows = tuple(measured(concurrencies=(1, 2, 4)))
    tpot_s = [estimate(rows, concurrency=c).tpot_s for c in (4, 64, 1024)]
    assert tpot_s == sorted(tpot_s)
    throughput = [estimate(rows, concurrency=c).output_throughput_tok_s for c in (4, 64, 1024)]
    assert throughput[2] / throughput[1] < throughput[1] / throughput[0] <= 16


def test_of_another_model_it_knows_the_order_and_says_that_the_level_is_unknown():
    rows = [row for tensor in (1, 2, 4) for row in measured(tensor=tensor)]
    same = estimate(rows, tensor=2)
    one, four = (estimate(rows, model="b", tensor=tensor) for tensor in (1, 4))
    assert four.tpot_s < one.tpot_s
    assert one.tpot_sigma > 2 * same.tpot_sigma


def test_a_flag_of_the_engine_has_an_effect():
    rows = [*measured(), *measured(speed=2.0, **{"enforce-eager": True})]
    assert estimate(rows, **{"enforce-eager": True}).tpot_s < 0.75 * estimate(rows).tpot_s


def test_a_flag_that_was_never_measured_makes_it_less_sure():
    rows = tuple(measured())
    assert estimate(rows, **{"block-size": 32}).tpot_sigma > estimate(rows).tpot_sigma


def test_the_throughput_is_that_of_the_whole_server():
    rows = [row for tensor in (1, 4) for row in measured(tensor=tensor)]
    expected = [row.output_throughput_tok_s for row in rows if row.load.concurrency == 16]
    for tensor, truth in zip((1, 4), expected, strict=True):
        assert estimate(rows, tensor=tensor).output_throughput_tok_s == pytest.approx(
            truth, rel=0.15
        )


def test_a_server_without_gpus_can_be_estimated_from_its_like():
    rows = [
        Measured(Subject("vllm", "a", None, 0), Load(100, 100, c), 0.1, 0.01 * c, 100.0)
        for c in (1, 2, 4)
    ]
    said = EarlierResults(rows).estimate(Subject("vllm", "a", None, 0), Load(100, 100, 2))
    assert isinstance(said, Estimate)
    assert said.output_throughput_tok_s == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize("rows", [[], list(measured(concurrencies=(1, 4)))])
def test_too_little_of_other_models_says_nothing(rows):
    said = EarlierResults(rows).estimate(subject(model="b"), Load(1000, 100, 16))
    assert isinstance(said, Unknown)
    assert f"{len(rows)} measured levels" in said.reason


def test_more_rows_than_it_can_use_are_thinned_out_alike_each_time():
    rows = [row for size in range(1, 300) for row in measured(load=(size, 100))]
    assert estimate(rows).tpot_s == estimate(rows).tpot_s

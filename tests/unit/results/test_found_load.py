"""The load that keeps the limits, read off levels that were measured with noise."""

from __future__ import annotations

import pytest

from autotuner.results.found_load import FoundLoad, found_load, margin_of, monotone
from autotuner.results.limits import LevelRow
from autotuner.spec.objective import Constraint, Penalty

LIMIT = Constraint("tpot_s", "p95", 0.05)
OTHER = Constraint("ttft_s", "p95", 1.0)


def row(tpot_s: float, **columns: float) -> LevelRow:
    return {"tpot_s_p95": tpot_s, **columns}


def found(rows: dict[int, float], *failed: int) -> FoundLoad:
    return found_load({c: row(value) for c, value in rows.items()}, (LIMIT,), failed)


def test_it_lies_between_the_largest_that_keeps_and_the_smallest_that_misses() -> None:
    load = found({8: 0.02, 16: 0.03, 32: 0.08, 24: 0.04, 28: 0.06})
    assert (load.largest, load.low, load.high, load.limit) == (24, 24, 28, "tpot_s_p95")
    assert str(load) == "24..28 (tpot_s_p95 limits)"


def test_what_is_within_noise_of_the_limit_widens_the_bracket() -> None:
    load = found({8: 0.02, 16: 0.0495, 32: 0.08})
    assert (load.largest, load.low, load.high) == (16, 8, 32)
    load = found({8: 0.02, 16: 0.0505, 32: 0.08})
    assert (load.largest, load.low, load.high) == (8, 8, 32)


def test_many_measurements_of_a_load_leave_less_doubt() -> None:
    doubted = found_load({8: row(0.02), 16: row(0.0485), 32: row(0.08)}, (LIMIT,))
    measured = {8: row(0.02), 16: row(0.0485, measurements=9), 32: row(0.08)}
    assert (doubted.low, found_load(measured, (LIMIT,)).low) == (8, 16)


def test_requests_that_scatter_leave_more_doubt() -> None:
    columns = {"tpot_s_p50": 0.02, "tpot_s_p90": 0.03, "tpot_s_p99": 0.06, "tpot_s_count": 20}
    scattered = {8: row(0.02), 16: row(0.044, **columns), 32: row(0.08)}
    assert found_load(scattered, (LIMIT,)).low == 8
    many = {8: row(0.02), 16: row(0.044, **{**columns, "tpot_s_count": 20_000}), 32: row(0.08)}
    assert found_load(many, (LIMIT,)).low == 16


def test_a_larger_load_is_not_better_than_a_smaller_one_by_luck() -> None:
    # The larger one keeps the limit by little, the smaller one misses it by more.
    load = found({8: 0.02, 16: 0.055, 24: 0.049, 32: 0.08})
    assert load.largest == 8


def test_a_failed_level_misses_and_says_so() -> None:
    load = found({8: 0.02, 16: 0.03}, 32)
    assert (load.largest, load.high, str(load)) == (16, 32, "16..32 (failed requests limits)")


def test_one_failed_level_among_many_good_ones_is_luck_too() -> None:
    assert found({8: 0.02, 16: 0.02, 32: 0.02}, 4).largest == 32


def test_the_nearest_limit_is_the_one_that_counts() -> None:
    rows = {
        8: {"tpot_s_p95": 0.02, "ttft_s_p95": 0.5},
        16: {"tpot_s_p95": 0.03, "ttft_s_p95": 1.5},
    }
    assert found_load(rows, (LIMIT, OTHER)).limit == "ttft_s_p95"


def test_where_nothing_misses_there_is_no_end() -> None:
    load = found({8: 0.02, 16: 0.03})
    assert (load.largest, load.high, str(load)) == (16, None, "at least 16")


def test_where_everything_misses_there_is_no_load() -> None:
    load = found({1: 0.08, 2: 0.09})
    assert (load.largest, load.low, str(load)) == (None, None, "below 1 (tpot_s_p95 limits)")


def test_of_nothing_nothing_is_known() -> None:
    assert str(found({})) == "nothing measured"


def test_a_number_that_is_missing_keeps_no_limit() -> None:
    load = found_load({8: row(0.02), 16: {}}, (LIMIT,))
    assert (load.largest, load.limit) == (8, "tpot_s_p95")


def test_a_limit_of_nothing_says_nothing_of_the_distance() -> None:
    none_fails = Constraint("error_rate", None, 0.0)
    kept = margin_of(8, row(0.04, error_rate=0.0), (none_fails, LIMIT))
    assert kept.value == pytest.approx(0.2)
    assert margin_of(8, row(0.04, error_rate=0.0), (none_fails,)).is_sure


def test_a_soft_limit_ends_where_it_becomes_hard() -> None:
    soft = Constraint("tpot_s", "p95", 0.05, penalty=Penalty(fail_ratio=0.2))
    assert margin_of(8, row(0.057), (soft,)).value == pytest.approx(0.05)
    assert margin_of(8, row(0.07), (soft,)).value < 0
    never = Constraint("tpot_s", "p95", 0.05, penalty=Penalty())
    assert margin_of(8, row(0.5), (never,)).value == 1.0


def test_a_limit_from_below_counts_in_the_other_direction() -> None:
    rate = Constraint("output_throughput_tok_s", None, 100.0, upper=False)
    assert margin_of(8, {"output_throughput_tok_s": 80.0}, (rate,)).value == pytest.approx(-0.2)


def test_margins_never_rise_with_the_load() -> None:
    margins = [margin_of(c, row(value), (LIMIT,)) for c, value in ((4, 0.04), (2, 0.05), (1, 0.01))]
    fitted = monotone([*margins, margin_of(4, row(0.03), (LIMIT,))])
    assert [m.concurrency for m in fitted] == [1, 2, 4]
    assert fitted[0].value == pytest.approx(0.8)
    # Twice 4, at 0.2 and 0.4, is better than 2: they are all taken together.
    assert fitted[1].value == fitted[2].value == pytest.approx((0.0 + 2 * 0.3) / 3)
    assert fitted[2].times == 2


def test_between_two_loads_it_is_estimated_where_the_limit_is_reached() -> None:
    near, far = found({40: 0.049, 60: 0.08}), found({40: 0.03, 60: 0.051})
    assert (near.estimate, far.estimate) == (40, 58)
    assert found({8: 0.02, 9: 0.0501}).estimate == 8
    assert found({8: 0.02, 16: 0.03}).estimate == 16
    assert found({8: 0.08}).estimate is None


def test_beside_a_level_that_failed_nothing_is_estimated() -> None:
    assert found({40: 0.03}, 60).estimate == 40

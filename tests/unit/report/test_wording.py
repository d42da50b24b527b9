"""Numbers and times as people read them."""

from __future__ import annotations

import pytest

from autotuner.report.wording import (
    MISSING,
    counted,
    duration,
    number,
    percent,
    quantity,
    signed_percent,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.4, "1,234"), (99.96, "100"), (9.4, "9.40"), (0.00123, "0.00123"), (0.0, "0")],
)
def test_numbers_have_three_significant_digits(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_is_missing_is_a_dash(value: float | None) -> None:
    assert number(value) == quantity(value, "s") == duration(value) == MISSING


def test_short_times_are_milliseconds() -> None:
    assert quantity(0.0123, "s") == "12.3 ms"
    assert quantity(1.5, "s") == "1.50 s"
    assert quantity(0.5, "fraction") == "50.0 %"


def test_signs_are_shown_unless_the_number_rounds_to_nothing() -> None:
    assert signed_percent(0.041) == "+4.1 %"
    assert signed_percent(-0.041) == "\N{MINUS SIGN}4.1 %"
    assert signed_percent(-0.0001) == "0.0 %"
    assert signed_percent(12.5) == "+1,250 %"
    assert signed_percent(None) == percent(None) == MISSING


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.26, "1.3 s"), (65, "1 min 5 s"), (7800, "2 h 10 min"), (90000, "1 d 1 h")],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_nouns_follow_their_count() -> None:
    assert [counted(n, "server") for n in (0, 1, 1200)] == [
        "0 servers",
        "1 server",
        "1,200 servers",
    ]

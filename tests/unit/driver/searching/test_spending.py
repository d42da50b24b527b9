from datetime import UTC, datetime, timedelta

import pytest

from autotuner.driver.searching.spending import Spent, busy_s, exhausted
from autotuner.spec.searching import Budget

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def span(start_s, end_s):
    return NOON + timedelta(seconds=start_s), NOON + timedelta(seconds=end_s)


@pytest.mark.parametrize(
    ("budget", "below", "reached", "words"),
    [
        (Budget(experiments=3), Spent(2), Spent(3), "max_experiments is reached: 3"),
        (
            Budget(gpu_hours=2.5),
            Spent(gpu_s=8999),
            Spent(gpu_s=9000),
            "max_gpu_hours is reached: 2.5 of 2.5",
        ),
        (
            Budget(wall_hours=8),
            Spent(wall_s=28799),
            Spent(wall_s=28800),
            "max_wall_time is reached: 8 of 8 hours",
        ),
    ],
)
def test_a_limit_counts_from_when_it_is_reached(budget, below, reached, words):
    assert exhausted(budget, below) is None
    assert exhausted(budget, reached) == words


def test_without_a_limit_nothing_is_too_much():
    assert exhausted(Budget(), Spent(10**6, 1e12, 1e12)) is None


def test_time_in_which_several_ran_at_once_counts_once():
    assert busy_s([span(0, 10), span(5, 20), span(6, 7)]) == 20


def test_time_in_which_nothing_ran_does_not_count():
    assert busy_s([span(100, 110), span(0, 10)]) == 20


def test_nothing_ran_for_no_time():
    assert busy_s([]) == 0

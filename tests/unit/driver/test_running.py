"""What the driver may conclude of an attempt from the time that has passed."""

from dataclasses import replace

import pytest

from autotuner.driver.running import Running
from autotuner.execution.base import Node, Slot
from autotuner.spec.experiment import Phase

SUBMITTED = 1000.0
BEGUN = 5000.0
SLOT = Slot(Node("n", "host", 0, 8), 0, 1)


@pytest.fixture
def running(make_order):
    return Running(make_order(), SLOT, 0, submitted_at=SUBMITTED)


@pytest.fixture
def longest_s(running):
    return running.order.longest_s


def test_it_is_known_by_its_attempt(running):
    assert running.attempt is running.order.attempt


def test_it_is_overdue_when_the_node_has_missed_all_its_deadlines(running, longest_s):
    running.first_event_at = BEGUN
    assert not running.is_overdue(BEGUN + longest_s)
    assert running.is_overdue(BEGUN + longest_s + 600.0)


def test_a_node_that_is_a_little_late_is_not_overdue(running, longest_s):
    running.first_event_at = BEGUN
    assert not running.is_overdue(BEGUN + longest_s + 60.0)


def test_without_a_sign_of_life_it_is_never_overdue(running):
    assert not running.is_overdue(SUBMITTED + 1e9)


def test_the_wait_for_the_first_sign_is_not_counted(running, longest_s):
    running.first_event_at = SUBMITTED + 1e6
    assert not running.is_overdue(SUBMITTED + 1e6 + longest_s)


def test_it_is_killed_only_when_it_was_asked_to_stop(running):
    assert not running.is_to_be_killed(1e9)


def test_what_was_asked_to_stop_has_a_moment_to_end_in_order(running):
    running.stopping_since = BEGUN
    assert not running.is_to_be_killed(BEGUN + 1.0)
    # Ctrl-C must end everything within ten seconds.
    assert running.is_to_be_killed(BEGUN + 9.0)


def test_silence_is_reported_after_a_minute(running):
    assert not running.is_waiting(SUBMITTED + 59.0)
    assert running.is_waiting(SUBMITTED + 61.0)


def test_silence_is_reported_once(running):
    running.reported_waiting = True
    assert not running.is_waiting(SUBMITTED + 1e6)


def test_what_has_shown_a_sign_of_life_does_not_wait(running):
    running.first_event_at = SUBMITTED + 1.0
    assert not running.is_waiting(SUBMITTED + 1e6)


def test_neighbours_are_averaged_over_the_time_under_load(running):
    running.see_neighbours(7, BEGUN)  # before the load: they only wait for it together
    assert running.neighbours_mean(BEGUN + 1.0) is None
    running.enter(Phase.LOAD, BEGUN + 10.0)
    running.see_neighbours(1, BEGUN + 20.0)
    running.see_neighbours(0, BEGUN + 30.0)
    assert running.neighbours_mean(BEGUN + 50.0) == pytest.approx((7 * 10 + 1 * 10) / 40)


def test_an_attempt_alone_on_its_node_has_no_neighbours(running):
    running.see_neighbours(0, BEGUN)
    running.enter(Phase.LOAD, BEGUN)
    assert running.neighbours_mean(BEGUN + 5.0) == 0.0


@pytest.mark.parametrize(("earlier_s", "said"), [(3600.0, True), (-4.0, True), (-6.0, False)])
def test_attempts_of_one_go_began_no_later_than_each_other(running, earlier_s, said):
    other = replace(running, submitted_at=SUBMITTED + earlier_s)
    assert running.began_no_later_than(other) is said


def test_of_whole_nodes_all_gpus_are_reserved_though_not_all_are_used(make_order):
    node = Node("n", "host", 8, 64)
    slot = Slot(node, 8, 1, exclusive=True, others=(node,))
    assert Running(make_order(), slot, 0).gpus_reserved == 16

from __future__ import annotations

from autotuner.search.findings import CRASHED, Point
from autotuner.search.stopping import NoImprovement


def told(*values: float, most: int = 3, effect: float = 0.1) -> NoImprovement:
    stop = NoImprovement(most, effect)
    for number, value in enumerate(values):
        stop.tell(str(number), (Point((value,)),))
    return stop


def test_it_stops_after_so_many_without_an_improvement_and_not_before() -> None:
    assert told(100, 90, 90).reason is None
    reason = told(100, 90, 90, 90).reason
    assert reason == "none of the last 3 experiments has bettered the best by 10 %"


def test_an_improvement_below_the_minimal_effect_is_none() -> None:
    assert told(100, 109, 109, 109).reason is not None
    assert told(100, 109, 111, 109).reason is None


def test_small_steps_add_up_to_an_improvement() -> None:
    assert told(100, 106, 108, 112, 90).reason is None


def test_where_less_is_better_values_are_negative_and_count_alike() -> None:
    assert told(-100, -95, -91, -91).reason is not None
    assert told(-100, -95, -89, -91).reason is None


def test_never_means_never() -> None:
    stop = NoImprovement(None, 0.1)
    for number in range(100):
        stop.tell(str(number), (Point((1.0,)),))
    assert stop.reason is None


def test_what_failed_counts_and_what_was_lost_does_not() -> None:
    stop = told(100)
    for number in range(10, 15):
        stop.tell(str(number), ())
    assert stop.reason is None
    for number in range(20, 23):
        stop.tell(str(number), (Point(violation=CRASHED),))
    assert stop.reason is not None


def test_coming_nearer_to_the_limits_is_an_improvement_until_one_keeps_them() -> None:
    stop = NoImprovement(2, 0.1)
    for number, violation in enumerate((CRASHED, 0.9, 0.5, 0.49)):
        stop.tell(str(number), (Point(violation=violation),))
    assert stop.reason is None
    stop.tell("same", (Point(violation=0.49),))
    assert stop.reason == "none of the last 2 experiments keeps the limits, or comes nearer to " \
        "them than those before"  # fmt: skip
    stop.tell("kept", (Point((1.0,)),))
    assert stop.reason is None
    stop.tell("nearer than all that missed", (Point(violation=0.1),))
    stop.tell("once more", (Point(violation=0.01),))
    assert stop.reason is not None


def test_one_that_was_running_may_still_better_the_best() -> None:
    stop = told(100, 90, 90, 90)
    stop.tell("late", (Point((150.0,)),))
    assert stop.reason is None


def test_what_is_told_again_counts_once_and_with_its_new_value() -> None:
    stop = told(100, 90, 90)
    for _ in range(5):
        stop.tell("2", (Point((90.0,)),))
    assert stop.reason is None
    stop.tell("0", (Point((80.0,)),))
    assert told(80, 90, 90, 90).reason is stop.reason is None
    stop.tell("3", (Point((90.0,)),))
    stop.tell("4", (Point((90.0,)),))
    assert stop.reason is not None


def test_of_two_objectives_a_point_that_none_beats_in_both_is_an_improvement() -> None:
    stop = NoImprovement(1, 0.1)
    stop.tell("quick", (Point((1.0, -1.0)),))
    stop.tell("much", (Point((9.0, -9.0)),))
    assert stop.reason is None
    stop.tell("between", (Point((5.0, -4.0)),))
    assert stop.reason is None
    stop.tell("beaten", (Point((4.0, -5.0)),))
    assert stop.reason is not None

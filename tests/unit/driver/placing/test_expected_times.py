import pytest

from autotuner.driver.placing.expected_times import ExpectedTimes
from autotuner.spec.experiment import Experiment
from autotuner.spec.server import Footprint, Model, ServerConfig

SERVER = ServerConfig("sim", Model("/m", "/m"), {})


def experiment(name, gpus=1, **parameters):
    return Experiment(name, 0, parameters, SERVER, (), Footprint(gpus))


def grid():
    return [
        experiment(f"{seqs}-{eager}", seqs=seqs, eager=eager)
        for seqs in (1, 8, 64)
        for eager in (True, False)
    ]


def times_of(experiments, guessed_s=100.0):
    return ExpectedTimes(experiments, {e.id: guessed_s for e in experiments})


def true_s(e):
    return (
        100.0
        * (3.0 if e.parameters["seqs"] == 1 else 1.0)
        * (0.5 if e.parameters["eager"] else 1.0)
    )


def test_before_anything_has_ended_the_plans_guess_holds():
    experiments = grid()
    times = times_of(experiments)
    assert [times.of(e) for e in experiments] == [pytest.approx(100.0)] * len(experiments)


def test_what_was_seen_of_an_experiment_is_expected_of_it_again():
    experiments = grid()
    times = times_of(experiments)
    times.see(experiments[0], 250.0)
    assert times.of(experiments[0]) == pytest.approx(250.0)


def test_one_that_shares_a_slow_value_is_expected_to_be_slow():
    experiments = grid()
    times = times_of(experiments)
    unseen = next(e for e in experiments if e.id == "1-False")
    for e in experiments:
        if e is not unseen:
            times.see(e, true_s(e))
    others = [times.of(e) for e in experiments if e.parameters["seqs"] != 1]
    assert times.of(unseen) > max(others)


def test_wider_ones_are_told_apart_without_any_parameter():
    experiments = [experiment(f"n{i}") for i in range(3)]
    experiments += [experiment(f"w{i}", gpus=8) for i in range(3)]
    times = times_of(experiments)
    for e in experiments[:2]:
        times.see(e, 60.0)
    for e in experiments[3:5]:
        times.see(e, 600.0)
    assert times.of(experiments[5]) > 2 * times.of(experiments[2])


def test_what_is_expected_to_take_longest_starts_first():
    experiments = grid()
    times = times_of(experiments)
    for e in experiments:
        times.see(e, true_s(e))
    assert [e.id for e in times.longest_first(experiments)][:2] == ["1-False", "1-True"]


def test_of_those_that_take_about_as_long_the_order_stays():
    experiments = grid()
    times = times_of(experiments)
    for index, e in enumerate(experiments):
        times.see(e, 100.0 + index)
    assert times.longest_first(experiments) == experiments


def test_estimates_change_when_a_quarter_more_has_been_seen_and_not_each_time():
    experiments = [experiment(f"e{i}", seqs=i % 3) for i in range(100)]
    times = times_of(experiments)
    for e in experiments:
        times.see(e, 50.0)
    assert 5 < times.renewals < 25


def test_a_time_of_nothing_at_all_is_survived():
    (only,) = experiments = [experiment("e")]
    times = times_of(experiments, guessed_s=0.0)
    times.see(only, 0.0)
    assert times.of(only) > 0

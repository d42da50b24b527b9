import pytest

from autotuner.search.estimators.base import Estimate, Estimator, Misfit, Unknown
from autotuner.search.estimators.forecast import forecast, reasons
from autotuner.spec.experiment import Experiment
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Constraint, Direction, Objective, Over
from autotuner.spec.server import Footprint, Model, ServerConfig
from autotuner.spec.workload import StopRule, Workload


class ByFlag(Estimator):
    """As many tokens per second and user as the flag ``speed`` says, whatever the load."""

    name = "by-flag"

    def estimate(self, subject, load):
        if (speed := subject.flags.get("speed")) is None:
            return Unknown(f"no speed on {subject.gpu}")
        tpot_s = 1 / speed * (load.concurrency / 8) ** 0.5
        throughput = subject.flags.get("throughput", load.concurrency / tpot_s)
        return Estimate(0.01, tpot_s, throughput, 0.5, 0.3, 0.3)

    def misfit(self, subject):
        return Misfit("2 > 1") if subject.flags.get("large") else None


def experiment(index=0, repeats=1, **flags):
    workload = Workload("chat", "D(100,50)", (8, 32), StopRule(10), repeats=repeats)
    return Experiment(
        str(index),
        index,
        flags,
        ServerConfig("vllm", Model("m", "m"), flags),
        (workload,),
        Footprint(1, gpu_type="H100"),
    )


def judging(metric="output_throughput_tok_s", over=Over.BEST, constraints=(), **objective):
    direction = Direction.MAXIMIZE if "throughput" in metric else Direction.MINIMIZE
    statistic = None if "throughput" in metric else "mean"
    return Judging(
        Objective("x", metric, direction, statistic, over=over, **objective), constraints
    )


def order(experiments, judged, **options):
    return [one.experiment.id for one in forecast(experiments, judged, ByFlag(), **options)]


def test_experiments_come_in_the_order_of_the_studys_objective():
    speeds = [experiment(i, speed=speed) for i, speed in enumerate((20, 50, 10))]
    assert order(speeds, judging()) == ["1", "0", "2"]
    assert order(speeds, judging("tpot_s", Over.WORST)) == ["1", "0", "2"]
    ranks = [one.rank for one in forecast(speeds, judging(), ByFlag())]
    assert ranks == [1, 2, 3]


def test_a_predicted_miss_of_a_limit_costs_places_and_never_the_rank():
    slow = [experiment(i, speed=speed) for i, speed in enumerate((20, 50, 10))]
    limits = (Constraint("tpot_s", "mean", 1 / 40),)
    expected = forecast(slow, judging(constraints=limits), ByFlag())
    assert [one.rank for one in expected] == [1, 2, 3]
    assert expected[-1].reading.reason


@pytest.mark.parametrize("over", [Over.BEST, Over.WORST])
def test_a_value_that_hardly_keeps_the_limit_is_worth_less_than_a_sure_one(over):
    limits = (Constraint("tpot_s", "mean", 1 / 20),)
    large, sure = (
        experiment(0, speed=15, throughput=1100),
        experiment(1, speed=200, throughput=1000),
    )
    assert order([large, sure], judging(over=over)) == ["0", "1"]
    assert order([large, sure], judging(over=over, constraints=limits)) == ["1", "0"]


def test_the_likelier_level_wins_where_the_best_one_hardly_keeps_the_limit():
    limits = (Constraint("tpot_s", "mean", 1 / 30),)
    (one,) = forecast([experiment(speed=35)], judging(constraints=limits), ByFlag())
    sure, unsure = one.levels
    assert sure.chance > 0.5 > unsure.chance


def test_what_cannot_fit_comes_last_with_its_arithmetic_and_without_a_rank():
    plan = [experiment(0, speed=90, large=True), experiment(1, speed=10), experiment(2)]
    expected = forecast(plan, judging(), ByFlag())
    assert [one.experiment.id for one in expected] == ["1", "2", "0"]
    assert [one.rank for one in expected] == [1, None, None]
    assert expected[-1].misfit.arithmetic == "2 > 1"


def test_what_is_unknown_is_counted_by_its_reason():
    plan = [experiment(0, speed=90), experiment(1), experiment(2)]
    assert reasons(forecast(plan, judging(), ByFlag())) == {"no speed on H100": 2}
    given = forecast(plan, judging(), ByFlag(), gpu="NVIDIA H200")
    assert reasons(given) == {"no speed on NVIDIA H200": 2}


def test_repeats_of_a_level_are_expected_once():
    (one,) = forecast([experiment(speed=10, repeats=3)], judging(), ByFlag())
    assert [level.level.concurrency for level in one.levels] == [8, 32]


@pytest.mark.parametrize("over", [None, Over.WORST, Over.SEED_MEAN])
def test_objectives_over_all_levels_need_all_of_them(over):
    named = {"concurrency": 8} if over is None else {}
    plan = [experiment(0, speed=20), experiment(1, speed=50)]
    assert order(plan, judging(over=over, **named)) == ["1", "0"]

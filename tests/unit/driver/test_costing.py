"""What a study is expected to take: with servers of one minute, and levels of known time."""

from dataclasses import replace

import pytest

from autotuner.driver.costing import expected_cost
from autotuner.driver.searching.searched import problem_of, strategy_of
from autotuner.planning import plan
from autotuner.search.base import Strategy
from autotuner.spec.searching import Budget, Searching, StopWhen
from autotuner.spec.study import Resources

SEQS = "max-num-seqs"
TP = "tensor-parallel-size"
# 60 s to start, 2 s of the load generator's own, and two levels.
LEVEL_S = 1769.0
HOUR = 1.0


class Expecting(Strategy):
    def __init__(self, problem, expected=None):
        super().__init__(problem)
        self._expected = expected

    def ask(self, most):
        raise AssertionError

    def tell(self, told):
        raise AssertionError

    @property
    def finished(self):
        return None

    def expected_experiments(self):
        return self._expected


@pytest.fixture
def make_plan(make_spec, make_workload):
    def make(axes=None, **changes):
        workload = make_workload(seconds=LEVEL_S, requests=None)
        changes = {"resources": Resources(gpus=1), "workloads": (workload,), **changes}
        return plan(make_spec(axes or {SEQS: list(range(1, 13))}, **changes))

    return make


def searched(make_plan, budget=None, expected=None, gpus=None, **changes):
    searching = Searching("random", budget=budget or Budget())
    planned = make_plan(searching=searching, **changes)
    return expected_cost(planned, Expecting(problem_of(planned), expected), gpus)


def test_of_a_grid_every_combination_is_counted(make_plan):
    cost = expected_cost(make_plan(), None)
    (grid,) = cost.parts
    assert (grid.servers, grid.is_bound) == (12, False)
    assert grid.gpu_hours == pytest.approx(12 * HOUR)
    assert grid.hours is None
    assert cost.usd(grid) is None


def test_repeats_of_finalists_and_of_the_baseline_come_on_top(make_plan):
    cost = expected_cost(make_plan(baseline={SEQS: 99}, finalist_servers=3), None)
    search, again, baseline = cost.parts
    assert search.servers == 13
    assert (again.servers, again.is_bound) == (12, True)
    assert (baseline.servers, baseline.is_bound) == (1, False)
    assert cost.total.servers == 26
    assert cost.total.gpu_hours == cost.total.server_hours == pytest.approx(26 * HOUR)


@pytest.mark.parametrize(
    ("budget", "servers"),
    [
        (Budget(experiments=5), 5),
        (Budget(experiments=50), 12),
        (Budget(gpu_hours=3.5), 4),
        (Budget(wall_hours=2), 4),
        (Budget(), 12),
    ],
)
def test_a_search_takes_what_its_limits_allow(make_plan, budget, servers):
    (search,) = searched(make_plan, budget, expected=12, gpus=2).parts
    assert search.servers == servers


def test_a_search_takes_what_its_strategy_expects(make_plan):
    (search,) = searched(make_plan, expected=7).parts
    assert (search.servers, search.is_bound) == (7, False)


def test_what_nobody_can_expect_is_an_upper_bound(make_plan):
    (search,) = searched(make_plan, Budget(9), expected=None).parts
    assert (search.servers, search.is_bound) == (9, True)


def test_repeats_are_counted_by_what_is_measured(make_plan):
    cost = searched(make_plan, Budget(4), expected=12, finalist_servers=3)
    assert [part.servers for part in cost.parts] == [4, 4]


@pytest.mark.parametrize(("gpus", "hours"), [(1, 12), (2, 6), (5, 3), (100, 1)])
def test_the_time_is_that_of_servers_side_by_side(make_plan, gpus, hours):
    assert expected_cost(make_plan(), None, gpus).total.hours == pytest.approx(hours * HOUR)


def test_the_study_s_own_limit_of_gpus_counts(make_plan):
    assert expected_cost(make_plan(max_gpus=4), None).gpus == 4
    assert expected_cost(make_plan(max_gpus=4), None, 16).gpus == 4
    assert expected_cost(make_plan(max_gpus=4), None, 2).gpus == 2


def test_wide_servers_take_their_room(make_plan):
    planned = make_plan(resources=Resources(), axes={TP: [1, 2, 4]})
    cost = expected_cost(planned, None, 4)
    assert cost.total.gpu_hours == pytest.approx(7 * HOUR)
    assert cost.total.hours == pytest.approx(2 * HOUR)


def test_of_a_server_wider_than_all_there_is_no_time_is_told(make_plan):
    planned = make_plan(resources=Resources(), axes={TP: [1, 8]})
    assert expected_cost(planned, None, 4).total.hours is None


def test_a_wall_time_bounds_the_search_and_not_what_follows(make_plan):
    cost = searched(make_plan, Budget(wall_hours=0.5), expected=12, gpus=1, finalist_servers=2)
    assert cost.parts[0].hours == 0.5
    assert cost.parts[1].hours > 0.5


def test_a_price_is_that_of_the_gpu_hours(make_plan):
    planned = make_plan()
    judging = replace(planned.spec.judging, usd_per_gpu_hour=2.5)
    cost = expected_cost(replace(planned, spec=replace(planned.spec, judging=judging)), None)
    assert cost.usd(cost.total) == pytest.approx(30.0)


def test_stop_rules_make_the_number_a_bound(make_plan):
    searching = Searching("random", stop_when=StopWhen(no_improvement=3))
    planned = make_plan(searching=searching)
    assert expected_cost(planned, strategy_of(planned)).parts[0].is_bound

"""What a study asks of its strategy and tells it, with a strategy that follows a script."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from autotuner.driver.searching import searched
from autotuner.driver.searching.asking import Asking
from autotuner.driver.searching.past import SearchPast
from autotuner.driver.searching.searched import check_search, problem_of, strategy_of
from autotuner.driver.searching.spending import Spent
from autotuner.errors import PlanError
from autotuner.planning import plan
from autotuner.results.level_rows import level_result, not_measured
from autotuner.results.levels import RequestRecord, RequestStatus
from autotuner.search.base import Ask, Ended, Strategy, Told
from autotuner.search.grid import GridStrategy
from autotuner.search.level_plans import AllLevels
from autotuner.spec.experiment import (
    Attempt,
    Cancelled,
    Completed,
    Failed,
    FailureKind,
    Phase,
    Pruned,
)
from autotuner.spec.searching import Budget, Searching, StopWhen

NOW = datetime(2025, 3, 1, tzinfo=UTC)
SEQS = "max-num-seqs"
NOTHING = SearchPast()


class InTurn(Strategy):
    """Asks for the candidates in their order, and remembers what it is told."""

    def __init__(self, problem):
        super().__init__(problem)
        self.told = []
        self.left = [candidate.id for candidate in problem.candidates]
        self.why = None

    def ask(self, most):
        asks = [Ask(id_, AllLevels(self.problem.candidates[0].levels)) for id_ in self.left[:most]]
        del self.left[:most]
        return asks

    def tell(self, told):
        self.told.append(told)
        self.left = [id_ for id_ in self.left if id_ != told.candidate]

    @property
    def finished(self):
        return self.why


@pytest.fixture
def make_asking(make_spec):
    def make(searching=None, past=NOTHING, to_do=0, strategy=InTurn, **changes):
        searching = searching or Searching("random")
        axes = changes.pop("axes", {SEQS: [1, 2, 3, 4, 5, 6]})
        planned = plan(make_spec(axes, searching=searching, **changes))
        made = strategy(problem_of(planned))
        return Asking(planned, made, past, planned.in_order[:to_do]), made, planned

    return make


def result(experiment, index=0, seconds=1.0, status=RequestStatus.COMPLETED):
    attempt = Attempt("s", experiment, 1)
    record = RequestRecord(0, status, 0.0, ttft_s=0.1, e2e_latency_s=seconds, output_tokens=8)
    level = experiment.levels[index]
    return level_result(
        level, [record], attempt=attempt, started_at=NOW, gpus=0, failure=None, simulated=True
    )


def seqs(asked):
    return [one.experiment.parameters[SEQS] for one in asked]


def end(asking, experiment, outcome=None, *, gpu_s=0.0, will_retry=False, suspect=False):
    outcome = outcome or Completed()
    asking.end(experiment, outcome, gpu_s=gpu_s, will_retry=will_retry, suspect=suspect)


def failed(kind):
    return Failed(kind, Phase.LOAD, "it broke")


def test_as_many_are_asked_for_as_there_is_room(make_asking):
    asking, _, _ = make_asking()
    assert seqs(asking.ask(2, 0.0, 0.0)) == [1, 2]
    assert seqs(asking.ask(1, 0.0, 0.0)) == [3]
    assert asking.asked == 3


def test_what_a_strategy_repeats_is_not_measured_twice(make_asking):
    asking, strategy, _ = make_asking()
    asking.ask(2, 0.0, 0.0)
    strategy.left = [candidate.id for candidate in strategy.problem.candidates]
    assert seqs(asking.ask(3, 0.0, 0.0)) == [3]


def test_what_earlier_runs_began_is_pending_and_not_asked_for(make_asking):
    asking, strategy, planned = make_asking(to_do=2)
    assert strategy.told == [Told(e.id) for e in planned.in_order[:2]]
    assert seqs(asking.ask(9, 0.0, 0.0)) == [3, 4, 5, 6]


def test_the_baseline_counts_as_an_experiment_once(make_asking):
    asking, _, _ = make_asking(to_do=1)
    assert asking.asked == 1
    resumed, _, _ = make_asking(past=SearchPast((), Spent(experiments=1)), to_do=1)
    assert resumed.asked == 1


def test_the_limit_of_experiments_counts_those_of_earlier_runs(make_asking):
    searching = Searching("random", budget=Budget(experiments=3))
    asking, _, planned = make_asking(searching)
    assert seqs(asking.ask(9, 0.0, 0.0)) == [1, 2, 3]
    assert asking.why_no_more(0.0, 0.0) == "max_experiments is reached: 3"
    done = tuple(Told(e.id, {}, Ended.COMPLETED) for e in planned.in_order[:2])
    resumed, _, _ = make_asking(searching, SearchPast(done, Spent(experiments=2)))
    resumed.ask(2, 0.0, 0.0)
    assert resumed.asked == 3


def test_what_runs_and_what_has_failed_counts_for_the_gpu_hours(make_asking):
    past = SearchPast((), Spent(gpu_s=1000.0))
    asking, _, _ = make_asking(Searching("random", budget=Budget(gpu_hours=1)), past)
    (one,) = asking.ask(1, 0.0, 0.0)
    assert asking.why_no_more(2599.0, 0.0) is None
    assert not asking.ask(1, 2600.0, 0.0)
    end(asking, one.experiment, failed(FailureKind.SERVER_CRASHED), gpu_s=600.0)
    assert asking.why_no_more(1999.0, 0.0) is None
    assert asking.why_no_more(2000.0, 0.0) == "max_gpu_hours is reached: 1 of 1"


def test_the_time_of_earlier_runs_counts_for_the_wall_time(make_asking):
    past = SearchPast((), Spent(wall_s=1800.0))
    asking, _, _ = make_asking(Searching("random", budget=Budget(wall_hours=1)), past)
    assert asking.why_no_more(0.0, 1799.0) is None
    assert not asking.ask(1, 0.0, 1800.0)


def test_a_strategy_that_has_found_enough_is_believed(make_asking):
    asking, strategy, _ = make_asking()
    strategy.why = "no candidate is expected to be better"
    assert asking.why_no_more(0.0, 0.0) == strategy.why
    assert not asking.ask(3, 0.0, 0.0)


def test_when_all_have_been_measured_that_is_the_reason(make_asking):
    asking, _, _ = make_asking()
    asking.ask(9, 0.0, 0.0)
    assert asking.why_no_more(0.0, 0.0) == "all 6 candidates have been measured"


def test_experiments_that_better_nothing_end_the_search(make_asking):
    searching = Searching("random", stop_when=StopWhen(no_improvement=2))
    asking, _, _ = make_asking(searching, strategy=GridStrategy)
    for seconds in (1.0, 2.0, 2.0):
        assert asking.why_no_more(0.0, 0.0) is None
        (one,) = asking.ask(1, 0.0, 0.0)
        for index in (0, 1):
            asking.level(one.experiment, result(one.experiment, index, seconds))
        end(asking, one.experiment)
    assert "none of the last 2 experiments" in asking.why_no_more(0.0, 0.0)


def test_each_valid_level_is_told_as_it_arrives(make_asking):
    asking, strategy, planned = make_asking()
    first = planned.experiments[0]
    asking.level(first, result(first, 0))
    asking.level(first, result(first, 1))
    assert [[*told.rows] for told in strategy.told] == [[first.levels[0]], [*first.levels]]
    assert strategy.told[-1].rows[first.levels[0]]["output_throughput_tok_s"] == 8.0
    assert {told.ended for told in strategy.told} == {None}


def test_levels_that_are_no_measurements_are_not_told(make_asking):
    asking, strategy, planned = make_asking()
    first = planned.experiments[0]
    attempt = Attempt("s", first, 1)
    asking.level(first, not_measured(first.levels[0], attempt, "why", simulated=True))
    asking.level(first, result(first, status=RequestStatus.FAILED))
    assert strategy.told == []


def test_repeats_of_a_level_are_told_as_one(make_asking, make_workload):
    asking, strategy, planned = make_asking(workloads=(make_workload(repeats=2),))
    first = planned.experiments[0]
    assert first.levels[2].repeat == 1
    for index, seconds in ((0, 1.0), (2, 3.0)):
        asking.level(first, result(first, index, seconds))
    (row,) = strategy.told[-1].rows.values()
    assert row["measurements"] == 2
    assert row["output_throughput_tok_s"] == 4.0
    assert row["e2e_latency_s_mean"] == 2.0


def test_what_is_tried_again_begins_anew(make_asking):
    asking, strategy, planned = make_asking()
    first = planned.experiments[0]
    asking.level(first, result(first, 0))
    end(asking, first, failed(FailureKind.SERVER_CRASHED), will_retry=True)
    assert strategy.told[-1] == Told(first.id)
    asking.level(first, result(first, 1))
    assert [*strategy.told[-1].rows] == [first.levels[1]]


@pytest.mark.parametrize(
    ("outcome", "ended"),
    [
        (Completed(), Ended.COMPLETED),
        (Pruned("far behind"), Ended.PRUNED),
        (failed(FailureKind.OUT_OF_MEMORY_AT_LOAD), Ended.FAILED),
        (failed(FailureKind.SERVER_CRASHED), Ended.FAILED),
        (failed(FailureKind.UNSCHEDULABLE), Ended.FAILED),
        (failed(FailureKind.NODE_LOST), Ended.LOST),
        (failed(FailureKind.BENCH_FAILED), Ended.LOST),
        (failed(FailureKind.DIRTY_GPU), Ended.LOST),
        (failed(FailureKind.MODEL_NOT_FOUND), Ended.LOST),
        (Cancelled("the study ends"), None),
    ],
)
def test_a_failure_is_told_as_one_of_the_configuration_only_if_it_is(make_asking, outcome, ended):
    asking, strategy, planned = make_asking()
    end(asking, planned.experiments[0], outcome)
    assert strategy.told[-1].ended is ended


def test_a_configuration_that_takes_nodes_down_has_failed(make_asking):
    asking, strategy, planned = make_asking()
    end(asking, planned.experiments[0], failed(FailureKind.NODE_LOST), suspect=True)
    assert strategy.told[-1].ended is Ended.FAILED


def test_earlier_ends_are_told_before_anything_is_asked(make_asking, make_spec):
    planned = plan(make_spec({SEQS: [1, 2, 3, 4, 5, 6]}, searching=Searching("random")))
    told = Told(planned.experiments[2].id, {}, Ended.FAILED)
    asking, strategy, _ = make_asking(past=SearchPast((told, Told("gone", {}, Ended.COMPLETED))))
    assert strategy.told == [told]
    assert 3 not in seqs(asking.ask(9, 0.0, 0.0))


def test_candidates_are_told_with_their_gpus_and_levels_in_rising_order(make_spec, make_workload):
    planned = plan(
        make_spec(
            {SEQS: [1]},
            searching=Searching("random"),
            gpus=2,
            workloads=(make_workload(concurrency=(8, 1, 4), seconds=30.0, repeats=2),),
        )
    )
    (candidate,) = problem_of(planned).candidates
    assert candidate.gpus == 2
    assert [level.concurrency for level in candidate.levels] == [1, 4, 8]
    assert (candidate.start_s, candidate.level_s) == (60.0, 30.0)


def test_where_everything_is_measured_there_is_no_strategy(make_spec):
    assert strategy_of(plan(make_spec({SEQS: [1, 2]}))) is None


def test_a_gain_is_expected_only_of_a_strategy_that_tells_it(make_spec, monkeypatch):
    searching = Searching("random", stop_when=StopWhen(expected_gain_below=0.01))
    spec = make_spec({SEQS: [1, 2]}, searching=searching)
    with pytest.raises(PlanError, match=r"expected_gain_below.*'random'.*no_improvement"):
        check_search(spec)
    monkeypatch.setattr(InTurn, "tells_expected_gain", True)
    monkeypatch.setattr(searched, "load_strategy", lambda name: InTurn)
    check_search(spec)


def test_an_unknown_strategy_is_refused(make_spec):
    spec = replace(make_spec(), searching=Searching("annealing"))
    with pytest.raises(PlanError, match="annealing"):
        check_search(spec)

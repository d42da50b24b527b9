"""What the driver measures again, and on how many servers."""

import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from autotuner.driver.loop import StudyDriver
from autotuner.driver.progress import RoundStarted
from autotuner.driver.resume import past_of
from autotuner.execution.base import Executor, Node
from autotuner.node.events import AttemptEnded, LevelMeasured, PhaseStarted
from autotuner.planning import plan
from autotuner.results.confidence.verdict import VerdictKind
from autotuner.results.level_rows import level_result, skipped
from autotuner.results.levels import RequestRecord, RequestStatus
from autotuner.results.load import load_results
from autotuner.results.store import ResultStore
from autotuner.search.level_plans import AllLevels
from autotuner.spec.experiment import Completed, Failed, FailureKind, Phase, Purpose
from autotuner.spec.workload import StopRule, Workload
from autotuner.study import record_of

NOW = datetime(2025, 3, 1, tzinfo=UTC)
SEQS = "max-num-seqs"
NODES = (Node("n1", "host-1", gpus=0, cpus=1), Node("n2", "host-2", gpus=0, cpus=1))
SEARCH, CONFIRM, DRIFT = Purpose.SEARCH, Purpose.CONFIRM, Purpose.DRIFT_CHECK


@dataclass
class Speeds(Executor):
    """Serves each configuration at the speed that ``tok_s`` gives for it and for its server."""

    tok_s: object
    cluster: tuple = NODES
    fails: object = lambda attempt: None
    attempts: list = field(default_factory=list)
    hosts: list = field(default_factory=list)
    queue: list = field(default_factory=list)
    clock: datetime = NOW

    def nodes(self):
        return self.cluster

    def ask_nodes(self, calls, **limits):
        raise AssertionError("the driver asks nothing")

    def submit(self, order, slot):
        attempt = order.attempt
        self.attempts.append(attempt)
        self.hosts.append(slot.node.host)
        self.queue += [(attempt.id, event) for event in self.events(order)]

    def events(self, order):
        started, self.clock = self.clock, self.clock + timedelta(minutes=1)
        facts = {"started_at": started, "ended_at": started + timedelta(seconds=50)}
        if (kind := self.fails(order.attempt)) is not None:
            return [AttemptEnded(Failed(kind, Phase.LOAD, "it broke"), facts)]
        speed = self.tok_s(order.attempt)
        return [
            PhaseStarted(Phase.LOAD),
            *(LevelMeasured(self.level(order, level, speed)) for level in order.levels),
            AttemptEnded(Completed(), facts),
        ]

    def level(self, order, level, speed):
        record = RequestRecord(
            0,
            RequestStatus.COMPLETED,
            0.0,
            ttft_s=0.1,
            e2e_latency_s=1000 / speed,
            input_tokens=1,
            output_tokens=1000,
        )
        return level_result(
            level,
            [record],
            attempt=order.attempt,
            started_at=NOW,
            gpus=0,
            failure=None,
            simulated=True,
        )

    def poll(self, timeout_s):
        return [self.queue.pop(0)] if self.queue else []

    def stop(self, attempt_id, reason):
        raise AssertionError("nothing is to be stopped")

    kill = close = stop

    def of(self, purpose):
        return [attempt for attempt in self.attempts if attempt.purpose is purpose]


@pytest.fixture
def measure(make_spec):
    def run(executor, values=(1, 2, 3), **changes):
        workload = Workload("chat", "D(1,1000)", (1,), StopRule(60.0))
        axes = {SEQS: list(values)} if values else {}
        spec = make_spec(axes, **{"workloads": (workload,), **changes})
        planned = plan(spec)
        store = ResultStore.create(spec.output, record_of(planned))
        told = []
        past = past_of(planned, store, retry_failed=False)
        driver = StudyDriver(
            planned, store, executor, past, on_event=told.append, interrupt=threading.Event()
        )
        driver.run()
        rounds = [event for event in told if isinstance(event, RoundStarted)]
        return load_results(spec.output), rounds

    return run


def clear(attempt):
    """Twice as fast with each step; every server within one part in a thousand."""
    return 1000 * 2 ** attempt.experiment.parameters.get(SEQS, 0) * (1 + attempt.number / 1000)


def equal(attempt):
    return 1000 * (1 + attempt.number / 10000)


def noisy(attempt):
    """No two servers alike, and no configuration better than another."""
    return 1000 * (1 + 0.2 * ((attempt.experiment.index * 5 + attempt.number * 3) % 7))


def test_without_fresh_servers_every_experiment_is_measured_once(measure):
    executor = Speeds(equal)
    _, rounds = measure(executor, finalist_servers=1)
    assert len(executor.attempts) == 3
    assert rounds == []


def test_the_best_two_are_measured_again_even_where_the_lead_is_large(measure):
    executor = Speeds(clear)
    results, _ = measure(executor, finalist_servers=5)
    again = {attempt.experiment.parameters[SEQS] for attempt in executor.of(CONFIRM)}
    assert again >= {2, 3}
    assert results.ranking().verdict.kind is VerdictKind.WINNER


def test_what_is_decided_is_not_repeated_to_the_end_of_the_budget(measure):
    executor = Speeds(clear)
    measure(executor, finalist_servers=50)
    assert len(executor.of(CONFIRM)) < 30


def test_nobody_gets_more_servers_than_the_study_allows(measure):
    executor = Speeds(noisy)
    results, _ = measure(executor, finalist_servers=3)
    assert max(attempt.number for attempt in executor.attempts) == 3
    assert results.ranking().verdict.kind is not VerdictKind.WINNER


def test_all_repeats_together_cost_no_more_than_the_search_unless_asked_for(measure):
    executor = Speeds(noisy)
    measure(executor, values=range(1, 12), finalist_servers=5)
    assert len(executor.of(CONFIRM)) == 11
    more = Speeds(noisy)
    measure(more, values=range(1, 12), finalist_servers=5, max_repeats=14)
    assert len(more.of(CONFIRM)) == 3


def test_two_can_always_be_told_apart(measure):
    executor = Speeds(noisy)
    measure(executor, values=(1, 2), finalist_servers=5)
    assert len(executor.of(CONFIRM)) == 8


def test_equals_are_declared_tied(measure):
    results, _ = measure(Speeds(equal), finalist_servers=8)
    verdict = results.ranking().verdict
    assert verdict.kind is VerdictKind.TIED
    assert len(verdict.tied_with) == 2


def test_the_user_is_told_what_is_measured_again_and_why(measure):
    _, rounds = measure(Speeds(equal), finalist_servers=3)
    assert {round_.purpose for round_ in rounds} == {CONFIRM}
    assert all(round_.why and round_.experiments for round_ in rounds)


def test_a_resumed_study_goes_on_with_its_repeats_and_then_has_none_left(measure):
    measure(Speeds(noisy), finalist_servers=2)
    second = Speeds(noisy)
    measure(second, finalist_servers=4)
    assert second.of(SEARCH) == []
    assert min(attempt.number for attempt in second.attempts) == 3
    third = Speeds(noisy)
    measure(third, finalist_servers=4)
    assert third.attempts == []


def test_the_baseline_is_measured_again_when_all_else_is_done(measure):
    executor = Speeds(clear)
    _, rounds = measure(executor, baseline={}, finalist_servers=3)
    assert [a.experiment.is_baseline for a in executor.of(DRIFT)] == [True]
    assert executor.attempts[-1].purpose is DRIFT
    assert rounds[-1].purpose is DRIFT


def test_the_baseline_is_measured_again_on_the_host_of_the_first_time(measure):
    executor = Speeds(clear, cluster=NODES)
    measure(executor, baseline={}, finalist_servers=1)
    first = next(i for i, a in enumerate(executor.attempts) if a.experiment.is_baseline)
    assert executor.hosts[-1] == executor.hosts[first]


def test_nothing_has_drifted_where_only_the_baseline_was_measured(measure):
    executor = Speeds(clear)
    measure(executor, values=(), baseline={}, finalist_servers=3)
    assert executor.of(DRIFT) == []


def test_a_finished_study_is_not_checked_for_drift_a_second_time(measure):
    measure(Speeds(clear), baseline={}, finalist_servers=1)
    again = Speeds(clear)
    measure(again, baseline={}, finalist_servers=1)
    assert again.attempts == []


def test_a_repeat_that_fails_for_good_is_not_asked_for_again(measure):
    def fails(attempt):
        if attempt.purpose is CONFIRM and attempt.experiment.parameters[SEQS] == 3:
            return FailureKind.OUT_OF_MEMORY_UNDER_LOAD
        return None

    executor = Speeds(clear, fails=fails)
    results, _ = measure(executor, finalist_servers=4)
    assert sum(fails(attempt) is not None for attempt in executor.attempts) == 1
    assert results.ranking().verdict.kind is VerdictKind.NOT_ENOUGH_EVIDENCE


def test_a_study_in_which_nothing_succeeds_repeats_nothing(measure):
    executor = Speeds(equal, fails=lambda attempt: FailureKind.CONFIG_REJECTED)
    measure(executor, finalist_servers=4, give_up_after=0)
    assert executor.of(CONFIRM) == executor.of(DRIFT) == []


def test_the_rows_say_why_each_attempt_was_made(measure):
    results, _ = measure(Speeds(clear), baseline={}, finalist_servers=2)
    assert set(results.experiments["purpose"]) == {"search", "confirm", "drift_check"}


@dataclass
class Skipping(Speeds):
    """Its servers skip the highest level in the search."""

    orders: list = field(default_factory=list)

    def events(self, order):
        self.orders.append(order)
        *_, last = order.attempt.experiment.levels
        missing = LevelMeasured(skipped(last, order.attempt, "too slow"))
        if order.attempt.purpose is SEARCH:
            order = replace(order, plan=AllLevels(order.levels[:-1]))
        *levels, ended = super().events(order)
        return [*levels, missing, ended]


def test_a_repeat_measures_the_levels_that_the_search_has_measured(measure):
    executor = Skipping(noisy)
    workload = Workload("chat", "D(1,1000)", (1, 2, 4), StopRule(60.0))
    results, _ = measure(executor, workloads=(workload,), finalist_servers=3)
    search = [order for order in executor.orders if order.attempt.purpose is SEARCH]
    repeats = [order for order in executor.orders if order.attempt.purpose is CONFIRM]
    assert {order.plan for order in search} == {None}
    assert repeats
    assert {tuple(level.concurrency for level in order.levels) for order in repeats} == {(1, 2)}
    assert {order.plan.rest for order in repeats} == {"the search has skipped it"}
    assert len(results.ranking().feasible) == 3


def test_where_nothing_was_skipped_repeats_measure_everything(measure):
    executor = Speeds(noisy)
    measure(executor, finalist_servers=2)
    assert executor.of(CONFIRM)

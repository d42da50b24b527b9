"""A search carried out: on executors that follow a script, and on servers of the sim engine."""

import json
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from autotuner.driver.failures.alike import FailuresInARow
from autotuner.driver.loop import StudyDriver
from autotuner.driver.placing import dispatching
from autotuner.driver.progress import (
    AttemptStarted,
    CandidatesRefused,
    ExperimentAsked,
    RoundStarted,
    SearchEnded,
    StudyEnded,
)
from autotuner.driver.resume import close_torn_attempts, past_of
from autotuner.driver.searching import searched
from autotuner.errors import ClusterError
from autotuner.execution.base import Executor, Node
from autotuner.execution.local import LocalExecutor
from autotuner.node.events import AttemptEnded, LevelMeasured, PhaseStarted
from autotuner.planning import plan
from autotuner.results.level_rows import level_result
from autotuner.results.levels import RequestRecord, RequestStatus
from autotuner.results.load import load_results
from autotuner.results.store import ResultStore
from autotuner.search.base import Ask, Ended, Strategy
from autotuner.search.estimators.base import Estimate, Estimator, Misfit
from autotuner.search.level_plans import AllLevels
from autotuner.spec.experiment import Cancelled, Completed, Failed, FailureKind, Phase, Purpose
from autotuner.spec.searching import Budget, Searching
from autotuner.spec.server import CpuPlan
from autotuner.spec.study import Resources
from autotuner.study import detail_of, record_of, run

NOW = datetime(2025, 3, 1, tzinfo=UTC)
SEQS = "max-num-seqs"
AXES = {SEQS: [1, 2, 3, 4, 5, 6, 7, 8]}


class Scripted(Strategy):
    """Asks in the order of the candidates, whatever it is told."""

    made = None

    def __init__(self, problem):
        super().__init__(problem)
        type(self).made = self
        self.left = [candidate.id for candidate in problem.candidates]
        self.told = []
        self.asked_for = []
        self.why = None

    def ask(self, most):
        self.asked_for.append(most)
        asks = [Ask(id_, self.plan_of(id_), "for a reason") for id_ in self.left[:most]]
        self.left = self.left[most:]
        return asks

    def plan_of(self, id_):
        return AllLevels(next(c.levels for c in self.problem.candidates if c.id == id_))

    def tell(self, told):
        self.told.append(told)
        if told.ended is not None or told.candidate in self.left:
            self.left = [id_ for id_ in self.left if id_ != told.candidate]

    @property
    def finished(self):
        return self.why

    def ends(self):
        return [told.ended for told in self.told if told.ended is not None]


@pytest.fixture(autouse=True)
def strategy(monkeypatch):
    monkeypatch.setattr(searched, "load_strategy", lambda name: Scripted)
    return Scripted


def completed(order, seconds=1.0):
    record = RequestRecord(
        0, RequestStatus.COMPLETED, 0.0, ttft_s=0.1, e2e_latency_s=seconds, output_tokens=8
    )
    levels = [
        LevelMeasured(
            level_result(
                level,
                [record],
                attempt=order.attempt,
                started_at=NOW,
                gpus=0,
                failure=None,
                simulated=True,
            )
        )
        for level in order.levels
    ]
    return [
        PhaseStarted(Phase.LOAD),
        *levels,
        AttemptEnded(Completed(), {"started_at": NOW, "ended_at": NOW}),
    ]


def failing(kind):
    return lambda order: [AttemptEnded(Failed(kind, Phase.LOAD, "it broke"))]


@dataclass
class Cluster(Executor):
    """Ends attempts one by one, in the order of their start, so that all places are taken first."""

    script: object = completed
    here: tuple = (Node("n1", "host-1", gpus=2, cpus=8, gpu_model="H200"),)
    can_grow: bool = False
    orders: list = field(default_factory=list)
    wanted: list = field(default_factory=list)
    most_at_once: int = 0
    idle_polls: int = 0
    """So often nothing has happened before an attempt ends."""
    before_poll: object = lambda: None

    def __post_init__(self):
        self.queue = []
        self.polls = 0

    def nodes(self):
        return self.here

    def ask_nodes(self, calls, **limits):
        raise AssertionError("the driver asks nothing")

    def want(self, demand):
        self.wanted.append(dict(demand))

    def submit(self, order, slot):
        self.orders.append(order)
        self.queue.append((order.attempt.id, self.script(order)))
        self.most_at_once = max(self.most_at_once, len(self.queue))

    def poll(self, timeout_s):
        self.before_poll()
        self.polls += 1
        if not self.queue or self.polls % (self.idle_polls + 1):
            return []
        id_, events = self.queue.pop(0)
        return [(id_, event) for event in events]

    def stop(self, attempt_id, reason):
        self.queue = [one for one in self.queue if one[0] != attempt_id]
        self.queue.append((attempt_id, [AttemptEnded(Cancelled(reason))]))

    def kill(self, attempt_id):
        pass

    def close(self):
        pass

    def seqs(self):
        return [order.attempt.experiment.parameters.get(SEQS) for order in self.orders]


class Study:
    def __init__(self, spec, folder):
        self.spec, self.folder = spec, folder
        self.told = []
        self.interrupt = threading.Event()

    def run(self, executor):
        planned = plan(self.spec)
        store = ResultStore.create(self.folder, record_of(planned), detail=detail_of(planned))
        close_torn_attempts(planned, store)
        past = past_of(planned, store, retry_failed=False)
        StudyDriver(
            planned,
            store,
            executor,
            past,
            on_event=self.told.append,
            interrupt=self.interrupt,
        ).run()
        return load_results(self.folder)

    def of(self, kind):
        return [event for event in self.told if isinstance(event, kind)]


@pytest.fixture
def study(make_spec, tmp_path):
    def make(axes=AXES, *, limit=None, **changes):
        searching = Searching("random", budget=Budget(limit))
        changes = {"resources": Resources(gpus=1), "searching": searching, **changes}
        return Study(make_spec(axes, **changes), tmp_path / "results")

    return make


def test_the_strategy_decides_what_is_measured_and_the_limit_ends_it(study, strategy):
    some = study(limit=3)
    cluster = Cluster()
    results = some.run(cluster)
    assert cluster.seqs() == [1, 2, 3]
    labels = {entry.label for entry in results.ranking().entries}
    assert labels == {f"{SEQS}={number}" for number in (1, 2, 3)}
    assert [event.asked for event in some.of(ExperimentAsked)] == [1, 2, 3]
    assert {event.why for event in some.of(ExperimentAsked)} == {"for a reason"}
    assert some.of(SearchEnded) == [SearchEnded("max_experiments is reached: 3", 3, 8)]
    assert results.search_stopped == "max_experiments is reached: 3"
    assert results.study.search.candidates == 8
    assert strategy.made.ends() == [Ended.COMPLETED] * 3


def test_no_more_are_asked_for_than_could_start_at_once(study, strategy):
    some = study()
    cluster = Cluster()
    some.run(cluster)
    assert cluster.most_at_once == 2
    assert max(strategy.made.asked_for) == 2
    assert sorted(cluster.seqs()) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert some.of(SearchEnded)[0].why == "all 8 candidates have been measured"


def test_the_baseline_is_measured_first_and_is_one_of_the_experiments(study):
    some = study(limit=3, baseline={SEQS: 5})
    cluster = Cluster()
    results = some.run(cluster)
    assert cluster.seqs()[:3] == [5, 1, 2]
    assert [order.attempt.purpose for order in cluster.orders] == [
        *[Purpose.SEARCH] * 3,
        Purpose.DRIFT_CHECK,
    ]
    assert len(results.study.experiments) == 3


class Estimates(Estimator):
    """Of a GPU with room for a few sequences."""

    name = "estimates"

    def estimate(self, subject, load):
        return Estimate(0.1, 0.01, 100.0 * subject.flags[SEQS], 0.5, 0.3, 0.3)

    def misfit(self, subject):
        return Misfit(f"too much for a {subject.gpu}") if subject.flags.get(SEQS, 0) > 5 else None


@pytest.fixture
def estimator(monkeypatch):
    monkeypatch.setattr(searched, "load_estimator", lambda name: Estimates())
    return replace(Searching("random"), estimator="estimates")


def test_what_an_estimator_shows_not_to_fit_is_no_candidate_and_is_told(study, estimator):
    some = study(searching=estimator, baseline={SEQS: 7})
    cluster = Cluster()
    some.run(cluster)
    measured = {order.attempt.experiment.parameters[SEQS] for order in cluster.orders}
    assert measured == {7, 1, 2, 3, 4, 5}, "the baseline is measured all the same"
    (event,) = some.of(CandidatesRefused)
    refused = {experiment.parameters[SEQS]: why for experiment, why in event.refused}
    assert refused == {6: "too much for a H200", 8: "too much for a H200"}
    assert some.of(SearchEnded)[0].why == "all 6 candidates have been measured"


def test_a_search_of_which_nothing_fits_measures_it_all_the_same(study, estimator):
    some = study({SEQS: [6, 7, 8]}, searching=estimator)
    cluster = Cluster()
    some.run(cluster)
    assert sorted(cluster.seqs()) == [6, 7, 8]
    assert some.of(CandidatesRefused) == []


def test_what_was_measured_before_is_told_though_it_does_not_fit_now(study, strategy, estimator):
    study({SEQS: [5, 6, 7]}).run(Cluster())
    study({SEQS: [5, 6, 7]}, searching=estimator).run(Cluster())
    assert len(strategy.made.problem.candidates) == 3


def test_the_strategy_may_ask_what_is_thought_of_a_candidate(study, strategy, estimator):
    study(searching=estimator).run(Cluster())
    problem = strategy.made.problem
    first = problem.candidates[0]
    said = problem.estimate(first, first.levels[0])
    assert said.output_throughput_tok_s == 100.0 * first.parameters[SEQS]


def test_nodes_with_several_kinds_of_gpus_leave_the_model_open():
    assert searched.gpu_of(["H200", None, "H200"]) == "H200"
    assert searched.gpu_of(["H200", "H100"]) is None
    assert searched.gpu_of([None]) is None


def test_the_baseline_is_measured_first_whatever_the_strategy_would_do(study, monkeypatch):
    class Backwards(Scripted):
        def __init__(self, problem):
            super().__init__(problem)
            self.left.reverse()

    monkeypatch.setattr(searched, "load_strategy", lambda name: Backwards)
    cluster = Cluster()
    study(limit=3, baseline={SEQS: 5}).run(cluster)
    assert cluster.seqs()[:3] == [5, 8, 7]


def test_what_waits_keeps_the_order_in_which_it_was_asked_for(study, monkeypatch):
    def reordered(self, waiting):
        raise AssertionError("the search decides what comes first")

    monkeypatch.setattr(FailuresInARow, "in_order", reordered)
    cluster = Cluster(failing(FailureKind.CONFIG_REJECTED))
    study(max_attempts=1).run(cluster)
    assert cluster.seqs() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_level_plan_travels_with_its_attempt(study, strategy, monkeypatch):
    one_level = AllLevels(plan(study().spec).experiments[0].levels[:1], "enough")
    monkeypatch.setattr(strategy, "plan_of", lambda self, id_: one_level)
    cluster = Cluster()
    study(limit=1).run(cluster)
    (order,) = cluster.orders
    assert order.levels == one_level.levels
    assert order.plan == one_level


def test_repeats_of_finalists_are_counted_by_what_was_measured(study):
    some = study(limit=4, finalist_servers=3)
    cluster = Cluster(lambda order: completed(order, 1.0 + 0.5 * (order.attempt.number % 2)))
    some.run(cluster)
    purposes = [order.attempt.purpose for order in cluster.orders]
    # Four experiments allow four repeats; eight candidates would allow eight.
    assert purposes == [Purpose.SEARCH] * 4 + [Purpose.CONFIRM] * 4
    kinds = [type(event) for event in some.told if type(event) in (SearchEnded, RoundStarted)]
    assert kinds[0] is SearchEnded
    assert set(kinds[1:]) == {RoundStarted}


def test_repeats_are_no_news_to_the_search(study, strategy):
    study(limit=2, finalist_servers=3).run(Cluster())
    assert strategy.made.ends() == [Ended.COMPLETED] * 2


def test_a_failed_experiment_is_tried_again_before_it_is_told(study, strategy):
    some = study(limit=1)
    cluster = Cluster(failing(FailureKind.SERVER_CRASHED))
    results = some.run(cluster)
    assert [order.attempt.number for order in cluster.orders] == [1, 2]
    assert strategy.made.ends() == [Ended.FAILED]
    assert results.ranking().entries[0].score.reason


def test_a_study_in_which_nothing_can_work_stops_before_its_limit(study):
    some = study(limit=8, give_up_after=3, max_attempts=1)
    cluster = Cluster(failing(FailureKind.LAUNCH_FAILED))
    some.run(cluster)
    assert len(cluster.orders) < 8
    (end,) = some.of(StudyEnded)
    assert end.stopped
    assert not some.of(SearchEnded)


def test_failures_that_values_may_decide_stop_it_only_when_all_values_have_failed(study):
    some = study(limit=None, give_up_after=3, max_attempts=1)
    cluster = Cluster(failing(FailureKind.CONFIG_REJECTED))
    some.run(cluster)
    assert len(cluster.orders) == 8


def test_a_candidate_that_could_never_run_is_refused_before_anything_starts(study):
    some = study({"a": [1, 2]}, limit=1, resources=Resources(gpus=16))
    with pytest.raises(ClusterError):
        some.run(Cluster())
    assert not some.of(AttemptStarted)


def test_a_cluster_that_grows_is_told_of_one_more_than_it_holds(study):
    cluster = Cluster(here=(), can_grow=True)

    def grow():
        if cluster.wanted and cluster.wanted[-1]:
            cluster.here = (Node("n1", "host-1", gpus=2, cpus=8, gpu_model="H200"),)

    cluster.before_poll = grow
    study(limit=3).run(cluster)
    assert cluster.seqs() == [1, 2, 3]


def test_a_cluster_that_grows_is_told_so_too_while_it_is_full(study, monkeypatch):
    monkeypatch.setattr(dispatching, "_LOOK_S", 0.0)
    cluster = Cluster(can_grow=True, idle_polls=3)
    study(limit=4).run(cluster)
    assert max(sum(demand.values()) for demand in cluster.wanted) == 3
    fixed = Cluster(idle_polls=3)
    study(limit=6).run(fixed)
    assert max(sum(demand.values()) for demand in fixed.wanted) <= 2


def test_gpu_hours_of_what_runs_keep_more_from_being_asked_for(study):
    # Each is expected to hold its GPU for an hour and more.
    searching = Searching("random", budget=Budget(gpu_hours=1.5))
    some = study(searching=searching)
    cluster = Cluster()
    some.run(cluster)
    assert cluster.most_at_once == 2
    # They were quick in the end, so that all of them were measured.
    assert len(cluster.orders) == 8


def test_an_interrupted_search_measures_first_what_it_had_begun(study, strategy):
    first = study(limit=4)
    cluster = Cluster()
    cluster.before_poll = lambda: len(cluster.orders) >= 3 and first.interrupt.set()
    first.run(cluster)
    begun = cluster.seqs()
    done = [s for s, o in zip(begun, cluster.orders, strict=True) if s in completed_seqs(first)]
    assert len(done) < len(begun)
    again = study(limit=4)
    rest = Cluster()
    again.run(rest)
    left = [seqs for seqs in begun if seqs not in done]
    assert sorted(rest.seqs()[: len(left)]) == sorted(left)
    assert sorted(done + rest.seqs()) == [1, 2, 3, 4]
    told = [told.candidate for told in strategy.made.told if told.ended][: len(done)]
    assert len(told) == len(done)


def completed_seqs(one):
    frame = load_results(one.folder).experiments
    return [int(v) for v in frame[frame["outcome"] == "completed"]["param_max_num_seqs"]]


def test_a_search_that_was_enough_goes_on_when_its_limit_is_raised(study):
    study(limit=2).run(Cluster())
    cluster = Cluster()
    raised, seen = study(limit=4), []
    cluster.before_poll = lambda: seen.append(load_results(raised.folder).search_stopped)
    results = raised.run(cluster)
    assert cluster.seqs() == [3, 4]
    assert set(seen) == {None}
    assert results.search_stopped == "max_experiments is reached: 4"
    idle = Cluster()
    study(limit=4).run(idle)
    assert idle.orders == []


def test_a_grid_that_was_begun_goes_on_as_a_search_and_back(study):
    whole = study({SEQS: [1, 2, 3]}, searching=Searching())
    cluster = Cluster()
    cluster.before_poll = lambda: len(cluster.orders) >= 2 and whole.interrupt.set()
    whole.run(cluster)
    before = completed_seqs(whole)
    assert 0 < len(before) < 3
    searching = Searching("random", budget=Budget(2))
    results = study({SEQS: [1, 2, 3]}, searching=searching).run(Cluster())
    assert set(before) <= set(completed_seqs(whole))
    assert len(results.study.experiments) == 2
    results = study({SEQS: [1, 2, 3]}, searching=Searching()).run(Cluster())
    assert len(results.study.experiments) == 3
    assert results.search_stopped is None
    assert sorted(completed_seqs(whole)) == [1, 2, 3]


def test_a_search_on_real_servers_finds_the_best_it_has_measured(make_spec, monkeypatch):
    monkeypatch.undo()
    spec = make_spec(
        {SEQS: [1, 2, 4, 8], "max-num-batched-tokens": [256, 512]},
        searching=Searching("random", budget=Budget(3)),
        resources=Resources(gpus=0),
    )
    with LocalExecutor(cpus=2) as executor:
        results = run(spec, executor=executor)
    assert len(results.ranking().feasible) == 3
    assert results.ranking().winner is not None
    assert all(e.launch_command and e.server for e in results.study.experiments)


KILLED = """
import os, signal, sys
from autotuner.execution.local import LocalExecutor
from autotuner.driver.progress import LevelFinished
from autotuner.spec.study import StudySpec
from autotuner.study import run

seen = []

def on_event(event):
    seen.append(isinstance(event, LevelFinished))
    if sum(seen) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

with LocalExecutor(cpus=1) as executor:
    run(StudySpec.from_file(sys.argv[1]), executor=executor, on_event=on_event)
"""

FILE = """
study: killed
engine: {name: sim, flags: {time-scale: 0.05}}
model: /models/tiny
parameters: {max-num-seqs: {min: 1, max: 128, scale: log}}
search: {strategy: random, max_experiments: 4}
workloads: [{scenario: 'D(16,8)', concurrency: [1, 2], stop: {seconds: 60, requests: 3}}]
objective: {name: maximize_throughput, over: best}
resources: {gpus: 0}
bench: closed-loop
baseline: false
finalist_servers: 1
output: results
"""


def test_a_search_whose_driver_is_killed_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.undo()
    file = tmp_path / "study.yaml"
    file.write_text(FILE)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)
    assert killed.returncode == -signal.SIGKILL
    before = load_results(tmp_path / "results", all_attempts=True)
    asked = {e.id for e in before.study.experiments}
    assert len(before.experiments) == 1
    assert len(asked) == 2
    assert before.search_stopped is None
    from autotuner.spec.study import StudySpec

    with LocalExecutor(cpus=1) as executor:
        results = run(StudySpec.from_file(file), executor=executor)
    assert asked < {e.id for e in results.study.experiments}
    assert len(results.ranking().feasible) == 4
    rows = results.attempts
    # The one that was torn is the first that is measured again; nothing is measured twice.
    assert sorted(rows["outcome"]) == ["cancelled", *["completed"] * 4]
    assert results.search_stopped == "max_experiments is reached: 4"
    assert json.loads((tmp_path / "results" / "search.json").read_text())["stopped"]


def test_nodes_that_are_pinned_whole_are_counted_as_one_place(study, strategy):
    cpus = CpuPlan(2, (0, 1))
    some = study(limit=2, resources=Resources(gpus=0, cpus=cpus))
    cluster = Cluster()
    some.run(cluster)
    assert cluster.most_at_once == 1

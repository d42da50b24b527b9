import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pandas as pd
import pytest

from autotuner.driver import running as running_module
from autotuner.driver.loop import StudyDriver
from autotuner.driver.placing import idle_watch
from autotuner.driver.progress import (
    AttemptFinished,
    AttemptStarted,
    AttemptWaiting,
    LevelFinished,
    NodeSetAside,
    PhaseEntered,
    SlotFreed,
    SlotQuarantined,
    StudyEnded,
    StudyStarted,
)
from autotuner.driver.resume import close_torn_attempts, past_of
from autotuner.errors import ClusterError, OutputError
from autotuner.execution.base import AttemptLost, Executor, Node
from autotuner.execution.local import LocalExecutor
from autotuner.node.events import AttemptEnded, LevelMeasured, PhaseStarted, SlotCleared
from autotuner.planning import plan
from autotuner.results.level_rows import level_result
from autotuner.results.levels import RequestRecord, RequestStatus
from autotuner.results.load import load_results
from autotuner.results.schema import GPU_TIME_SHARES
from autotuner.results.store import ResultStore
from autotuner.results.study_record import StudyRecord
from autotuner.spec.experiment import Cancelled, Completed, Failed, FailureKind, Phase, Retry
from autotuner.spec.server import CpuPlan
from autotuner.spec.study import Resources

NOW = datetime(2025, 3, 1, tzinfo=UTC)
SEQS = "max-num-seqs"
NODE = Node("n1", "host-1", gpus=2, cpus=8, gpu_model="H200")


def measured(order, index):
    record = RequestRecord(
        0,
        RequestStatus.COMPLETED,
        0.0,
        ttft_s=0.1,
        e2e_latency_s=1.0,
        input_tokens=16,
        output_tokens=8,
    )
    return LevelMeasured(
        level_result(
            order.attempt.experiment.levels[index],
            [record],
            attempt=order.attempt,
            started_at=NOW,
            gpus=0,
            failure=None,
            simulated=True,
        )
    )


def completed(order):
    count = len(order.attempt.experiment.levels)
    return [
        PhaseStarted(Phase.LOAD),
        *(measured(order, index) for index in range(count)),
        AttemptEnded(Completed(), {"started_at": NOW}, {"server.log": "hello"}),
    ]


def failed(kind, phase=Phase.LOAD):
    return AttemptEnded(Failed(kind, phase, "it broke", "the evidence"))


@dataclass
class Scripted(Executor):
    """Tells of each attempt what the script says; ``polite`` attempts end when stopped."""

    script: object
    cluster: tuple = (NODE,)
    polite: bool = True
    orders: list = field(default_factory=list)
    slots: list = field(default_factory=list)
    stopped: list = field(default_factory=list)
    killed: list = field(default_factory=list)
    queue: list = field(default_factory=list)
    before_poll: object = lambda: None

    def nodes(self):
        return self.cluster

    def ask_nodes(self, calls, **limits):
        raise AssertionError("the driver asks nothing")

    def submit(self, order, slot):
        self.orders.append(order)
        self.slots.append(slot)
        self.queue += [(order.attempt.id, event) for event in self.script(order)]

    def poll(self, timeout_s):
        self.before_poll()
        return [self.queue.pop(0)] if self.queue else []

    def stop(self, attempt_id, reason):
        self.stopped.append((attempt_id, reason))
        if self.polite:
            self.queue.append((attempt_id, AttemptEnded(Cancelled(reason))))

    def kill(self, attempt_id):
        self.killed.append(attempt_id)
        self.queue.append((attempt_id, AttemptLost(FailureKind.ACTOR_LOST, "killed")))

    def close(self):
        raise AssertionError("the driver does not own the executor")

    @property
    def numbers(self):
        return [order.attempt.number for order in self.orders]


@dataclass
class Study:
    spec: object
    folder: object
    told: list = field(default_factory=list)
    interrupt: threading.Event = field(default_factory=threading.Event)

    def run(self, executor, **options):
        planned = plan(self.spec)
        record = StudyRecord.of(
            self.spec,
            planned.experiments,
            launch_commands={},
            study_id=planned.study_id,
            created_at=NOW,
            autotuner_version="0",
        )
        store = ResultStore.create(self.folder, record)
        close_torn_attempts(planned, store)
        past = past_of(planned, store, retry_failed=False)
        StudyDriver(
            planned,
            store,
            executor,
            past,
            on_event=self.told.append,
            interrupt=self.interrupt,
            **options,
        ).run()
        return self.results()

    def results(self):
        return load_results(self.folder, all_attempts=True)

    def of(self, kind):
        return [event for event in self.told if isinstance(event, kind)]


@pytest.fixture
def study(make_spec, tmp_path):
    return lambda *axes, **changes: Study(make_spec(*axes, **changes), tmp_path / "results")


class Watcher(list):
    """Interrupts as soon as an attempt is under load."""

    def __init__(self, interrupt):
        super().__init__()
        self._interrupt = interrupt

    def append(self, event):
        super().append(event)
        if isinstance(event, PhaseEntered) and event.phase is Phase.LOAD:
            self._interrupt.set()


def rows(frame):
    """The rows with None for what is missing, where pandas has NaN."""
    return [
        {name: None if value is pd.NA or value != value else value for name, value in row.items()}
        for row in frame.drop(columns=["gpu_ids", "hosts"], errors="ignore").to_dict("records")
    ]


def outcomes(results):
    attempts = rows(results.experiments.sort_values("attempt"))
    return [(row["attempt"], row["outcome"], row["failure_kind"]) for row in attempts]


def reasons(results):
    return [row["reason"] for row in rows(results.levels.sort_values("concurrency"))]


def test_a_study_runs_every_experiment_once(study):
    tiny = study({SEQS: [4, 8, 16]})
    executor = Scripted(completed)
    results = tiny.run(executor)
    assert list(results.experiments["outcome"]) == ["completed"] * 3
    assert list(results.levels["status"]) == ["ok"] * 6
    assert [order.attempt.experiment.parameters[SEQS] for order in executor.orders] == [4, 8, 16]


def test_the_watcher_is_told_everything_in_order(study):
    tiny = study()
    tiny.run(Scripted(completed))
    assert [type(event) for event in tiny.told] == [
        StudyStarted,
        AttemptStarted,
        PhaseEntered,
        LevelFinished,
        LevelFinished,
        AttemptFinished,
        StudyEnded,
    ]
    assert tiny.told[0].reused == 0
    assert tiny.told[1].host == "host-1"
    assert tiny.told[-1] == StudyEnded(interrupted=False)


def test_each_level_is_on_disk_before_the_next_event_is_read(study):
    tiny = study()
    executor = Scripted(completed)
    seen = []
    executor.before_poll = lambda: seen.append(len(tiny.results().levels))
    tiny.run(executor)
    # Before: the phase, the first level, the second level, the end.
    assert seen == [0, 0, 1, 2]


def test_an_attempt_s_row_comes_after_all_its_levels(study):
    tiny = study()
    executor = Scripted(completed)
    seen = []
    executor.before_poll = lambda: seen.append(len(tiny.results().experiments))
    tiny.run(executor)
    assert set(seen) == {0}
    assert len(tiny.results().experiments) == 1


def test_the_row_holds_what_only_the_driver_knows(study):
    (row,) = rows(study().run(Scripted(completed)).experiments)
    assert (row["node_id"], row["host"]) == ("n1", "host-1")
    assert row["bench"] == "closed-loop"
    assert row["concurrent_attempts"] == 0
    assert row["seconds_actor_start"] >= 0
    assert row["simulated"]
    assert row["gpu_model"] is None  # it reserved none


def test_facts_of_the_node_win_over_those_of_the_driver(study):
    def script(order):
        *events, _ = completed(order)
        return [*events, AttemptEnded(Completed(), {"host": "inside", "simulated": False})]

    (row,) = rows(study().run(Scripted(script)).experiments)
    assert row["host"] == "inside"
    assert not row["simulated"]


def test_attempts_that_share_a_node_are_counted(study):
    tiny = study({SEQS: [4, 8]}, gpus=1)
    executor = Scripted(completed)
    attempts = tiny.run(executor).experiments
    assert sorted(attempts["concurrent_attempts"]) == [0, 1]
    assert set(attempts["gpu_model"]) == {"H200"}


def test_no_more_run_at_once_than_fit(study):
    tiny = study({SEQS: [4, 8, 16]}, gpus=2)
    executor = Scripted(completed)
    tiny.run(executor)
    running = 0
    for event in tiny.told:
        running += isinstance(event, AttemptStarted) - isinstance(event, AttemptFinished)
        assert running <= 1


def test_logs_are_kept_by_attempt(study):
    tiny = study()
    executor = Scripted(completed)
    tiny.run(executor)
    log = tiny.folder / "logs" / executor.orders[0].attempt.id / "server.log"
    assert log.read_text() == "hello"


def test_levels_without_a_measurement_say_why(study):
    def script(order):
        return [measured(order, 0), failed(FailureKind.OUT_OF_MEMORY_UNDER_LOAD)]

    results = study().run(Scripted(script))
    assert sorted(results.levels["status"]) == ["not_measured", "ok"]
    assert reasons(results) == [None, "out_of_memory_under_load: it broke"]
    (row,) = rows(results.experiments)
    assert row["failure_message"] == "it broke"
    assert row["evidence"] == "the evidence"
    assert row["failure_phase"] == "load"


@pytest.mark.parametrize("kind", sorted(set(FailureKind) - {FailureKind.DIRTY_GPU}))
@pytest.mark.parametrize("lost", [False, True])
def test_a_failure_is_tried_again_if_it_may_pass_and_never_otherwise(study, kind, lost):
    event = AttemptLost(kind, "gone") if lost else failed(kind)
    executor = Scripted(lambda order: [PhaseStarted(Phase.PREFLIGHT), event])
    tiny = study(max_attempts=3)
    results = tiny.run(executor)
    tries = 3 if kind.retry is Retry.ANYWHERE else 1  # there is no elsewhere
    assert executor.numbers == list(range(1, tries + 1))
    assert outcomes(results) == [(n, "failed", kind.value) for n in executor.numbers]
    again = [event.will_retry for event in tiny.of(AttemptFinished)]
    assert again == [True] * (tries - 1) + [False]


def test_a_second_attempt_that_succeeds_is_the_last(study):
    executor = Scripted(
        lambda order: (
            [failed(FailureKind.PORT_TAKEN)] if order.attempt.number == 1 else completed(order)
        )
    )
    results = study(max_attempts=5).run(executor)
    assert outcomes(results) == [(1, "failed", "port_taken"), (2, "completed", None)]


@pytest.mark.parametrize("kind", [FailureKind.ACTOR_LOST, FailureKind.NODE_LOST])
def test_a_lost_attempt_keeps_its_levels_and_names_its_last_phase(study, kind):
    def script(order):
        return [PhaseStarted(Phase.LOAD), measured(order, 0), AttemptLost(kind, "gone")]

    results = study(max_attempts=1).run(Scripted(script))
    (row,) = rows(results.experiments)
    assert (row["failure_kind"], row["failure_phase"]) == (kind.value, "load")
    assert sorted(results.levels["status"]) == ["not_measured", "ok"]


def test_an_attempt_lost_before_its_first_sign_has_no_start_time(study):
    tiny = study(max_attempts=1)
    results = tiny.run(Scripted(lambda order: [AttemptLost(FailureKind.ACTOR_LOST, "gone")]))
    first, *_ = rows(results.experiments.sort_values("attempt"))
    assert first["seconds_actor_start"] is None
    assert first["failure_phase"] == "preflight"


def test_an_attempt_sent_to_a_node_that_was_gone_already_costs_none(study):
    """Ray takes seconds to notice; it says nothing about the configuration."""

    def script(order):
        if order.attempt.number <= 3:
            return [AttemptLost(FailureKind.NODE_LOST, "gone")]
        return completed(order)

    executor = Scripted(script, TWO_NODES)
    results = study(gpus=1, max_attempts=1).run(executor)
    assert outcomes(results)[-1] == (4, "completed", None)
    assert "suspect" not in str(results.experiments["failure_message"].tolist())


def test_an_attempt_that_never_begins_is_not_sent_for_ever(study):
    executor = Scripted(lambda order: [AttemptLost(FailureKind.NODE_LOST, "gone")])
    study(max_attempts=1, give_up_after=0).run(executor)
    assert len(executor.orders) == 6


@pytest.mark.parametrize(
    ("need", "words"), [({"gpus": 3}, "needs 3 GPUs and 1 CPUs"), ({}, "needs 0 GPUs and 9 CPUs")]
)
def test_what_fits_no_node_is_refused_before_anything_starts(study, need, words):
    cluster = (Node("n0", "host-0", 1, 8), NODE)
    executor = Scripted(completed, cluster)
    tiny = study({SEQS: [4]}, cpus=CpuPlan(1 if need else 9), **need)
    with pytest.raises(ClusterError) as caught:
        tiny.run(executor)
    assert words in str(caught.value)
    assert "the largest node (host-1) has 2 GPUs and 8 CPUs" in str(caught.value)
    assert f"{SEQS}=4" in str(caught.value)
    assert executor.orders == tiny.told == []


def test_a_cluster_without_nodes_says_so(study):
    with pytest.raises(ClusterError, match="the cluster has no node"):
        study().run(Scripted(completed, ()))


def test_finished_experiments_are_not_run_again(study):
    def first(order):
        good = order.attempt.experiment.parameters[SEQS] == 4
        return completed(order) if good else [failed(FailureKind.REQUESTS_FAILED)]

    tiny = study({SEQS: [4, 8]})
    tiny.run(Scripted(first))
    executor = Scripted(completed)
    results = tiny.run(executor)
    (order,) = executor.orders
    assert order.attempt.experiment.parameters[SEQS] == 8
    assert order.attempt.number == 2  # attempts are counted over the life of the folder
    assert tiny.of(StudyStarted)[-1].reused == 1
    assert sorted(results.experiments["outcome"]) == ["completed", "completed", "failed"]


def test_a_study_that_is_finished_starts_nothing(study):
    tiny = study()
    tiny.run(Scripted(completed))
    executor = Scripted(completed)
    tiny.run(executor)
    assert executor.orders == []


def test_what_is_finished_need_not_fit_any_more(study):
    tiny = study(gpus=2)
    tiny.run(Scripted(completed))
    tiny.run(Scripted(completed, (Node("n2", "host-2", 0, 1),)))


def test_a_resumed_study_has_all_its_attempts_again(study):
    tiny = study(max_attempts=2)
    crash = Scripted(lambda order: [failed(FailureKind.SERVER_CRASHED)])
    tiny.run(crash)
    tiny.run(crash)
    assert crash.numbers == [1, 2, 3, 4]


def test_an_interrupt_cancels_what_runs_and_starts_nothing_more(study):
    def script(order):
        return [PhaseStarted(Phase.LOAD), measured(order, 0)]

    tiny = study({SEQS: [4, 8, 16]}, gpus=1)
    executor = Scripted(script)
    executor.before_poll = lambda: tiny.of(LevelFinished) and tiny.interrupt.set()
    results = tiny.run(executor)
    ids = [order.attempt.id for order in executor.orders]
    assert len(ids) == 2
    assert executor.stopped == [(attempt_id, "interrupted") for attempt_id in ids]
    assert executor.killed == []
    assert list(results.experiments["outcome"]) == ["cancelled"] * 2
    assert sorted(results.levels["status"]) == ["not_measured"] * 2 + ["ok"] * 2
    assert set(reasons(results)) == {None, "cancelled: interrupted"}
    assert tiny.told[-1] == StudyEnded(interrupted=True)


def test_an_interrupted_attempt_that_does_not_end_is_killed(study, monkeypatch):
    monkeypatch.setattr(running_module, "_STOP_PATIENCE_S", 0.0)
    tiny = study()
    executor = Scripted(lambda order: [], polite=False)
    executor.before_poll = tiny.interrupt.set
    results = tiny.run(executor)
    assert executor.killed[0] == executor.orders[0].attempt.id
    assert outcomes(results) == [(1, "cancelled", None)]


def test_a_failure_after_the_interrupt_is_not_tried_again(study):
    tiny = study(max_attempts=3)
    executor = Scripted(lambda order: [failed(FailureKind.SERVER_CRASHED)])
    executor.before_poll = tiny.interrupt.set
    tiny.run(executor)
    assert executor.numbers == [1]


def test_an_interrupt_before_the_start_starts_nothing(study):
    tiny = study()
    tiny.interrupt.set()
    executor = Scripted(completed)
    tiny.run(executor)
    assert executor.orders == []
    assert tiny.told[-1] == StudyEnded(interrupted=True)


@pytest.mark.parametrize("polite", [True, False])
def test_an_overdue_attempt_is_stopped_then_killed_and_has_hung(study, monkeypatch, polite):
    monkeypatch.setattr(running_module, "_OVERDUE_SLACK_S", -1e9)
    monkeypatch.setattr(running_module, "_STOP_PATIENCE_S", 1e9 if polite else 0.0)
    executor = Scripted(lambda order: [PhaseStarted(Phase.LOAD)], polite=polite)
    results = study(max_attempts=1).run(executor)
    assert [reason for _, reason in executor.stopped] == ["overdue"]
    assert bool(executor.killed) is not polite
    assert outcomes(results) == [(1, "failed", "server_hung")]


def test_an_attempt_that_waits_for_others_is_reported_once_and_never_overdue(study, monkeypatch):
    """On a shared cluster another job may hold the node: that says nothing of the server."""
    monkeypatch.setattr(running_module, "_OVERDUE_SLACK_S", -1e9)
    monkeypatch.setattr(running_module, "_STOP_PATIENCE_S", 1e9)
    monkeypatch.setattr(running_module, "_WAITING_S", -1.0)
    executor, polls = Scripted(lambda order: []), []

    def begin_at_the_third_look():
        polls.append(1)
        if len(polls) == 3:
            monkeypatch.setattr(running_module, "_OVERDUE_SLACK_S", 1e9)
            (order,) = executor.orders
            executor.queue += [(order.attempt.id, event) for event in completed(order)]

    executor.before_poll = begin_at_the_third_look
    tiny = study(max_attempts=1)
    results = tiny.run(executor)
    assert len(tiny.of(AttemptWaiting)) == 1
    assert executor.stopped == executor.killed == []
    assert outcomes(results) == [(1, "completed", None)]


def test_an_attempt_within_its_time_is_left_alone(study):
    executor = Scripted(completed)
    study().run(executor)
    assert executor.stopped == executor.killed == []


def test_a_study_whose_nodes_do_not_come_back_ends(study, monkeypatch):
    monkeypatch.setattr(idle_watch, "_PATIENCE_S", 0.0)
    executor = Scripted(lambda order: [AttemptLost(FailureKind.NODE_LOST, "gone")])
    executor.before_poll = lambda: setattr(executor, "cluster", ())
    with pytest.raises(ClusterError, match="the cluster has no node"):
        study().run(executor)


def test_a_study_waits_for_a_node_that_comes_back(study):
    polls = []

    def script(order):
        if order.attempt.number == 1:
            return [AttemptLost(FailureKind.NODE_LOST, "gone")]
        return completed(order)

    def come_and_go():
        polls.append(1)
        executor.cluster = () if len(polls) < 5 else (NODE,)

    executor = Scripted(script)
    executor.before_poll = come_and_go
    results = study().run(executor)
    assert outcomes(results) == [(1, "failed", "node_lost"), (2, "completed", None)]


def test_when_a_result_cannot_be_written_nothing_keeps_running(study, monkeypatch):
    def full(*_arguments):
        raise OutputError("no space left")

    monkeypatch.setattr(ResultStore, "write_level", full)
    executor = Scripted(lambda order: [measured(order, 0)])
    with pytest.raises(OutputError):
        study({SEQS: [4, 8]}).run(executor)
    assert executor.killed == [order.attempt.id for order in executor.orders]


def test_a_real_study_keeps_the_good_beside_the_bad(study):
    tiny = study({"fault-crash-after-requests": [None, 0], SEQS: [4, 8]}, max_attempts=2)
    with LocalExecutor(cpus=2) as executor:
        results = tiny.run(executor)
    attempts = rows(results.experiments)
    ended = {(row["param_fault_crash_after_requests"], row["outcome"]) for row in attempts}
    assert ended == {(None, "completed"), (0, "failed")}
    assert {row["failure_kind"] for row in attempts} == {None, "server_crashed"}
    assert len(attempts) == 2 + 2 * 2
    assert sorted(results.levels["status"]) == ["not_measured"] * 8 + ["ok"] * 4
    assert len(results.requests) >= 12


SHARES = [f"gpu_seconds_{share}" for share in GPU_TIME_SHARES]


def test_each_reserved_second_of_a_real_attempt_is_in_one_share_also_of_a_failed_one(study):
    tiny = study({"fault-crash-after-requests": [None, 0]}, gpus=2, give_up_after=0)
    with LocalExecutor(gpus=2) as executor:
        results = tiny.run(executor)
    attempts = rows(results.experiments)
    assert {row["outcome"] for row in attempts} == {"completed", "failed"}
    for row in attempts:
        assert sum(row[share] for share in SHARES) == pytest.approx(row["gpu_seconds_reserved"])
        assert row["gpu_seconds_reserved"] == pytest.approx(2 * row["seconds_reserved"])
        assert row["gpu_seconds_start"] > 0
        assert (row["gpu_seconds_load"] > 0) is (row["outcome"] == "completed")


def test_an_attempt_that_is_cancelled_under_load_accounts_for_all_it_reserved(study, make_workload):
    endless = make_workload(concurrency=(1,), requests=None, seconds=3600.0)
    tiny = study({SEQS: [4]}, workloads=(endless,), gpus=1)
    tiny.told = Watcher(tiny.interrupt)
    with LocalExecutor(gpus=1) as executor:
        (row,) = rows(tiny.run(executor).experiments)
    assert row["outcome"] == "cancelled"
    assert sum(row[share] for share in SHARES) == pytest.approx(row["gpu_seconds_reserved"])


def test_of_a_lost_attempt_the_reserved_time_is_known_and_no_share(study):
    lost = AttemptLost(FailureKind.NODE_LOST, "gone")
    executor = Scripted(lambda order: [PhaseStarted(Phase.LOAD), lost])
    (row,) = rows(study(max_attempts=1, gpus=1).run(executor).experiments)
    assert row["gpu_seconds_reserved"] >= 0
    assert [row[share] for share in SHARES] == [None] * len(SHARES)


def test_an_attempt_that_never_began_reserved_nothing_that_is_known(study):
    executor = Scripted(lambda order: [AttemptLost(FailureKind.NODE_LOST, "gone")])
    results = study(max_attempts=1, give_up_after=0, gpus=1).run(executor)
    assert {row["gpu_seconds_reserved"] for row in rows(results.experiments)} == {None}


def test_a_real_study_can_be_interrupted_and_continued(study, make_workload):
    endless = make_workload(concurrency=(1,), requests=None, seconds=3600.0)
    tiny = study({SEQS: [4]}, workloads=(endless,))

    tiny.told = Watcher(tiny.interrupt)
    with LocalExecutor() as executor:
        results = tiny.run(executor)
    assert outcomes(results) == [(1, "cancelled", None)]
    tiny.interrupt.clear()
    executor = Scripted(completed)
    assert outcomes(tiny.run(executor)) == [(1, "cancelled", None), (2, "completed", None)]


TWO_NODES = (Node("n1", "host-1", 1, 8), Node("n2", "host-2", 1, 8))
FAULT = "device 0 holds 20.0 GiB of process 1234 (python)"


def test_what_failed_on_one_node_is_tried_again_on_another(study):
    def script(order):
        return [failed(FailureKind.PORT_TAKEN)] if order.attempt.number == 1 else completed(order)

    executor = Scripted(script, TWO_NODES)
    study(gpus=1).run(executor)
    first, second = (slot.node.id for slot in executor.slots)
    assert first != second


def test_what_the_node_lacks_is_not_sought_on_it_twice(study):
    executor = Scripted(lambda order: [failed(FailureKind.LAUNCH_FAILED)], TWO_NODES)
    study(gpus=1, max_attempts=5, give_up_after=0).run(executor)
    assert sorted(slot.node.id for slot in executor.slots) == ["n1", "n2"]


def test_a_configuration_lost_on_two_hosts_is_suspect_and_not_tried_again(study):
    lost = [PhaseStarted(Phase.SERVER_START), AttemptLost(FailureKind.NODE_LOST, "gone")]
    executor = Scripted(lambda order: lost, TWO_NODES)
    results = study(gpus=1, max_attempts=5).run(executor)
    assert outcomes(results) == [(n, "failed", "node_lost") for n in (1, 2)]
    messages = results.experiments.sort_values("attempt")["failure_message"].tolist()
    assert messages[0] == "gone"
    assert "lost on two different nodes: the configuration is suspect" in messages[1]


def test_a_study_in_which_all_fail_alike_stops_and_says_what_to_mend(study):
    tiny = study({SEQS: list(range(1, 21))}, gpus=1)
    executor = Scripted(lambda order: [failed(FailureKind.BENCH_FAILED)])
    tiny.run(executor)
    assert len(executor.orders) < 8
    end = tiny.told[-1]
    assert not end.interrupted
    assert "all failed in the same way, bench_failed at load: it broke" in end.stopped
    assert "give_up_after" in end.stopped


def test_what_runs_when_the_study_stops_is_cancelled_and_can_be_resumed(study):
    def script(order):
        hangs = order.attempt.experiment.parameters[SEQS] == 1
        return [] if hangs else [failed(FailureKind.LAUNCH_FAILED)]

    tiny = study({SEQS: list(range(1, 9))}, gpus=1)
    executor = Scripted(script)
    tiny.run(executor)
    assert [reason for _, reason in executor.stopped] == ["the study has stopped"]
    again = Scripted(completed)
    results = tiny.run(again)
    assert len(again.orders) == 8
    assert sorted(set(results.experiments["outcome"])) == ["cancelled", "completed", "failed"]


def test_a_study_never_gives_up_where_it_is_told_so(study):
    executor = Scripted(lambda order: [failed(FailureKind.LAUNCH_FAILED)])
    study({SEQS: list(range(1, 9))}, give_up_after=0).run(executor)
    assert len(executor.orders) == 8


def no_place_but_for_the_first(order):
    hangs = order.attempt.experiment.parameters[SEQS] == 1
    return [] if hangs else [failed(FailureKind.UNSCHEDULABLE, Phase.SERVER_START)]


def test_pods_that_find_no_place_stop_no_study_while_one_runs_that_may_have_it(study):
    tiny = study({SEQS: list(range(1, 9))}, gpus=1)
    executor = Scripted(no_place_but_for_the_first)
    executor.before_poll = lambda: executor.queue or tiny.interrupt.set()
    tiny.run(executor)
    assert len(executor.orders) == 1 + 7 * 2
    assert tiny.told[-1].stopped is None


def test_a_study_of_pods_that_find_no_place_stops_though_their_next_attempts_run(
    study, monkeypatch
):
    monkeypatch.setattr(running_module, "_ONE_GO_S", 0.0)  # the script takes no time at all
    tiny = study({SEQS: list(range(1, 21))}, gpus=1)
    nowhere = [failed(FailureKind.UNSCHEDULABLE, Phase.SERVER_START)]
    executor = Scripted(lambda order: nowhere)
    tiny.run(executor)
    assert len(executor.orders) < 20
    assert "unschedulable at server start" in tiny.told[-1].stopped


def with_fault(order):
    *events, end = completed(order)
    return [*events, AttemptEnded(end.outcome, end.facts, end.logs, FAULT)]


def test_a_slot_with_a_fault_goes_to_nobody_until_it_is_clear(study):
    executor = Scripted(lambda order: (with_fault if first(order) else completed)(order))
    tiny = study({SEQS: [1, 2, 3]}, gpus=2)
    polls = []

    def clear_later():
        polls.append(len(executor.orders))
        if len(polls) == 10:
            executor.queue.append((executor.orders[0].attempt.id, SlotCleared()))

    def first(order):
        return order.attempt.experiment.index == 0

    executor.before_poll = clear_later
    results = tiny.run(executor)
    assert polls[9] == 1  # the others waited
    assert sorted(results.experiments["outcome"]) == ["completed"] * 3
    (held,) = tiny.of(SlotQuarantined)
    assert (held.host, held.fault) == ("host-1", FAULT)
    assert len(tiny.of(SlotFreed)) == 1
    assert executor.killed == []


def test_other_slots_of_the_node_are_used_meanwhile(study):
    executor = Scripted(
        lambda order: (with_fault if len(executor.orders) == 1 else completed)(order)
    )
    results = study({SEQS: [1, 2, 3]}, gpus=1).run(executor)
    assert sorted(results.experiments["outcome"]) == ["completed"] * 3
    assert executor.killed == [executor.orders[0].attempt.id]  # at the end: nobody needs it


def test_devices_that_never_become_free_end_the_study_by_name(study, monkeypatch):
    monkeypatch.setattr(idle_watch, "_PATIENCE_S", 0.0)
    executor = Scripted(with_fault)
    with pytest.raises(ClusterError, match=r"2 experiments wait for devices.*process 1234"):
        study({SEQS: [1, 2, 3]}, gpus=2).run(executor)
    assert executor.killed == [executor.orders[0].attempt.id]


def test_a_node_that_is_set_aside_is_told_of(study):
    def script(order):
        node = executor.slots[len(executor.orders) - 1].node.id
        return [failed(FailureKind.LAUNCH_FAILED)] if node == "n2" else completed(order)

    executor = Scripted(script, TWO_NODES)
    tiny = study({SEQS: list(range(1, 13))}, gpus=1)
    results = tiny.run(executor)
    assert [event.host for event in tiny.of(NodeSetAside)] == ["host-2"]
    assert len(results.chosen) == 12
    completed_ids = set(results.experiments.query("outcome == 'completed'")["experiment_id"])
    assert len(completed_ids) == 12
    assert sum(slot.node.id == "n2" for slot in executor.slots) == 3


def test_a_stop_that_is_asked_for_elsewhere_is_an_interrupt(study):
    tiny = study()
    executor = Scripted(lambda order: [PhaseStarted(Phase.LOAD)])
    results = tiny.run(executor, stop_requested=lambda: bool(executor.orders))
    assert executor.stopped[0][1] == "interrupted"
    assert outcomes(results) == [(1, "cancelled", None)]
    assert tiny.told[-1] == StudyEnded(interrupted=True)


def test_an_attempt_that_ends_without_being_told_to_was_given_up_by_its_node(study):
    def script(order):
        silent = AttemptEnded(Cancelled("the driver has been silent for 120 s"))
        return [silent] if order.attempt.number == 1 else completed(order)

    results = study().run(Scripted(script))
    assert outcomes(results) == [(1, "failed", "actor_lost"), (2, "completed", None)]


def test_a_study_does_not_stop_while_something_in_it_is_measured(study):
    """Three that fail at once say little against one that has a level already."""
    broken = []

    def script(order):
        if order.attempt.experiment.index == 0:
            return [PhaseStarted(Phase.LOAD), measured(order, 0)]
        broken.append(order)
        return [failed(FailureKind.LAUNCH_FAILED)]

    def finish_the_first_when_the_others_have_failed():
        if len(broken) == 7 and not executor.queue:
            order = executor.orders[0]
            executor.queue += [(order.attempt.id, event) for event in completed(order)[2:]]

    executor = Scripted(script)
    executor.before_poll = finish_the_first_when_the_others_have_failed
    tiny = study({SEQS: list(range(1, 9))}, gpus=1)
    results = tiny.run(executor)
    assert tiny.told[-1].stopped is None
    assert sorted(results.experiments["outcome"]) == ["completed"] + ["failed"] * 7


def test_what_a_quarantined_slot_holds_is_no_elsewhere(study):
    """The retry goes back to where it failed: the other node's only device is held."""

    def script(order):
        node = executor.slots[len(executor.orders) - 1].node.id
        if node == "n2":
            return with_fault(order)
        again = order.attempt.number > 1
        return completed(order) if again else [failed(FailureKind.SERVER_CRASHED)]

    executor = Scripted(script, TWO_NODES)
    results = study({SEQS: [1, 2]}, gpus=1).run(executor)
    assert [slot.node.id for slot in executor.slots] == ["n1", "n2", "n1"]
    assert len(results.experiments.query("outcome == 'completed'")) == 2


def test_what_an_earlier_study_has_left_in_the_executor_does_not_trip_the_next(study):
    executor = Scripted(completed)
    executor.queue += [
        ("another-a1", AttemptLost(FailureKind.ACTOR_LOST, "killed")),
        ("another-a2", AttemptEnded(Completed())),
        ("another-a3", SlotCleared()),
    ]
    assert outcomes(study().run(executor)) == [(1, "completed", None)]


@pytest.mark.parametrize("lost", [True, False])
def test_of_several_nodes_the_one_whose_rank_failed_is_blamed(study, lost):
    three = tuple(Node(name, f"host-{name}", 1, 4) for name in "abc")

    def script(order):
        if order.attempt.number > 1:
            return completed(order)
        if lost:
            return [PhaseStarted(Phase.LOAD), AttemptLost(FailureKind.NODE_LOST, "gone", 1)]
        return [replace(failed(FailureKind.NODE_LOST), blamed_rank=1)]

    executor = Scripted(script, three)
    study(resources=Resources(gpus=2, gpus_per_node=1)).run(executor)
    first, second = executor.slots
    assert len(first.nodes) == 2
    assert first.others[0] not in second.nodes
    assert first.node in second.nodes

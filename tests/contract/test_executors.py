"""What the driver may rely on, whichever executor carries its attempts."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from autotuner.execution.base import AttemptLost, Executor, Node, Slot
from autotuner.execution.local import LocalExecutor
from autotuner.node.events import AttemptEnded, LevelMeasured, PhaseStarted
from autotuner.spec.experiment import Cancelled, Completed, Failed, FailureKind, Phase

PATIENCE = 240  # polls of half a second at most


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.ray)], scope="module")
def executor(request):
    if request.param == "ray":
        yield request.getfixturevalue("ray_executor")
    else:
        with LocalExecutor(cpus=2) as opened:
            yield opened


@dataclass
class Attempts:
    """Submits attempts to the executor and reads what it tells of them."""

    executor: Executor
    make_order: Callable
    events: dict = field(default_factory=dict)

    @property
    def node(self) -> Node:
        return self.executor.nodes()[0]

    def submit(self, order=None, **changes):
        order = order or self.make_order(**changes)
        self.events[order.attempt.id] = []
        reserve = order.attempt.experiment.footprint.cpus.reserve
        self.executor.submit(order, Slot(self.node, 0, reserve))
        return order.attempt.id

    def read(self, until):
        for _ in range(PATIENCE):
            if until():
                return
            for attempt_id, event in self.executor.poll(0.5):
                self.events[attempt_id].append(event)
        pytest.fail(f"waited in vain; so far: {self.events}")

    def ended(self, attempt_id):
        events = self.events[attempt_id]
        return bool(events) and isinstance(events[-1], AttemptEnded | AttemptLost)

    def until_ended(self, *attempt_ids):
        self.read(lambda: all(self.ended(attempt_id) for attempt_id in attempt_ids))
        return [self.events[attempt_id] for attempt_id in attempt_ids]

    def until_phase(self, attempt_id, phase):
        self.read(lambda: PhaseStarted(phase) in self.events[attempt_id])


@pytest.fixture
def attempts(executor, make_order):
    submitted = Attempts(executor, make_order)
    yield submitted
    for attempt_id in submitted.events:
        executor.kill(attempt_id)
    # Whatever still comes is of attempts that are over.
    submitted.read(lambda: all(submitted.ended(attempt_id) for attempt_id in submitted.events))


@pytest.fixture
def endless(make_workload):
    return {"workloads": (make_workload(concurrency=(1,), requests=None, seconds=3600.0),)}


STRANGER = """
import sys, time
with open(sys.argv[1], "w", buffering=1) as told:
    while True:
        told.write(f"{time.time()} {time.process_time()}\\n")
        until = time.process_time() + 0.01
        while time.process_time() < until:
            pass
"""


@pytest.fixture
def stranger(tmp_path):
    """A busy process that is nobody's; tells what CPU time it used between two moments."""
    told = tmp_path / "told"
    process = subprocess.Popen([sys.executable, "-c", STRANGER, str(told)])

    def used_s(begun_at, ended_at):
        process.kill()
        process.wait()
        pairs = [line.split() for line in told.read_text().splitlines()[:-1]]
        within = [float(cpu_s) for at, cpu_s in pairs if begun_at <= float(at) <= ended_at]
        return within[-1] - within[0] if within else 0.0

    yield used_s
    process.kill()
    process.wait()


class TestExecutor:
    def test_it_has_a_node_with_cpus_and_a_name(self, executor):
        (node,) = executor.nodes()
        assert node.id
        assert node.host
        assert node.cpus >= 1

    def test_its_nodes_answer_a_call_or_say_why_not(self, executor):
        (node,) = executor.nodes()
        (answer,) = executor.ask_nodes({node: partial(pow, 2, 10)}, timeout_s=PATIENCE)
        assert (answer.node, answer.value, answer.problem) == (node, 1024, None)
        assert answer.sent_s <= answer.received_s
        (answer,) = executor.ask_nodes({node: partial(int, "no number")}, timeout_s=PATIENCE)
        assert answer.value is None
        assert "no number" in answer.problem

    def test_who_gives_up_waits_for_no_node(self, executor):
        (node,) = executor.nodes()
        call = partial(time.sleep, 5.0)
        (answer,) = executor.ask_nodes({node: call}, timeout_s=PATIENCE, given_up=lambda: True)
        assert answer.value is None
        assert answer.problem

    def test_an_attempt_ends_once_with_its_events_in_order(self, attempts):
        (events,) = attempts.until_ended(attempts.submit())
        kinds = [type(event) for event in events]
        assert kinds == [PhaseStarted] * 4 + [LevelMeasured] * 2 + [AttemptEnded]
        assert [e.phase for e in events[:4]] == list(Phase)[:4]
        assert [e.result.level.concurrency for e in events[4:6]] == [1, 2]
        assert events[-1].outcome == Completed()

    def test_a_level_tells_what_others_used_of_the_nodes_cpus(
        self, attempts, make_workload, stranger
    ):
        """At least what a stranger did meanwhile by its own count; others may do more."""
        timed = make_workload(concurrency=(1,), requests=None, seconds=2.0)
        (events,) = attempts.until_ended(attempts.submit(workloads=(timed,)))
        row = next(e.result.summary for e in events if isinstance(e, LevelMeasured))
        assert row["foreign_cpus_unknown"] is None
        assert row["own_cpus"] > 0
        begun_at = row["started_at"].timestamp()
        used_s = stranger(begun_at, begun_at + row["duration_s"])
        # The machine counts by ticks, and neither end is the same moment for both.
        assert row["foreign_cpus"] * row["duration_s"] >= 0.75 * used_s - 0.2

    def test_nothing_follows_the_end(self, attempts):
        attempts.until_ended(attempts.submit())
        assert list(attempts.executor.poll(0.2)) == []

    def test_rows_facts_and_logs_survive_the_way(self, attempts):
        (events,) = attempts.until_ended(attempts.submit())
        result = events[4].result
        counts = [result.summary[name] for name in ("requests", "requests_cut")]
        assert result.requests.num_rows == sum(counts)
        assert result.requests.column("status").num_chunks == 1
        assert events[-1].facts["engine_version"]
        assert "ready on" in events[-1].logs["server.log"]

    def test_a_failing_attempt_ends_with_its_failure(self, attempts):
        (events,) = attempts.until_ended(attempts.submit(flags={"fault-oom-at-start": True}))
        assert isinstance(events[-1].outcome, Failed)
        assert events[-1].outcome.kind is FailureKind.OUT_OF_MEMORY_AT_LOAD

    def test_several_attempts_each_end_once(self, attempts):
        ids = [attempts.submit(flags={"seed": seed}) for seed in (1, 2)]
        for events in attempts.until_ended(*ids):
            last = [e for e in events if isinstance(e, AttemptEnded | AttemptLost)]
            assert last == [events[-1]]
            assert [e.phase for e in events if isinstance(e, PhaseStarted)] == list(Phase)[:4]

    def test_levels_arrive_before_the_end_of_the_attempt(self, attempts, make_workload, endless):
        first = make_workload("first", concurrency=(1,))
        attempt_id = attempts.submit(workloads=(first, *endless["workloads"]))
        # The second workload has no end: what arrives has not waited for it.
        attempts.read(
            lambda: any(isinstance(e, LevelMeasured) for e in attempts.events[attempt_id])
        )
        assert not attempts.ended(attempt_id)

    def test_a_stopped_attempt_ends_as_cancelled_with_the_reason(self, attempts, endless):
        attempt_id = attempts.submit(**endless)
        attempts.until_phase(attempt_id, Phase.LOAD)
        attempts.executor.stop(attempt_id, "enough")
        (events,) = attempts.until_ended(attempt_id)
        assert events[-1].outcome == Cancelled("enough")
        assert events[-1].logs

    def test_an_attempt_can_be_stopped_as_soon_as_it_is_submitted(self, attempts, endless):
        attempt_id = attempts.submit(**endless)
        attempts.executor.stop(attempt_id, "enough")
        (events,) = attempts.until_ended(attempt_id)
        assert events[-1].outcome == Cancelled("enough")

    def test_an_attempt_that_was_stopped_can_be_submitted_again(self, attempts, make_order):
        order = make_order(flags={"fault-slow-start-s": 1.0})
        attempts.executor.stop(attempts.submit(order), "enough")
        attempts.until_ended(order.attempt.id)
        (events,) = attempts.until_ended(attempts.submit(order))
        assert events[-1].outcome == Completed()

    def test_a_killed_attempt_is_lost_and_leaves_no_process(
        self, attempts, endless, find_processes, wait_until
    ):
        attempt_id = attempts.submit(**endless)
        attempts.until_phase(attempt_id, Phase.LOAD)
        assert find_processes(attempt_id)
        attempts.executor.kill(attempt_id)
        attempts.executor.kill(attempt_id)
        (events,) = attempts.until_ended(attempt_id)
        assert isinstance(events[-1], AttemptLost)
        assert events[-1].kind is FailureKind.ACTOR_LOST
        assert list(attempts.executor.poll(0.2)) == []
        assert wait_until(lambda: not find_processes(attempt_id))

    def test_an_attempt_that_has_ended_cannot_be_stopped_or_killed(self, attempts):
        attempt_id = attempts.submit()
        attempts.until_ended(attempt_id)
        attempts.executor.stop(attempt_id, "too late")
        attempts.executor.kill(attempt_id)
        assert list(attempts.executor.poll(0.2)) == []

    def test_with_nothing_to_tell_a_poll_comes_back_empty(self, executor):
        assert list(executor.poll(0.0)) == []

    def test_a_bug_on_the_node_loses_the_attempt_and_says_so(self, attempts):
        attempt_id = attempts.submit(launcher="no such launcher")
        (events,) = attempts.until_ended(attempt_id)
        outcome = events[-1].outcome
        assert outcome.kind is FailureKind.INTERNAL_ERROR
        assert "no such launcher" in outcome.message

"""Attempts in threads whose devices keep a fault; what all executors share is in the contract."""

import tempfile
import threading
from dataclasses import dataclass, field, replace

import pytest

from autotuner.engines.sim_devices import SIM_GPUS_VARIABLE, make_devices
from autotuner.execution.base import AttemptLost, Slot
from autotuner.execution.local import LocalExecutor
from autotuner.node import devices
from autotuner.node.events import AttemptEnded, SlotCleared
from autotuner.spec.experiment import Completed, Failed, FailureKind
from autotuner.spec.study import Resources

POLLS = 240


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(devices, "_POLL_S", 0.01)
    monkeypatch.setattr(devices, "_RECHECK_S", 0.02)


@pytest.fixture
def stuck(tmp_path, monkeypatch):
    """Memory of device 0 that nobody answers for: it is there for as long as the file is."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    make_devices(tmp_path / "devices", 1)
    monkeypatch.setenv(SIM_GPUS_VARIABLE, str(tmp_path / "devices"))
    file = tmp_path / "devices" / "0" / "stuck"
    file.write_text(str(20 * 2**30))
    return file


@dataclass
class Submitted:
    """An attempt on one device, and what was told of it."""

    executor: LocalExecutor
    order: object
    events: list = field(default_factory=list)

    def __post_init__(self):
        (node,) = self.executor.nodes()
        self.executor.submit(self.order, Slot(node, 1, 1))

    @property
    def id(self):
        return self.order.attempt.id

    @property
    def threads(self):
        return [thread for thread in threading.enumerate() if thread.name == self.id]

    def read(self, kind):
        for _ in range(POLLS):
            if self.events and isinstance(self.events[-1], kind):
                return self.events[-1]
            self.events += [event for _, event in self.executor.poll(0.5)]
        return pytest.fail(f"waited in vain for {kind.__name__}: {self.events}")


@pytest.fixture
def held(stuck, make_order):
    """An attempt that has ended on a device that is not free."""
    with LocalExecutor(gpus=1) as executor:
        order = make_order(gpus=1)
        submitted = Submitted(
            executor, replace(order, timeouts=replace(order.timeouts, device_s=0.0))
        )
        submitted.read(AttemptEnded)
        yield submitted
    assert submitted.threads == []


def test_an_attempt_whose_devices_have_a_fault_ends_and_keeps_its_thread(held):
    ended = held.events[-1]
    assert isinstance(ended.outcome, Failed)
    assert ended.outcome.kind is FailureKind.DIRTY_GPU
    assert ended.slot_fault is not None
    assert list(held.executor.poll(0.2)) == []
    assert len(held.threads) == 1


def test_it_says_once_that_they_are_free_and_its_thread_is_over(held, stuck, wait_until):
    stuck.unlink()
    held.read(SlotCleared)
    assert wait_until(lambda: held.threads == [])
    assert list(held.executor.poll(0.0)) == []


def test_to_kill_it_loses_no_attempt_and_frees_the_slot(held, stuck, wait_until):
    held.executor.kill(held.id)
    held.executor.kill(held.id)
    assert wait_until(lambda: held.threads == [])
    stuck.unlink()
    assert list(held.executor.poll(0.2)) == []


def test_to_kill_it_afterwards_is_to_do_nothing(held, stuck):
    stuck.unlink()
    held.read(SlotCleared)
    held.executor.kill(held.id)
    assert list(held.executor.poll(0.0)) == []


def test_the_end_of_the_executor_is_its_end_too(held):
    held.executor.close()
    assert held.threads == []


def test_an_attempt_that_is_killed_while_it_waits_for_devices_is_lost(stuck, make_order):
    with LocalExecutor(gpus=1) as executor:
        order = make_order(gpus=1)
        patient = replace(order, timeouts=replace(order.timeouts, device_s=3600.0))
        submitted = Submitted(executor, patient)
        executor.kill(submitted.id)
        assert submitted.read(AttemptLost).kind is FailureKind.ACTOR_LOST
    assert list(executor.poll(0.0)) == []


def test_another_attempt_may_follow_on_the_same_slot(held, stuck, make_order):
    stuck.unlink()
    held.read(SlotCleared)
    following = Submitted(held.executor, make_order(gpus=1))
    assert following.read(AttemptEnded).slot_fault is None


class TestAskNodes:
    @pytest.fixture
    def local(self):
        with LocalExecutor(cpus=1) as executor:
            yield executor

    def ask(self, local, call, *, timeout_s=3600.0, **options):
        (node,) = local.nodes()
        (answer,) = local.ask_nodes({node: call}, timeout_s=timeout_s, **options)
        assert answer.node is node
        assert answer.sent_s <= answer.received_s
        return answer

    def test_a_call_answers_with_its_value(self, local):
        answer = self.ask(local, lambda: 7)
        assert (answer.value, answer.problem) == (7, None)

    def test_a_call_that_raises_has_a_problem(self, local):
        answer = self.ask(local, lambda: {}["no such thing"])
        assert (answer.value, answer.problem) == (None, "KeyError: 'no such thing'")

    @pytest.mark.parametrize("limit", [{"timeout_s": 0.2}, {"given_up": lambda: True}])
    def test_what_does_not_answer_is_given_up(self, local, limit):
        ends = threading.Event()
        answer = self.ask(local, ends.wait, **limit)
        ends.set()
        assert answer.value is None
        assert answer.problem.startswith("no answer within")


def test_a_node_here_has_the_quotas_it_is_given():
    with LocalExecutor(quotas={"pods": 3}) as executor:
        (node,) = executor.nodes()
    assert node.quotas == {"pods": 3}


def test_a_server_that_spans_nodes_has_its_ranks_here_on_devices_of_their_own(make_order):
    with LocalExecutor(gpus=2, nodes=2) as executor:
        first, second = executor.nodes()
        assert first.id != second.id
        order = make_order(resources=Resources(gpus=4, gpus_per_node=2))
        executor.submit(order, Slot(first, 2, 1, others=(second,)))
        ended = None
        for _ in range(POLLS):
            for _, event in executor.poll(0.5):
                ended = event if isinstance(event, AttemptEnded) else ended
            if ended is not None:
                break
    assert ended.outcome == Completed()
    assert ended.facts["gpu_ids"] == ["0", "1"]
    assert "server-rank1.log" in ended.logs

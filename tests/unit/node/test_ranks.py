"""Attempts whose server has two ranks, the second one in this process as well."""

import tempfile
import threading
from dataclasses import replace

import pytest

from autotuner.node import devices, ranks, spanning
from autotuner.node.events import AttemptEnded, LevelMeasured, PhaseStarted, SlotCleared
from autotuner.node.experiment import run_attempt
from autotuner.node.rank import RankHost, RankReady
from autotuner.node.spanning import Peer, PeerLostError, Span
from autotuner.spec.experiment import Cancelled, Completed, FailureKind, Phase
from autotuner.spec.study import Resources
from autotuner.supervision.lease import lease_root

HERE = "127.0.0.1"
WIDE = Resources(gpus=2, gpus_per_node=1)


class Neighbour(Peer):
    """A rank in this process."""

    host = "node2"

    def __init__(self):
        self.rank = RankHost(HERE, ())

    def prepare(self, order, *, timeout_s):
        return replace(self.rank.prepare(order), host=self.host)

    def start(self, rank, *, timeout_s):
        return self.rank.start(rank)

    def version(self, *, timeout_s):
        return self.rank.version()

    def state(self, *, timeout_s):
        return self.rank.state()

    def log_tail(self, *, timeout_s):
        return self.rank.log_tail()

    def stop(self, *, hurry, timeout_s):
        self.rank.stop(hurry=hurry)

    def finish(self, *, hurry, completed, timeout_s):
        return self.rank.finish(hurry=hurry, completed=completed)

    def is_free(self, *, timeout_s):
        return self.rank.is_free()

    def silent(self):
        return PeerLostError(FailureKind.NODE_LOST, "it cannot be reached")


@pytest.fixture(autouse=True)
def impatient(monkeypatch, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setattr(devices, "_POLL_S", 0.01)
    monkeypatch.setattr(ranks, "_LOOK_S", 0.01)
    monkeypatch.setattr(ranks, "_RECHECK_S", 0.02)
    monkeypatch.setattr(spanning, "_LOOK_S", 0.05)
    monkeypatch.setattr(spanning, "_SETTLE_S", 0.5)


@pytest.fixture
def carry_out(make_order):
    """Run an attempt of two ranks to its end, and return its events."""

    def to_the_end(peer=None, *, on_event=lambda event: None, should_stop=lambda: None, **changes):
        order = make_order(**{"resources": WIDE, **changes})
        events = []
        span = Span(HERE, (peer or Neighbour(),))
        for event in run_attempt(order, should_stop=should_stop, span=span):
            events.append(event)
            on_event(event)
        assert not list(lease_root().glob(f"{order.attempt.mark}-*"))
        return events

    return to_the_end


def ended(events):
    (last,) = [event for event in events if isinstance(event, AttemptEnded)]
    return last


def test_a_server_of_two_ranks_is_measured_and_both_logs_are_kept(carry_out):
    events = carry_out()
    end = ended(events)
    assert end.outcome == Completed()
    assert sum(isinstance(event, LevelMeasured) for event in events) == 2
    assert end.facts["hosts"][1] == "node2"
    assert "--node-rank 0" in end.facts["command"]
    assert "rank 1 has joined" in end.logs["server.log"]
    assert "has joined" in end.logs["server-rank1.log"]
    assert end.blamed_rank == 0


def test_a_rank_that_crashes_under_load_ends_all_and_is_named_first(carry_out, find_processes):
    names = []
    events = carry_out(
        flags={"fault-crash-after-requests": 3, "fault-rank": 1},
        on_event=lambda event: names.append(event),
    )
    end = ended(events)
    assert end.outcome.kind is FailureKind.SERVER_CRASHED
    assert end.outcome.message.startswith("rank 1 on node2 ended by itself (exit status 139)")
    assert "rank 1 is gone" in end.outcome.evidence
    assert end.blamed_rank == 1


def test_why_a_rank_could_not_start_is_read_from_its_own_log(carry_out):
    end = ended(carry_out(flags={"fault-oom-at-start": True, "fault-rank": 1}))
    assert end.outcome.kind is FailureKind.OUT_OF_MEMORY_AT_LOAD
    assert "rank 1 on node2" in end.outcome.message
    assert "CUDA out of memory" in end.outcome.evidence


def test_a_crash_of_rank_0_blames_no_other(carry_out):
    end = ended(carry_out(flags={"fault-crash-after-requests": 3}))
    assert end.outcome.kind is FailureKind.SERVER_CRASHED
    assert end.outcome.message.startswith("rank 0 on ")
    assert end.blamed_rank == 0


class Lost(Neighbour):
    """Its node leaves as soon as the load has begun."""

    def __init__(self):
        super().__init__()
        self.gone = False

    def state(self, *, timeout_s):
        if self.gone:
            raise self.silent()
        return super().state(timeout_s=timeout_s)


def test_the_loss_of_a_rank_s_node_is_the_attempt_s_and_names_the_node(carry_out, make_workload):
    peer = Lost()

    def leave(event):
        peer.gone = peer.gone or event == PhaseStarted(Phase.LOAD)

    endless = (make_workload(concurrency=(1,), requests=None),)
    end = ended(carry_out(peer, workloads=endless, on_event=leave))
    assert end.outcome.kind is FailureKind.NODE_LOST
    assert end.outcome.message == "rank 1 on node2 is gone: it cannot be reached"
    assert end.blamed_rank == 1


class Mute(Neighbour):
    """Answers no question about its state, though its node lives."""

    def state(self, *, timeout_s):
        raise TimeoutError


def test_a_rank_that_is_silent_for_too_long_is_lost(carry_out, make_workload, monkeypatch):
    monkeypatch.setattr(spanning, "_SILENT_S", 0.3)
    endless = (make_workload(concurrency=(1,), requests=None),)
    end = ended(carry_out(Mute(), workloads=endless))
    assert end.outcome.kind is FailureKind.NODE_LOST


class Occupied(Neighbour):
    """Somebody else's memory is on its devices for the first looks."""

    looks = 0

    def prepare(self, order, *, timeout_s):
        return RankReady(self.host, slot_fault="device 3 holds 20.0 GiB")

    def is_free(self, *, timeout_s):
        self.looks += 1
        return self.looks > 2


def test_devices_of_any_rank_that_are_not_free_hold_the_whole_slot_until_they_are(carry_out):
    peer = Occupied()
    events = carry_out(peer)
    end = ended(events)
    assert end.outcome.kind is FailureKind.DIRTY_GPU
    assert end.slot_fault == "rank 1 on node2: device 3 holds 20.0 GiB"
    assert end.blamed_rank == 1
    assert events[-1] == SlotCleared()
    assert peer.looks == 3
    assert PhaseStarted(Phase.SERVER_START) not in events


def test_a_slot_with_a_fault_can_be_given_up(carry_out):
    events = []

    class Stuck(Occupied):
        def is_free(self, *, timeout_s):
            return False

    def should_stop():
        return "enough" if any(isinstance(event, AttemptEnded) for event in events) else None

    told = carry_out(Stuck(), on_event=events.append, should_stop=should_stop)
    assert isinstance(told[-1], AttemptEnded)


@pytest.mark.parametrize("call", ["prepare", "start"])
def test_what_cannot_be_started_on_a_rank_s_node_is_a_failure_there(carry_out, call):
    class Broken(Neighbour):
        def prepare(self, order, *, timeout_s):
            ready = super().prepare(order, timeout_s=timeout_s)
            return replace(ready, problem="no room") if call == "prepare" else ready

        def start(self, rank, *, timeout_s):
            return "no room" if call == "start" else super().start(rank, timeout_s=timeout_s)

    end = ended(carry_out(Broken()))
    assert end.outcome.kind is FailureKind.LAUNCH_FAILED
    assert end.outcome.message == "rank 1 on node2: no room"
    assert end.blamed_rank == 1


def test_ranks_of_different_engine_versions_are_not_measured(carry_out):
    class Older(Neighbour):
        def version(self, *, timeout_s):
            return "0.0.1"

    end = ended(carry_out(Older()))
    assert end.outcome.kind is FailureKind.LAUNCH_FAILED
    assert "rank 1 on node2: it has version 0.0.1 of the engine" in end.outcome.message


def test_an_attempt_is_cancelled_also_while_a_rank_waits_for_its_devices(carry_out):
    class Waiting(Neighbour):
        def __init__(self):
            super().__init__()
            self.released = threading.Event()

        def prepare(self, order, *, timeout_s):
            self.released.wait()
            return RankReady(self.host)

        def stop(self, *, hurry, timeout_s):
            assert hurry
            self.released.set()

    end = ended(carry_out(Waiting(), should_stop=lambda: "enough"))
    assert end.outcome == Cancelled("enough")


def test_an_address_that_is_not_the_node_s_own_is_explained(make_order):
    order = make_order(resources=WIDE)
    end = ended(run_attempt(order, span=Span("192.0.2.77", (Neighbour(),))))
    assert end.outcome.kind is FailureKind.LAUNCH_FAILED
    assert "192.0.2.77 is no address of this node" in end.outcome.message


@pytest.mark.parametrize(("resources", "peers"), [(WIDE, 0), (Resources(gpus=0), 1)])
def test_a_server_never_starts_on_more_or_fewer_nodes_than_planned(make_order, resources, peers):
    """One of two ranks alone would be measured as if it were the whole."""
    order = make_order(resources=resources)
    span = Span(HERE, (Neighbour(),)) if peers else None
    end = ended(run_attempt(order, span=span))
    assert end.outcome.kind is FailureKind.INTERNAL_ERROR
    assert not end.logs

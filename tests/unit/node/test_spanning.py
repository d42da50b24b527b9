"""One end for all ranks, told by what each of them says."""

import time
from dataclasses import dataclass

import pytest

from autotuner.launchers.base import Server
from autotuner.node import spanning
from autotuner.node.rank import RankState
from autotuner.node.spanning import PeerLostError, SpanningServer, Watched
from autotuner.spec.experiment import FailureKind
from autotuner.supervision.process import ProcessExit


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(spanning, "_LOOK_S", 0.01)
    monkeypatch.setattr(spanning, "_SETTLE_S", 0.1)
    monkeypatch.setattr(spanning, "_SILENT_S", 0.2)


def ended(status, ago_s=0.0):
    return ProcessExit(status, "exited", ended_at=time.time() - ago_s)


class Own(Server):
    """Rank 0's, which lives until it is told otherwise."""

    url = "http://127.0.0.1:1"
    pid = 7
    exit = None
    stopped = False

    def log_tail(self, max_bytes=64_000):
        return "log of rank 0\n"

    def stop(self, *, hurry=False):
        self.stopped = True
        return ProcessExit(0, "stopped")


@dataclass
class Other:
    """A peer as far as it is watched."""

    host: str
    says: object = None
    """Its state, or what is raised instead."""

    def state(self, *, timeout_s):
        says = self.says or RankState(None)
        if isinstance(says, Exception):
            raise says
        return says

    def log_tail(self, *, timeout_s):
        return f"log of {self.host}\n"

    def silent(self):
        return PeerLostError(FailureKind.NODE_LOST, "it cannot be reached")


@dataclass
class Ranks:
    own: Own
    others: list
    server: SpanningServer
    hurried: list


@pytest.fixture
def ranks():
    own, hurried = Own(), []
    others = [Other("node2"), Other("node3")]
    watched = [Watched(number, other) for number, other in enumerate(others, start=1)]
    server = SpanningServer(own, "node1", watched, end_ranks=hurried.append)
    yield Ranks(own, others, server, hurried)
    server.stop()


def test_while_all_live_nothing_is_wrong(ranks):
    assert ranks.server.exit is None
    assert ranks.server.fault is None
    assert ranks.server.url == ranks.own.url
    assert ranks.server.pid == 7


def test_the_end_of_any_rank_is_the_end_though_rank_0_still_runs(ranks, wait_until):
    ranks.others[1].says = RankState(ended(139))
    assert wait_until(lambda: ranks.server.exit is not None)
    assert ranks.server.exit.returncode == 139
    fault = ranks.server.fault
    assert fault.kind is FailureKind.SERVER_CRASHED
    assert fault.message == "rank 2 on node3 ended by itself (exit status 139)"
    assert ranks.server.blamed == 2


def test_of_several_the_first_is_named_first_and_its_log_is_last(ranks, wait_until):
    ranks.others[0].says = RankState(ended(1), ended_s_ago=1.0)
    ranks.others[1].says = RankState(ended(-11), ended_s_ago=2.0)
    ranks.own.exit = ended(1)
    first, second, third = ranks.server.fault.message.split("; then ")
    assert first == "rank 2 on node3 ended by itself (killed by signal 11)"
    assert second == "rank 0 on node1 ended by itself (exit status 1)"
    assert third.startswith("rank 1 on node2 ended")
    log = ranks.server.log_tail()
    assert log.index("rank 0") < log.index("node2") < log.index("log of node3")
    assert ranks.server.blamed == 2


def test_rank_0_that_ended_first_takes_the_blame(ranks):
    ranks.own.exit = ended(1, ago_s=60.0)
    ranks.others[0].says = RankState(ended(1), ended_s_ago=1.0)
    assert ranks.server.fault.message.startswith("rank 0 on node1 ended")
    assert ranks.server.log_tail().endswith("log of rank 0\n")
    assert ranks.server.blamed == 0


def test_rank_0_is_named_also_where_no_other_has_ended_yet(ranks):
    """Whether the others' ends are seen in time must not decide what is said of the first."""
    ranks.own.exit = ended(1)
    assert ranks.server.fault.message == "rank 0 on node1 ended by itself (exit status 1)"
    assert ranks.server.fault.kind is FailureKind.SERVER_CRASHED
    assert ranks.server.exit.returncode == 1
    assert ranks.server.blamed == 0


def test_rank_0_is_heard_before_another_that_ended_after_it_is_blamed(ranks, wait_until):
    """Its tree may be cleared for longer than another's, which is why it is told of later."""

    class Clearing(Own):
        asked = 0

        @property
        def exit(self):
            Clearing.asked += 1
            return ended(139, ago_s=60.0) if Clearing.asked > 4 else None

    ranks.server._own = Clearing()
    ranks.others[0].says = RankState(ended(1), ended_s_ago=1.0)
    assert wait_until(lambda: ranks.server._ended)
    first, _ = ranks.server.fault.message.split("; then ")
    assert first == "rank 0 on node1 ended by itself (exit status 139)"
    assert ranks.server.blamed == 0


def test_a_lost_node_is_the_cause_however_late_it_is_noticed(ranks):
    """Rank 0 ends at once where a connection breaks; the cluster misses the node much later."""
    ranks.own.exit = ended(1, ago_s=30.0)
    ranks.others[0].says = PeerLostError(FailureKind.NODE_LOST, "gone")
    ranks.others[1].says = RankState(ended(1), ended_s_ago=20.0)
    assert ranks.server.fault.kind is FailureKind.NODE_LOST
    assert ranks.server.fault.message.startswith("rank 1 on node2 is gone: gone; then rank 0")
    assert ranks.server.blamed == 1


def test_a_rank_that_stays_silent_is_lost(ranks, wait_until):
    ranks.others[0].says = TimeoutError()
    assert wait_until(lambda: ranks.server.exit is not None)
    assert ranks.server.fault.kind is FailureKind.NODE_LOST
    assert str(ranks.server.exit) == "a node of it was lost"


def test_without_an_end_the_logs_of_all_ranks_are_read(ranks):
    """Of a server that does not become ready, each rank may know why."""
    log = ranks.server.log_tail()
    assert all(f"log of {who}" in log for who in ("rank 0", "node2", "node3"))


@pytest.mark.parametrize("hurry", [True, False])
def test_to_stop_it_ends_all_ranks_and_what_they_then_say_is_no_fault(ranks, hurry):
    assert ranks.server.stop(hurry=hurry) == ProcessExit(0, "stopped")
    assert ranks.own.stopped
    assert ranks.hurried == [hurry]
    ranks.others[0].says = RankState(ended(1))
    assert ranks.server.exit == ProcessExit(0, "stopped")

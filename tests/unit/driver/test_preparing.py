"""Before a study starts: nodes that are ready, nodes that are not, and what is said of them."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import ClassVar

import pytest

from autotuner.driver.preparing import prepare_nodes
from autotuner.driver.progress import (
    NodeNotReady,
    NodesPrepared,
    NodesPreparing,
    StudyEnded,
    StudyStarted,
)
from autotuner.errors import ClusterError
from autotuner.execution.base import Node, NodeAnswer
from autotuner.execution.local import LocalExecutor
from autotuner.launchers import registry
from autotuner.launchers.base import Launcher, Readiness
from autotuner.launchers.process import ProcessLauncher
from autotuner.planning import plan
from autotuner.study import run

SEQS = "max-num-seqs"
WELL = Readiness("daemon", "answers")
DEAD = Readiness("daemon", "no answer", "Start it.")
OLD = Readiness("daemon", "version 1", "Upgrade it.", blocks=False)


class Asked(ProcessLauncher):
    """A launcher of processes that is asked for more than a process needs."""

    found: tuple[Readiness, ...] | Exception = (WELL,)
    checks: ClassVar[list] = []

    def check(self, server, footprint, *, fetch=False):
        type(self).checks.append((server, footprint, fetch))
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture
def launcher(monkeypatch):
    """Stands behind the name of a real one, in whose place it starts processes."""
    monkeypatch.setattr(Asked, "checks", [])
    monkeypatch.setattr(Asked, "found", (WELL,))
    module = ModuleType("stand_in_launcher")
    module.Asked = Asked
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(registry._LAUNCHERS, "docker", f"{module.__name__}:Asked")
    return Asked


@dataclass
class Nodes:
    """Answers for nodes as it is told to."""

    cluster: tuple[Node, ...]
    found: dict[str, tuple[Readiness, ...]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    calls: list = field(default_factory=list)

    def nodes(self):
        return self.cluster

    def ask_nodes(self, calls, *, timeout_s, given_up):
        assert timeout_s >= 3600
        self.calls = list(calls.values())
        self.asked += [node.id for node in calls]
        answers = ((node, self.found.get(node.id, (WELL,))) for node in calls)
        return tuple(
            NodeAnswer(node, found, None if found is not None else "it has left", 0.0, 1.0)
            for node, found in answers
        )


def node(name, gpus=0, **quotas):
    return Node(name, f"host-{name}", gpus, 8, quotas=quotas)


def prepared(planned, executor, **options):
    told = []
    prepare_nodes(planned, executor, told.append, **options)
    return told


@pytest.fixture
def planned(make_spec):
    return plan(make_spec({SEQS: [4, 8]}, launcher="docker", executable=sys.executable))


def of_widths(planned, widths, quota=None):
    experiments = tuple(
        replace(one, footprint=replace(one.footprint, gpus_per_node=width, quota=quota))
        for one, width in zip(planned.experiments, widths, strict=True)
    )
    return replace(planned, experiments=experiments)


def test_a_launcher_of_processes_is_not_asked(make_spec):
    nodes = Nodes((node("a"),))
    assert prepared(plan(make_spec()), nodes) == []
    assert nodes.asked == []


def test_every_node_is_asked_to_bring_what_takes_long(planned, launcher):
    told = prepared(planned, LocalExecutor(cpus=1))
    (host,) = told[0].hosts
    assert told[0] == NodesPreparing("docker", (host,))
    assert [type(event) for event in told] == [NodesPreparing, NodesPrepared]
    assert told[1].hosts == (host,)
    ((server, _, fetch),) = launcher.checks
    assert server.launcher == "docker"
    assert fetch


def test_a_node_is_asked_for_the_widest_server_that_it_holds(planned):
    nodes = Nodes((node("a", 2), node("b", 4), node("c", 1)))
    prepared(of_widths(planned, [2, 4]), nodes)
    assert nodes.asked == ["a", "b"]
    assert [call.args[1].gpus for call in nodes.calls] == [2, 4]


def test_of_nodes_with_a_quota_one_is_asked_for_the_widest(planned):
    nodes = Nodes((node("gpus", 8), node("a", pods=2), node("b", pods=4), node("c", pods=4)))
    prepared(of_widths(planned, [2, 4], "pods"), nodes)
    assert nodes.asked == ["b"]
    assert [call.args[1].gpus for call in nodes.calls] == [4]


def test_where_nothing_fits_nobody_is_asked_and_the_driver_says_so(planned):
    nodes = Nodes((node("a"),))
    assert prepared(of_widths(planned, [2, 4]), nodes) == []


def test_a_node_that_is_not_ready_is_told_with_its_reasons_where_another_is(planned):
    nodes = Nodes((node("a"), node("b")), {"a": (WELL, DEAD)})
    told = prepared(planned, nodes)
    assert told[1] == NodeNotReady("host-a", ("daemon, no answer: Start it.",))
    assert told[2].hosts == ("host-b",)


def test_a_warning_is_told_once_and_keeps_no_node_from_being_ready(planned):
    nodes = Nodes((node("a"), node("b")), {"a": (OLD,), "b": (OLD,)})
    *_, last = prepared(planned, nodes)
    assert last.hosts == ("host-a", "host-b")
    assert last.warnings == ("daemon, version 1: Upgrade it.",)


def test_with_no_node_ready_nodes_of_the_same_reason_share_it(planned):
    found = {"a": (DEAD,), "b": None, "c": (DEAD, OLD)}
    with pytest.raises(ClusterError) as refused:
        prepared(planned, Nodes((node("a"), node("b"), node("c")), found))
    assert str(refused.value) == (
        "no node can start servers with the launcher docker:\n"
        "  host-a, host-c:\n"
        "    daemon, no answer: Start it.\n"
        "  host-b:\n"
        "    no answer: it has left"
    )


def test_who_gives_up_hears_no_more(planned):
    told = prepared(planned, Nodes((node("a"),), {"a": (DEAD,)}), given_up=lambda: True)
    assert [type(event) for event in told] == [NodesPreparing]


class TestStudy:
    """What `run` makes of it."""

    def test_a_study_of_which_no_node_is_ready_starts_nothing(self, planned, launcher):
        launcher.found = (DEAD,)
        told = []
        with LocalExecutor(cpus=1) as local, pytest.raises(ClusterError, match="Start it"):
            run(planned, executor=local, on_event=told.append)
        assert [type(event) for event in told] == [NodesPreparing]

    def test_a_launcher_with_a_bug_is_a_node_that_is_not_ready(self, planned, launcher):
        launcher.found = ValueError("of a bug")
        with LocalExecutor(cpus=1) as local, pytest.raises(ClusterError) as refused:
            run(planned, executor=local)
        assert "no answer: ValueError: of a bug" in str(refused.value)

    def test_a_study_runs_once_its_node_is_ready_and_asks_no_more_when_all_is_done(
        self, planned, launcher
    ):
        told, again = [], []
        with LocalExecutor(cpus=2) as local:
            results = run(planned, executor=local, on_event=told.append)
            run(planned, executor=local, on_event=again.append)
        assert list(results.experiments["outcome"]) == ["completed"] * 2
        kinds = [type(event) for event in told]
        assert kinds[:3] == [NodesPreparing, NodesPrepared, StudyStarted]
        assert [type(event) for event in again] == [StudyStarted, StudyEnded]

    def test_an_interrupt_while_nodes_prepare_ends_the_study(self, planned, launcher, monkeypatch):
        interrupt, ends = threading.Event(), threading.Event()
        told = []

        def endless(self, server, footprint, *, fetch=False):
            interrupt.set()
            ends.wait()
            return ()

        monkeypatch.setattr(launcher, "check", endless)
        started = time.monotonic()
        with LocalExecutor(cpus=1) as local:
            run(planned, executor=local, on_event=told.append, interrupt=interrupt)
        ends.set()
        assert told[-1] == StudyEnded(interrupted=True)
        assert time.monotonic() - started < 3600


def test_the_stand_in_is_a_launcher(launcher):
    assert isinstance(registry.load_launcher("docker"), Launcher)

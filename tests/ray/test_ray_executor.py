"""What only holds of Ray: processes that die, names that a person reads, clusters elsewhere."""

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest
import ray
from ray.exceptions import RayError

from autotuner.errors import ClusterError
from autotuner.execution.base import AttemptLost, Slot
from autotuner.execution.on_ray import RayExecutor
from autotuner.execution.ray_actor import ExperimentActor
from autotuner.execution.ray_nodes import told
from autotuner.node.events import AttemptEnded, LevelMeasured, PhaseStarted
from autotuner.spec.experiment import Cancelled, Completed, FailureKind, Phase, Timeouts
from autotuner.supervision.lease import lease_root

pytestmark = pytest.mark.ray

PATIENCE_S = 120.0


@pytest.fixture
def submit(ray_executor, make_order):
    """Submit an attempt to the one node and read its events until a condition holds."""
    orders = []

    def start(*, until, **changes):
        order = make_order(**changes)
        orders.append(order)
        ray_executor.submit(order, Slot(ray_executor.nodes()[0], 0, 1))
        return order, read(until)

    def read(until):
        events = []
        deadline = time.monotonic() + PATIENCE_S
        while not until(events):
            assert time.monotonic() < deadline, events
            events += [event for _, event in ray_executor.poll(0.5)]
        return events

    start.read = read
    yield start
    for order in orders:
        ray_executor.kill(order.attempt.id)
    ray_executor.poll(0.0)


def measured(events):
    return any(isinstance(event, LevelMeasured) for event in events)


def over(events):
    return any(isinstance(event, AttemptEnded | AttemptLost) for event in events)


def under_load(events):
    return PhaseStarted(Phase.LOAD) in events


@pytest.fixture
def endless(make_workload):
    """A level that is measured, and one that does not end."""
    return (
        make_workload("first", concurrency=(1,)),
        make_workload("second", concurrency=(1,), requests=None, seconds=3600.0),
    )


def actor_above(process):
    """The Ray worker that a server's process descends from."""
    (actor,) = [parent for parent in process.parents() if parent.name().startswith("ray::")]
    return actor


def test_a_killed_actor_costs_neither_its_levels_nor_its_node(
    submit, find_processes, endless, wait_until
):
    order, events = submit(until=measured, workloads=endless)
    servers = find_processes(order.attempt.served_name)
    os.kill(actor_above(servers[0]).pid, signal.SIGKILL)
    events += submit.read(over)
    assert [type(e) for e in events] == [PhaseStarted] * 4 + [LevelMeasured, AttemptLost]
    assert events[4].result.status == "ok"
    assert events[5].kind is FailureKind.ACTOR_LOST
    assert wait_until(lambda: not find_processes(order.attempt.served_name))


def test_after_a_lost_actor_the_node_takes_the_next_attempt(submit, find_processes, endless):
    order, _ = submit(until=measured, workloads=endless)
    os.kill(actor_above(find_processes(order.attempt.served_name)[0]).pid, signal.SIGKILL)
    submit.read(over)
    _, events = submit(until=over)
    assert events[-1].outcome == Completed()


def test_an_attempt_that_its_driver_no_longer_renews_ends_by_itself(
    submit, ray_executor, find_processes, endless, wait_until
):
    """As on a node that has lost the cluster: neither side hears of the other."""
    times = Timeouts(lease_s=4.0)
    order, events = submit(until=measured, workloads=endless, timeouts=times)
    actor = actor_above(find_processes(order.attempt.served_name)[0])
    ray_executor._live[order.attempt.id].renewed_at = float("inf")
    events += submit.read(over)
    assert wait_until(lambda: not find_processes(order.attempt.served_name))
    assert events[-1].outcome == Cancelled("the driver has been silent for 4 s (timeouts.lease_s)")
    assert wait_until(lambda: not actor.is_running())


def test_an_attempt_outlives_its_lease_as_long_as_it_is_renewed(submit, make_workload):
    long = make_workload(concurrency=(1,), requests=None, seconds=8.0)
    _, events = submit(until=over, workloads=(long,), timeouts=Timeouts(lease_s=4.0))
    assert events[-1].outcome == Completed()


def test_nothing_is_left_in_the_scratch_folder_of_a_killed_attempt(
    submit, ray_executor, find_processes, endless, wait_until
):
    order, _ = submit(until=measured, workloads=endless)
    folders = lambda: list(lease_root().glob(f"{order.attempt.id}-*"))  # noqa: E731
    assert len(folders()) == 1
    ray_executor.kill(order.attempt.id)
    assert wait_until(lambda: not folders())
    assert not find_processes(order.attempt.served_name)


def test_what_ray_says_of_full_memory_is_told_without_other_users_command_lines():
    said = RayError(
        "1 worker(s) were killed due to the node running low on memory.\n"
        "Top 10 memory users: PID 7 22.0 GB python train.py --token sesame"
    )
    assert told(said) == "Ray ended it, since the memory of its node's host was nearly full"
    assert len(told(RayError("long " * 1000))) < 600


def test_a_person_can_tell_actors_and_their_tasks_apart(submit, find_processes, endless):
    order, _ = submit(until=under_load, workloads=endless, axes={"max-num-seqs": [7]})
    attempt = order.attempt
    label = f"max-num-seqs=7 [{attempt.id}]"
    assert ray.util.list_named_actors() == [f"{attempt.study_id}/{label}"]
    title = actor_above(find_processes(attempt.served_name)[0]).cmdline()[0]
    assert title == f"ray::run {label}"
    assert repr(ExperimentActor(label)) == f"Experiment({label})"


def test_servers_run_at_normal_priority_outside_ray_s_environment(submit):
    _, events = submit(until=over)
    facts = events[-1].facts
    assert facts["nice"] == 0
    assert facts["omp_num_threads"] is None


def test_the_nodes_are_those_that_ray_knows(ray_executor):
    (node,) = ray_executor.nodes()
    (known,) = ray.nodes()
    assert node.id == known["NodeID"]
    assert node.cpus == known["Resources"]["CPU"]


def test_the_handlers_of_signals_stay_the_caller_s(ray_start):
    assert ray_start.handlers_after == ray_start.handlers_before


def test_the_dashboard_is_a_url_and_the_place_of_the_token_but_not_the_token(ray_executor):
    url, _, login = ray_executor.dashboard.partition("; ")
    assert re.fullmatch(r"http://[\w.]+:\d+", url)
    token = Path("~/.ray/auth_token").expanduser()
    if token.exists():
        assert str(token) in login
        assert token.read_text().strip() not in ray_executor.dashboard


def test_the_token_is_looked_for_where_ray_is_told_to(ray_executor, monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    assert ray_executor.dashboard.startswith("http://")
    assert "token" not in ray_executor.dashboard
    (tmp_path / "token").write_text("sesame")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    assert f"the token in {tmp_path / 'token'}" in ray_executor.dashboard
    assert "sesame" not in ray_executor.dashboard


def test_nobody_at_the_address_is_an_error_that_says_what_to_do():
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # bound and not listening: nobody else takes the port
        address = f"127.0.0.1:{unheard.getsockname()[1]}"
        with pytest.raises(ClusterError, match=r"no Ray at .*refused.*ray start --head"):
            RayExecutor(address)


def test_a_port_that_is_none_is_an_error_too():
    with pytest.raises(ClusterError, match=r"no Ray at '127\.0\.0\.1:99999'"):
        RayExecutor("127.0.0.1:99999")


def test_the_ray_client_is_refused_with_the_way_to_go_instead():
    with pytest.raises(ClusterError, match="ray job submit"):
        RayExecutor("ray://127.0.0.1:10001")

from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest

from autotuner.bench.base import Target
from autotuner.engines.sim import SimEngine
from autotuner.launchers.base import LaunchFault
from autotuner.node import readiness
from autotuner.node.failures import AttemptCancelledError, AttemptFailedError
from autotuner.node.readiness import wait_until_ready
from autotuner.spec.experiment import Cancelled, FailureKind, Phase

OURS = Target("http://127.0.0.1:1", "ours", "/models/tiny", "vllm")


@pytest.fixture
def clock(monkeypatch):
    """A clock that only sleeping moves."""
    now = SimpleNamespace(s=0.0)
    monkeypatch.setattr(readiness.time, "monotonic", lambda: now.s)
    monkeypatch.setattr(readiness.time, "sleep", lambda s: setattr(now, "s", now.s + s))
    return now


@pytest.fixture
def listed(monkeypatch, clock):
    """What ``GET /v1/models`` lists, by time: None refuses the connection."""
    answers = []

    def names(url, *, timeout_s, api_key):
        known = [name for since, name in answers if since <= clock.s]
        if not known or known[-1] is None:
            raise ConnectionRefusedError(111, "refused")
        return (known[-1],)

    monkeypatch.setattr(readiness, "served_models", names)
    return answers


@pytest.fixture
def wait(clock):
    def until_ready(server, *, timeout_s=100.0, check_cancelled=lambda: None):
        return wait_until_ready(
            server,
            lambda url: replace(OURS, url=url),
            SimEngine(),
            timeout_s=timeout_s,
            check_cancelled=check_cancelled,
        )

    return until_ready


def failure(wait, *arguments, **options):
    with pytest.raises(AttemptFailedError) as caught:
        wait(*arguments, **options)
    assert caught.value.failed.phase is Phase.SERVER_START
    return caught.value.failed


def test_ready_is_when_our_name_is_listed(wait, listed, clock, fake_server):
    listed += [(3.0, "ours")]
    wait(fake_server())
    assert 3.0 <= clock.s < 4.0


def test_a_name_that_is_registered_late_is_no_stranger(wait, listed, fake_server):
    listed += [(1.0, "default"), (3.0, "ours")]
    wait(fake_server())


def test_a_stranger_that_comes_and_goes_is_counted_anew(wait, listed, fake_server):
    listed += [(0.0, "other"), (2.0, None), (4.0, "other"), (6.0, "ours")]
    wait(fake_server())


def test_a_stranger_that_stays_has_the_port(wait, listed, fake_server):
    listed += [(0.0, "other")]
    failed = failure(wait, fake_server())
    assert failed.kind is FailureKind.PORT_TAKEN
    assert failed.message.endswith("serves: other")


def test_whose_server_it_is_does_not_matter_if_nobody_may_look(
    wait, listed, fake_server, monkeypatch
):
    def denied(kind):
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", denied)
    listed += [(0.0, "other")]
    assert failure(wait, fake_server()).kind is FailureKind.PORT_TAKEN


def test_an_end_is_seen_long_before_the_deadline(wait, listed, clock, fake_server):
    failed = failure(wait, fake_server(lives=2, log="Killed"), timeout_s=3600.0)
    assert failed.kind is FailureKind.SERVER_CRASHED
    assert failed.evidence == "Killed"
    assert clock.s < 1.0


def test_at_the_deadline_the_log_may_know_better_than_the_clock(wait, listed, fake_server):
    assert failure(wait, fake_server()).kind is FailureKind.LAUNCH_TIMEOUT
    hanging = fake_server(log="torch.OutOfMemoryError: CUDA out of memory.")
    assert failure(wait, hanging).kind is FailureKind.OUT_OF_MEMORY_AT_LOAD


def test_a_cancellation_ends_the_waiting(wait, listed, fake_server):
    def cancelled():
        raise AttemptCancelledError(Cancelled("enough"))

    with pytest.raises(AttemptCancelledError):
        wait(fake_server(), check_cancelled=cancelled)


def test_a_server_is_asked_where_it_answers_once_that_is_known(wait, listed, clock, fake_server):
    listed += [(0.0, "ours")]
    server = fake_server()
    server.address = None

    def check_cancelled():
        if clock.s > 5:
            server.address = "http://10.0.0.7:8000"

    assert wait(server, check_cancelled=check_cancelled).url == "http://10.0.0.7:8000"
    assert clock.s > 5


def test_an_address_that_never_becomes_known_is_a_launch_that_took_too_long(
    wait, listed, fake_server
):
    server = fake_server()
    server.address = None
    assert failure(wait, server).kind is FailureKind.LAUNCH_TIMEOUT


def test_what_a_launcher_says_of_a_living_server_ends_the_wait(wait, listed, clock, fake_server):
    server = fake_server()
    server.trouble = LaunchFault(FailureKind.UNSCHEDULABLE, "no room", "0/3 nodes are available")
    failed = failure(wait, server)
    assert failed.kind is FailureKind.UNSCHEDULABLE
    assert (failed.message, failed.evidence) == ("no room", "0/3 nodes are available")
    assert clock.s == 0

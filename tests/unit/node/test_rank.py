"""The part of an attempt on a further node: its lease, its devices, its process."""

import tempfile
from dataclasses import replace

import pytest

from autotuner.engines.base import Rank
from autotuner.engines.sim_devices import SIM_GPUS_VARIABLE, make_devices
from autotuner.launchers.process import free_port
from autotuner.node import devices
from autotuner.node.device_claims import DeviceClaims
from autotuner.node.gpus import gpu_probe
from autotuner.node.rank import RankHost
from autotuner.spec.study import Resources
from autotuner.supervision.lease import lease_root

GIB = 2**30


@pytest.fixture(autouse=True)
def node(tmp_path, monkeypatch):
    """A node with a device of its own, whose memory somebody may hold in the file returned."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setattr(devices, "_POLL_S", 0.01)
    make_devices(tmp_path / "devices", 1)
    monkeypatch.setenv(SIM_GPUS_VARIABLE, str(tmp_path / "devices"))
    return tmp_path / "devices" / "0" / "stuck"


@pytest.fixture
def host():
    host = RankHost("127.0.0.1", ("0",))
    yield host
    host.finish(hurry=True)
    host.stop()


@pytest.fixture
def order(make_order):

    order = make_order(resources=Resources(gpus=2, gpus_per_node=1))
    return replace(order, timeouts=replace(order.timeouts, device_s=0.0))


def meeting():
    return Rank(1, 2, "127.0.0.1", free_port())


def test_it_runs_under_a_lease_and_leaves_none(host, order, find_processes, wait_until):
    assert host.prepare(order).problem is None
    assert len(list(lease_root().glob(f"{order.attempt.mark}-*"))) == 1
    assert host.start(meeting()) is None
    assert wait_until(lambda: find_processes(order.attempt.served_name))
    assert host.state().exit is None
    host.finish()
    assert not find_processes(order.attempt.served_name)
    assert not list(lease_root().glob(f"{order.attempt.mark}-*"))


def test_its_end_is_told_with_how_long_ago_it_was(host, order, wait_until):
    flags = {"fault-crash-at-start": True, "fault-rank": 1}
    server = order.attempt.experiment.server

    experiment = replace(
        order.attempt.experiment, server=replace(server, flags={**server.flags, **flags})
    )
    order = replace(order, attempt=replace(order.attempt, experiment=experiment))
    host.prepare(order)
    host.start(meeting())
    assert wait_until(lambda: host.state().exit is not None)
    first = host.state()
    assert first.exit.returncode == 1
    assert wait_until(lambda: host.state().ended_s_ago > first.ended_s_ago)
    assert "Engine core initialization failed" in host.log_tail()
    assert "Engine core initialization failed" in host.finish(hurry=True).log


def test_devices_that_are_not_free_are_its_fault_and_stay_its_own_until_they_are(host, order, node):
    node.write_text(str(20 * GIB))
    assert "holds 20.0 GiB" in host.prepare(order).slot_fault
    host.finish()
    assert not host.is_free()
    uuid = gpu_probe().device("0").uuid
    others = DeviceClaims()
    assert not others.take(uuid)
    node.unlink()
    assert host.is_free()
    assert others.take(uuid)
    others.release()


def test_what_its_process_leaves_on_the_devices_is_a_fault_of_the_slot(host, order, node):
    host.prepare(order)
    host.start(meeting())
    node.write_text(str(20 * GIB))
    assert "holds 20.0 GiB" in host.finish().slot_fault
    others = DeviceClaims()
    assert not others.take(gpu_probe().device("0").uuid)
    host.stop()
    assert others.take(gpu_probe().device("0").uuid)
    others.release()


def test_once_stopped_it_starts_nothing_and_waits_for_nothing(host, order, node):
    host.stop(hurry=True)
    node.write_text(str(20 * GIB))
    assert host.prepare(order).slot_fault is None
    assert host.start(meeting()) == "the attempt has been stopped"


def test_a_program_that_is_not_there_is_a_problem_of_the_node(host, make_order):
    order = make_order(resources=Resources(gpus=2, gpus_per_node=1), executable="/no/such/program")
    host.prepare(order)
    assert "/no/such/program" in host.start(meeting())

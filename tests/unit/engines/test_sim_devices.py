"""Simulated GPU memory is held by the living, as a driver would have it."""

import os
import subprocess
import sys

import pytest

from autotuner.engines.sim_devices import SIM_GPUS_VARIABLE, hold, holders, make_devices, visible

GIB = 2**30
HOLDER = """\
import sys
from autotuner.engines.sim_devices import hold
hold(int(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def devices(tmp_path, monkeypatch):
    folder = tmp_path / "devices"
    make_devices(folder, 2)
    monkeypatch.setenv(SIM_GPUS_VARIABLE, str(folder))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    return folder


@pytest.fixture
def holder(devices):
    """A process that holds a GiB of device 0 until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(GIB)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_new_devices_are_empty(devices):
    assert [holders(devices, device) for device in ("0", "1")] == [{}, {}]


def test_a_device_that_is_not_there_is_not_an_empty_one(devices):
    assert holders(devices, "2") is None


def test_a_process_holds_memory_of_the_devices_that_it_sees_only(devices):
    hold(GIB)
    assert holders(devices, "0") == {os.getpid(): GIB}
    assert holders(devices, "1") == {}


def test_a_process_that_takes_more_holds_the_more(devices):
    hold(GIB)
    hold(2 * GIB)
    assert holders(devices, "0") == {os.getpid(): 2 * GIB}


def test_a_process_may_hold_several_devices(devices, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    hold(GIB)
    assert holders(devices, "0") == holders(devices, "1") == {os.getpid(): GIB}


@pytest.mark.parametrize("seen", ["", ","])
def test_a_process_that_sees_none_holds_none(devices, monkeypatch, seen):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    hold(GIB)
    assert visible() == []
    assert holders(devices, "0") == {}


def test_where_none_are_simulated_none_is_visible(devices, monkeypatch):
    monkeypatch.delenv(SIM_GPUS_VARIABLE)
    hold(GIB)
    assert visible() == []


def test_memory_is_free_as_soon_as_its_holder_has_ended(devices, holder):
    assert holders(devices, "0") == {holder.pid: GIB}
    holder.kill()
    holder.wait()
    assert holders(devices, "0") == {}


def test_a_holder_that_waits_to_be_reaped_holds_nothing(devices, holder, wait_until):
    holder.kill()
    assert wait_until(lambda: holders(devices, "0") == {})
    assert holder.returncode is None  # a zombie until now: nobody has waited for it


def test_a_process_that_got_a_dead_holder_s_id_holds_nothing(devices):
    hold(GIB)
    (entry,) = (devices / "0").iterdir()
    pid, _, ticks = entry.name.partition("-")
    entry.rename(entry.with_name(f"{pid}-{int(ticks) - 1}"))
    assert holders(devices, "0") == {}


def test_stuck_memory_is_nobody_s_and_stays_until_it_is_removed(devices):
    hold(GIB, stuck=True)
    hold(2 * GIB)
    assert holders(devices, "0") == {0: GIB, os.getpid(): 2 * GIB}
    (devices / "0" / "stuck").unlink()
    assert holders(devices, "0") == {os.getpid(): 2 * GIB}


def test_a_holder_that_is_just_being_written_holds_nothing_yet(devices):
    (devices / "0" / "stuck").touch()
    assert holders(devices, "0") == {0: 0}


def test_memory_that_is_freed_while_one_looks_is_free(devices, monkeypatch):
    (devices / "0" / "stuck").symlink_to(devices / "gone")  # listed, and not there to be read
    assert holders(devices, "0") == {0: 0}

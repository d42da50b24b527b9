"""Devices as the driver tells of them; the driver's module is a stand-in."""

import os
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from autotuner.engines.sim_devices import SIM_GPUS_VARIABLE, SIM_MEMORY_BYTES, hold, make_devices
from autotuner.node.gpus import GpuError, GpuProcess, GpuState, gpu_probe

GIB = 2**30


class NVMLError(Exception):
    pass


def process(pid, memory=GIB):
    return SimpleNamespace(pid=pid, usedGpuMemory=memory)


@dataclass
class StandIn:
    """The part of pynvml that is used. Whatever is named in ``broken`` raises."""

    devices: list = field(default_factory=lambda: ["GPU-aa", "GPU-bb"])
    processes: list = field(default_factory=list)
    broken: set = field(default_factory=set)
    NVMLError = NVMLError
    nvmlMemory_v2 = 0x2000028  # noqa: N815

    def _ask(self, name):
        if name in self.broken:
            raise NVMLError(f"no {name}")

    def nvmlInit(self):  # noqa: N802
        self._ask("driver")

    def nvmlSystemGetDriverVersion(self):  # noqa: N802
        self._ask("version")
        return "570.1"

    def nvmlDeviceGetCount(self):  # noqa: N802
        self._ask("count")
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        if index >= len(self.devices):
            raise NVMLError("Invalid Argument")
        return self.devices[index]

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802
        if uuid not in self.devices:
            raise NVMLError("Not Found")
        return uuid

    def nvmlDeviceGetUUID(self, handle):  # noqa: N802
        return handle

    def nvmlDeviceGetName(self, handle):  # noqa: N802
        return f"H100 {handle}"

    def nvmlDeviceGetMemoryInfo(self, handle, version=None):  # noqa: N802
        self._ask("memory")
        if version is not None:
            assert version == self.nvmlMemory_v2
            self._ask("memory v2")
        reserve = GIB if version is None else 0  # which the first version counts as used
        return SimpleNamespace(total=80 * GIB, used=10 * GIB + reserve)

    def nvmlDeviceGetComputeRunningProcesses(self, handle):  # noqa: N802
        self._ask("processes")
        return self.processes


@pytest.fixture
def nvml(monkeypatch):
    monkeypatch.delenv(SIM_GPUS_VARIABLE, raising=False)
    stand_in = StandIn()
    monkeypatch.setitem(sys.modules, "pynvml", stand_in)
    return stand_in


@pytest.mark.parametrize("broken", ["driver", "version"])
def test_without_a_driver_there_is_no_probe(nvml, broken):
    nvml.broken.add(broken)
    assert gpu_probe() is None


def test_a_device_is_told_of_in_full(nvml):
    nvml.processes = [process(os.getpid())]
    probe = gpu_probe()
    assert probe.driver_version == "570.1"
    name = probe.device("1").processes[0].name
    assert name
    assert probe.device("1") == GpuState(
        id="1",
        uuid="GPU-bb",
        name="H100 GPU-bb",
        memory_total_bytes=80 * GIB,
        memory_used_bytes=10 * GIB,
        processes=(GpuProcess(os.getpid(), name, GIB),),
    )


def test_a_device_is_found_by_its_uuid_and_keeps_the_id_it_was_asked_by(nvml):
    state = gpu_probe().device("GPU-bb")
    assert (state.id, state.uuid) == ("GPU-bb", "GPU-bb")


def test_all_devices_are_told_of_in_order(nvml):
    assert [(state.id, state.uuid) for state in gpu_probe().devices()] == [
        ("0", "GPU-aa"),
        ("1", "GPU-bb"),
    ]


@pytest.mark.parametrize("device_id", ["2", "GPU-cc"])
def test_a_device_that_is_not_there_cannot_be_read(nvml, device_id):
    with pytest.raises(GpuError, match=f"device {device_id} cannot be read: "):
        gpu_probe().device(device_id)


def test_a_lost_device_cannot_be_read(nvml):
    probe = gpu_probe()
    nvml.broken.add("memory")
    with pytest.raises(GpuError, match="device 0 cannot be read: no memory"):
        probe.device("0")
    with pytest.raises(GpuError):
        probe.devices()


def test_a_driver_that_dies_later_cannot_be_read(nvml):
    probe = gpu_probe()
    nvml.broken.add("count")
    with pytest.raises(GpuError, match="the driver does not answer: no count"):
        probe.devices()


def test_an_old_driver_counts_its_own_reserve_as_used(nvml):
    nvml.broken.add("memory v2")
    assert gpu_probe().device("0").memory_used_bytes == 11 * GIB


def test_where_processes_cannot_be_listed_the_memory_must_do(nvml):
    nvml.broken.add("processes")
    state = gpu_probe().device("0")
    assert (state.processes, state.memory_used_bytes) == ((), 10 * GIB)


def test_a_process_of_another_container_has_no_name_and_perhaps_no_size(nvml):
    nvml.processes = [process(2**30, None)]  # no kernel counts so far
    assert gpu_probe().device("0").processes == (GpuProcess(2**30, "?", None),)


@pytest.fixture
def simulated(tmp_path, monkeypatch):
    make_devices(tmp_path / "devices", 11)
    monkeypatch.setenv(SIM_GPUS_VARIABLE, str(tmp_path / "devices"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "10")
    return tmp_path / "devices"


def test_simulated_devices_need_no_driver(simulated):
    probe = gpu_probe()
    assert probe.driver_version == "simulated"
    assert [state.id for state in probe.devices()] == [str(index) for index in range(11)]
    state = probe.device("10")
    assert (state.memory_total_bytes, state.memory_used_bytes) == (SIM_MEMORY_BYTES, 0)
    assert state.processes == ()


def test_simulated_memory_is_used_by_those_that_hold_it_and_by_nobody(simulated):
    hold(GIB)
    hold(2 * GIB, stuck=True)
    state = gpu_probe().device("10")
    assert state.memory_used_bytes == 3 * GIB
    assert [(p.pid, p.memory_bytes) for p in state.processes] == [(os.getpid(), GIB)]


def test_simulated_devices_can_be_missing_too(simulated, monkeypatch):
    with pytest.raises(GpuError, match="device 11 cannot be read"):
        gpu_probe().device("11")
    monkeypatch.setenv(SIM_GPUS_VARIABLE, str(simulated / "no such folder"))
    with pytest.raises(GpuError, match="the driver does not answer"):
        gpu_probe().devices()

"""What the devices of this node hold, read from the driver (NVML) and not from Ray's books.

Ray calls a GPU free as soon as its actor is gone; the memory may be held for seconds, or for
ever. `gpu_probe` also gives simulated devices (`autotuner.engines.sim_devices`), for trying
this on machines without any.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotuner.engines.sim_devices import SIM_GPUS_VARIABLE, SIM_MEMORY_BYTES, holders
from autotuner.supervision.process_table import process_name

__all__ = ["GpuError", "GpuProbe", "GpuProcess", "GpuState", "gpu_probe"]


class GpuError(Exception):
    """A device cannot be read: lost, or not there; never leaves node."""


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that computes on a device."""

    pid: int
    name: str
    memory_bytes: int | None
    """None where the driver does not say (MIG, virtual GPUs)."""


@dataclass(frozen=True, slots=True)
class GpuState:
    """A device now."""

    id: str
    """Its index, as CUDA_VISIBLE_DEVICES spells it."""
    uuid: str
    name: str
    memory_total_bytes: int
    memory_used_bytes: int
    """Without what the driver reserves for itself."""
    processes: tuple[GpuProcess, ...]
    """Those that can be seen from here: in a container, not always all."""


class GpuProbe(ABC):
    """Reads devices."""

    driver_version: str

    @abstractmethod
    def devices(self) -> tuple[GpuState, ...]:
        """All devices that can be seen from here.

        Raises:
            GpuError: a device cannot be read.
        """

    @abstractmethod
    def device(self, device_id: str) -> GpuState:
        """The device of this id: an index, the UUID of a GPU, or that of a MIG slice.

        Raises:
            GpuError: there is none, or it cannot be read.
        """


def gpu_probe() -> GpuProbe | None:
    """The node's devices; None where there is no NVIDIA driver, so that nothing can be said."""
    if folder := os.environ.get(SIM_GPUS_VARIABLE):
        return _SimulatedProbe(Path(folder))
    import pynvml

    try:
        pynvml.nvmlInit()
        return _NvmlProbe(pynvml)
    except pynvml.NVMLError:
        return None


class _NvmlProbe(GpuProbe):
    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self.driver_version = nvml.nvmlSystemGetDriverVersion()

    def devices(self) -> tuple[GpuState, ...]:
        try:
            count = self._nvml.nvmlDeviceGetCount()
        except self._nvml.NVMLError as error:
            raise GpuError(f"the driver does not answer: {error}") from error
        return tuple(self.device(str(index)) for index in range(count))

    def device(self, device_id: str) -> GpuState:
        nvml = self._nvml
        try:
            if device_id.isdigit():
                handle = nvml.nvmlDeviceGetHandleByIndex(int(device_id))
            else:
                handle = nvml.nvmlDeviceGetHandleByUUID(device_id)
            memory = self._memory(handle)
            return GpuState(
                id=device_id,
                uuid=nvml.nvmlDeviceGetUUID(handle),
                name=nvml.nvmlDeviceGetName(handle),
                memory_total_bytes=int(memory.total),
                memory_used_bytes=int(memory.used),
                processes=self._processes(handle),
            )
        except nvml.NVMLError as error:
            raise GpuError(f"device {device_id} cannot be read: {error}") from error

    def _memory(self, handle: Any) -> Any:
        # The first version counts the driver's own reserve as used: half a gigabyte and more.
        try:
            return self._nvml.nvmlDeviceGetMemoryInfo(handle, self._nvml.nvmlMemory_v2)
        except self._nvml.NVMLError:
            return self._nvml.nvmlDeviceGetMemoryInfo(handle)

    def _processes(self, handle: Any) -> tuple[GpuProcess, ...]:
        try:
            found = self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        except self._nvml.NVMLError:  # not supported here: the memory must do
            return ()
        return tuple(GpuProcess(p.pid, process_name(p.pid), p.usedGpuMemory) for p in found)


class _SimulatedProbe(GpuProbe):
    driver_version = "simulated"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def devices(self) -> tuple[GpuState, ...]:
        try:
            names = [path.name for path in self._folder.iterdir() if path.is_dir()]
        except OSError as error:
            raise GpuError(f"the driver does not answer: {error}") from error
        return tuple(self.device(name) for name in sorted(names, key=lambda n: (len(n), n)))

    def device(self, device_id: str) -> GpuState:
        held = holders(self._folder, device_id)
        if held is None:
            raise GpuError(f"device {device_id} cannot be read: Not Found")
        folder = self._folder.stat()
        return GpuState(
            id=device_id,
            uuid=f"SIM-{folder.st_dev}-{folder.st_ino}-{device_id}",
            name="simulated",
            memory_total_bytes=SIM_MEMORY_BYTES,
            memory_used_bytes=sum(held.values()),
            processes=_known(held.items()),
        )


def _known(held: Any) -> tuple[GpuProcess, ...]:
    return tuple(GpuProcess(pid, process_name(pid), size) for pid, size in held if pid)

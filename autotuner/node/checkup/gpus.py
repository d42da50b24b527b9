"""GPUs: what the driver says of them, what Ray counts, and who is on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from autotuner.node.checkup.finding import (
    CheckupOrder,
    Finding,
    StudyNeeds,
    failure,
    good,
    warning,
)
from autotuner.node.devices import IDLE_BYTES
from autotuner.node.gpus import GpuError, GpuState, gpu_probe

__all__ = ["gpus", "judge_count", "judge_missing_driver", "judge_use"]

_GIB = 2**30
_KERNEL_DRIVER = Path("/proc/driver/nvidia/version")


def gpus(order: CheckupOrder) -> Iterator[Finding]:
    probe = gpu_probe()
    if probe is None:
        yield judge_missing_driver(kernel_driver=_KERNEL_DRIVER.exists())
        yield judge_count((), order.ray_gpus, order.study)
        return
    yield good("GPU driver", probe.driver_version, alike=True)
    try:
        devices = probe.devices()
    except GpuError as error:
        fix = "Look at nvidia-smi and the kernel's log (Xid): the device may need a reset."
        yield failure("GPUs", str(error), "every device can be read", fix)
        return
    yield judge_count(devices, order.ray_gpus, order.study)
    for device in devices:
        yield judge_use(device)


def judge_missing_driver(*, kernel_driver: bool) -> Finding:
    check = "GPU driver"
    if not kernel_driver:
        return good(check, "none")
    fix = (
        "Reboot after a driver update, or start the container with --gpus all: the kernel has a "
        "driver that cannot be used from here."
    )
    return failure(check, "does not answer (NVML)", "answers", fix)


def judge_count(
    devices: Sequence[GpuState], ray_gpus: int | None, study: StudyNeeds | None
) -> Finding:
    """Ray's count of a node's GPUs against the devices there are.

    Without Ray the study's need is compared: on a cluster, another node may hold it.
    """
    check, read = "GPUs", _models(devices)
    if ray_gpus is None:
        needed = study.most_gpus if study is not None else 0
        if len(devices) < needed:
            fix = "Use a machine with more GPUs, smaller parallel sizes, or resources: {gpus: 0}."
            return failure(check, read, f"{needed} for the study", fix)
        return good(check, read, f"{needed} for the study" if study is not None else "")
    read += f", Ray counts {ray_gpus}"
    wanted = "Ray counts as many as there are"
    if ray_gpus > len(devices):
        fix = "Give ray start the --num-gpus that there are: attempts would be given missing ones."
        return failure(check, read, wanted, fix)
    if ray_gpus < len(devices):
        fix = "Start Ray without --num-gpus and CUDA_VISIBLE_DEVICES, unless it is on purpose."
        return warning(check, read, wanted, fix)
    return good(check, read, wanted, alike=ray_gpus > 0)


def judge_use(device: GpuState) -> Finding:
    """A device that others use makes a server run out of memory, or a measurement of them."""
    check, wanted = f"GPU {device.id}", "no process, at most 1 GiB used"
    used = f"{device.memory_used_bytes / _GIB:.1f}"
    read = f"{used} of {device.memory_total_bytes / _GIB:.0f} GiB used"
    if device.processes:
        named = ", ".join(f"{process.pid} ({process.name})" for process in device.processes)
        fix = "Wait for a running study, else end these processes or keep Ray off this device."
        return warning(check, f"{read} by {named}", wanted, fix)
    if device.memory_used_bytes > IDLE_BYTES:
        fix = "Find the process on the host: it cannot be seen from this container."
        return warning(check, f"{read} by nobody that can be seen", wanted, fix)
    return good(check, read, wanted)


def _models(devices: Sequence[GpuState]) -> str:
    counts = Counter(device.name for device in devices)
    return ", ".join(f"{count} x {name}" for name, count in counts.items()) or "none"

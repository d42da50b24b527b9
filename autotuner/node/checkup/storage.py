"""Shared memory and disks."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from autotuner.node.checkup.finding import CheckupOrder, Finding, failure, good, warning
from autotuner.results.place import ObjectPlace

__all__ = [
    "judge_disk",
    "judge_shared_memory",
    "results_folder",
    "shared_memory",
    "temporary_folder",
]

_GIB = 2**30
_SHM = Path("/dev/shm")  # noqa: S108 - this very folder is meant
_TOLD_CHARACTERS = 200
_SHM_WANTED_BYTES = _GIB
_SHM_LEAST_BYTES = 256 * 2**20
"""vLLM's processes pass messages to one another through 10 buffers of 16 MiB."""
_DISK_WANTED_BYTES = 10 * _GIB
_DISK_LEAST_BYTES = _GIB
_RAY_FULL = 0.95
"""Ray creates no more objects on a disk that is fuller (local_fs_capacity_threshold)."""


def shared_memory(order: CheckupOrder) -> Iterator[Finding]:
    usage = shutil.disk_usage(_SHM)
    one_gpu = order.study is not None and order.study.most_gpus <= 1
    yield judge_shared_memory(usage.total, usage.free, several_gpus=not one_gpu)


def judge_shared_memory(total_bytes: int, free_bytes: int, *, several_gpus: bool) -> Finding:
    """``several_gpus``: servers may span GPUs, and then cannot do without."""
    check = str(_SHM)
    read = f"{_gib(free_bytes)} of {_gib(total_bytes)} free"
    wanted = f"{_gib(_SHM_WANTED_BYTES)} free"
    if free_bytes >= _SHM_WANTED_BYTES:
        return good(check, read, wanted)
    if total_bytes >= _SHM_WANTED_BYTES:
        fix = "End the processes that fill it, or remove what dead ones left in it."
    else:
        fix = (
            "Start the container with docker run --ipc=host or --shm-size=16g; in Kubernetes, "
            "mount an emptyDir of medium Memory there."
        )
    if several_gpus and free_bytes < _SHM_LEAST_BYTES:
        return failure(check, read, wanted, fix)
    return warning(check, read, wanted, fix)


def temporary_folder(order: CheckupOrder) -> Iterator[Finding]:
    """Of attempts; by default the disk of Ray's own session folder, too."""
    del order
    folder = Path(tempfile.gettempdir())
    usage = shutil.disk_usage(folder)
    fix = "Free space, or set TMPDIR for Ray (and --temp-dir of ray start) to a larger disk."
    yield judge_disk(f"temporary folder {folder}", usage.total, usage.free, fix, ray=True)


def results_folder(order: CheckupOrder) -> Iterator[Finding]:
    """Where the driver writes; nothing on other nodes, which send their results to it."""
    if order.output is None:
        return
    if isinstance(order.output, ObjectPlace):
        yield _store(order.output)
        return
    folder = order.output.absolute()
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    usage = shutil.disk_usage(existing)
    fix = "Free space, or choose another results folder with --output."
    yield judge_disk("results folder", usage.total, usage.free, fix, ray=False)


def _store(place: ObjectPlace) -> Finding:
    check, wanted = f"results at {place}", "answers"
    try:
        there = place.exists()
    except OSError as error:
        fix = "See that the keys are set, that the bucket is there, and that it can be reached."
        return failure(check, " ".join(str(error).split())[:_TOLD_CHARACTERS], wanted, fix)
    return good(check, "it answers; there are results" if there else "it answers", wanted)


def judge_disk(check: str, total_bytes: int, free_bytes: int, fix: str, *, ray: bool) -> Finding:
    """``ray``: Ray keeps objects on this disk."""
    read = f"{_gib(free_bytes)} of {_gib(total_bytes)} free"
    wanted = f"{_gib(_DISK_WANTED_BYTES)} free"
    if ray:
        wanted += f", at most {_RAY_FULL:.0%} full"
    if free_bytes < _DISK_LEAST_BYTES:
        return failure(check, read, wanted, fix)
    full = ray and free_bytes < (1 - _RAY_FULL) * total_bytes
    if full or free_bytes < _DISK_WANTED_BYTES:
        return warning(check, read, wanted, fix)
    return good(check, read, wanted)


def _gib(size_bytes: float) -> str:
    size_gib = size_bytes / _GIB
    return f"{size_gib:.0f} GiB" if size_gib >= 10 or size_gib == 1 else f"{size_gib:.2g} GiB"

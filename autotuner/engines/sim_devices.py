"""Simulated GPU memory: who holds how much of which device, as files in a folder.

``DIR/<device>/<pid>-<start ticks>`` holds a number of bytes and counts for as long as that
process lives, as a driver would have it. ``DIR/<device>/stuck`` counts until it is removed:
memory that no process answers for. The folder's name is in a variable of the node's processes.
"""

from __future__ import annotations

import os
from pathlib import Path

from autotuner.supervision.process_table import process_state

__all__ = ["SIM_GPUS_VARIABLE", "SIM_MEMORY_BYTES", "hold", "holders", "make_devices", "visible"]

SIM_GPUS_VARIABLE = "AUTOTUNER_SIM_GPUS"
SIM_MEMORY_BYTES = 80 * 2**30
_STUCK = "stuck"
_NOBODY = 0


def make_devices(folder: Path, count: int) -> None:
    """A folder of ``count`` empty devices."""
    for device in range(count):
        (folder / str(device)).mkdir(parents=True)


def hold(size_bytes: int, *, stuck: bool = False) -> None:
    """Take memory on each visible device until this process ends, or for ever (``stuck``)."""
    name = _STUCK if stuck else f"{os.getpid()}-{_start_ticks(os.getpid())}"
    for device in visible():
        (device / name).write_text(str(size_bytes))


def visible() -> list[Path]:
    """Folders of the devices that this process may use; none where none are simulated."""
    folder = os.environ.get(SIM_GPUS_VARIABLE)
    devices = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return [Path(folder) / device for device in devices.split(",") if device] if folder else []


def holders(folder: Path, device: str) -> dict[int, int] | None:
    """Process id -> bytes held, of the living; 0 is nobody. None where there is no such device."""
    if not (folder / device).is_dir():
        return None
    found: dict[int, int] = {}
    for entry in (folder / device).iterdir():
        pid, _, ticks = entry.name.partition("-")
        if entry.name == _STUCK:
            found[_NOBODY] = _size(entry)
        elif _start_ticks(int(pid)) == int(ticks):
            found[int(pid)] = _size(entry)
    return found


def _size(entry: Path) -> int:
    """Bytes; 0 of a file that is gone since it was listed, or not yet written."""
    try:
        return int(entry.read_text() or 0)
    except FileNotFoundError:
        return 0


def _start_ticks(pid: int) -> int | None:
    """Of a process that lives."""
    process = process_state(pid)
    return None if process is None or process.ended else process.start_ticks

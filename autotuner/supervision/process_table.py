"""What the kernel says of a process by its id."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ProcessState", "process_name", "process_state"]

_ENDED = ("Z", "X")


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A process now; its id and its start together say which process it is."""

    state: str
    """The kernel's letter, e.g. ``S``."""
    session: int
    start_ticks: int
    """Clock ticks since boot."""

    @property
    def ended(self) -> bool:
        """Waits to be reaped, or is just being."""
        return self.state in _ENDED


def process_state(pid: int) -> ProcessState | None:
    """The process of this id now, or None."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command's name may hold spaces and brackets; the fields start after the last.
    fields = stat.rpartition(")")[2].split()
    return ProcessState(fields[0], session=int(fields[3]), start_ticks=int(fields[19]))


def process_name(pid: int) -> str:
    """Its name, or ``?`` where it cannot be seen: gone, or of another container."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "?"

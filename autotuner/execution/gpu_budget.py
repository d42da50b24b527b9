"""How many GPUs a study may hold at once, and who gets those that become free."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autotuner.execution.base import Slot
from autotuner.execution.books import Held

__all__ = ["GpuBudget"]


class GpuBudget:
    """How many GPUs may be held at once, over all nodes."""

    def __init__(self, most_gpus: int | None, held: Sequence[Held]) -> None:
        self._left = math.inf
        self._ends: list[tuple[float, int]] = []
        if most_gpus is not None:
            self._ends = sorted((one.left_s, one.slot.held_gpus) for one in held)
            self._left = most_gpus - sum(gpus for _, gpus in self._ends)
        self._reserved = 0
        self._lent_s = math.inf

    def has_room(self, slot: Slot, lease_s: float) -> bool:
        reserved = 0 if lease_s <= self._lent_s else self._reserved
        return slot.held_gpus == 0 or slot.held_gpus <= self._left - reserved

    def take(self, slot: Slot) -> None:
        self._left -= slot.held_gpus

    def reserve(self, slot: Slot, *, patient: bool) -> None:
        """Let nobody else have as many of those that become free, but for as long as it takes."""
        self._reserved += slot.held_gpus
        free, lent_s = self._left, 0.0
        for left_s, ended in self._ends:
            if free >= self._reserved:
                break
            free, lent_s = free + ended, left_s
        self._lent_s = lent_s if patient else 0.0

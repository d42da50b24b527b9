"""What is stored of one experiment, and whether it is a complete measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotuner.results.levels import LevelStatus
from autotuner.results.limits import LevelRow
from autotuner.spec.workload import Level

__all__ = ["Measured"]


@dataclass(frozen=True, slots=True)
class Measured:
    """What is stored of one experiment's counting attempts."""

    outcome: str | None
    """``completed``, ``pruned``, ``failed``, ``cancelled``, or None while the attempt has not
    ended."""
    failure: str
    """Why it did not complete; empty otherwise."""
    levels: Mapping[Level, LevelRow]
    """Each level, pooled over its repeats and over the counting attempts."""
    attempts: tuple[Mapping[Level, LevelRow], ...] = ()
    """The levels of each completed attempt, pooled over its repeats; oldest attempt first."""
    missing: frozenset[Level] = frozenset()
    """Levels of which a counting attempt lacks a row, of one repeat at least."""

    @property
    def usable(self) -> dict[Level, LevelRow]:
        """Levels that are ok: one that is not has numbers for diagnosis only."""
        return {level: row for level, row in self.levels.items() if _is_ok(row)}

    @property
    def rows(self) -> int:
        """Level rows that are stored, each repeat by itself."""
        return sum(int(str(row.get("measurements") or 1)) for row in self.levels.values())

    @property
    def skipped(self) -> dict[Level, str]:
        """Levels that no attempt was loaded with, as they were not worth it, and why."""
        return {
            level: str(row["reason"])
            for level, row in self.levels.items()
            if row.get("status") == LevelStatus.SKIPPED
        }

    def problem(self, levels: Sequence[Level]) -> str:
        """Why it is no complete measurement of these levels; empty when it is."""
        parts = []
        if self.outcome != "completed":
            parts.append(f"{self.outcome}: {self.failure or 'no reason recorded'}")
        problems = [self._level_problem(level) for level in levels]
        if bad := [problem for problem in problems if problem]:
            more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
            parts.append(f"level {bad[0]}{more}")
        return "; ".join(parts)

    def _level_problem(self, level: Level) -> str:
        row = self.levels.get(level)
        if row is not None and not _is_ok(row):
            return f"{level} {str(row['status']).replace('_', ' ')}: {row['reason']}"
        return f"{level} has no result" if row is None or level in self.missing else ""


def _is_ok(row: LevelRow) -> bool:
    return row.get("status") == LevelStatus.OK

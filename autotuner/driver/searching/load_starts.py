"""Where each server begins to look for the largest load: at the best that was found so far."""

from __future__ import annotations

from autotuner.results.found_load import found_load
from autotuner.results.levels import LevelResult, LevelStatus
from autotuner.results.limits import LevelRow
from autotuner.search.find_load import FindLoads, find_loads
from autotuner.spec.experiment import Attempt, Completed, Experiment, Outcome
from autotuner.spec.judging import Judging

__all__ = ["LoadStarts"]


class LoadStarts:
    """Follows the attempts of a study. A wrong start costs levels, never a result."""

    def __init__(self, judging: Judging) -> None:
        self._judging = judging
        self._best: dict[str, int] = {}
        """Workload -> the largest load that any server has kept the limits at."""
        self._seen: dict[str, dict[str, dict[int, LevelRow | None]]] = {}
        """Attempt id -> workload -> concurrency -> row; None for one whose requests failed."""

    def plan_of(self, experiment: Experiment) -> FindLoads | None:
        """The levels of an experiment's next server; None where none is to be found."""
        return find_loads(experiment.workloads, self._judging, self._best)

    def level(self, attempt: Attempt, result: LevelResult) -> None:
        """A level of an attempt has ended."""
        level = result.level
        if any(w.name == level.workload and w.find for w in attempt.experiment.workloads):
            rows = self._seen.setdefault(attempt.id, {}).setdefault(level.workload, {})
            ok = result.status is LevelStatus.OK
            rows[level.concurrency] = result.summary if ok else None

    def end(self, attempt: Attempt, outcome: Outcome) -> None:
        """An attempt has ended."""
        for workload, rows in self._seen.pop(attempt.id, {}).items():
            ok = {c: row for c, row in rows.items() if row is not None}
            failed = [c for c, row in rows.items() if row is None]
            largest = found_load(ok, self._judging.constraints, failed).largest
            if isinstance(outcome, Completed) and largest is not None:
                self._best[workload] = max(largest, self._best.get(workload, largest))

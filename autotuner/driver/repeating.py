"""What is measured again once everything has been measured once.

Rounds of fresh servers for those experiments about which the results do not yet decide, then the
baseline once more: if it has moved, so may everything have that was measured in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autotuner.planning import Plan
from autotuner.results.confidence.repeats import next_repeats
from autotuner.results.counting import level_of
from autotuner.results.levels import LevelStatus
from autotuner.results.load import StudyResults, load_results
from autotuner.results.server_values import found_loads
from autotuner.results.store import ResultStore
from autotuner.search.find_load import find_loads
from autotuner.search.level_plans import AllLevels, LevelPlan
from autotuner.spec.experiment import Experiment, Purpose
from autotuner.spec.workload import Level

__all__ = ["Repeats", "Round"]

_SKIPPED_BEFORE = "the search has skipped it"


@dataclass(frozen=True, slots=True)
class Round:
    """Experiments to measure once more, each on a fresh server."""

    experiments: tuple[Experiment, ...]
    purpose: Purpose
    why: str
    """One sentence for the user."""
    host: str | None = None
    """Where to measure, if there is room; None: anywhere."""
    levels: Mapping[str, LevelPlan] = field(default_factory=dict)
    """Experiment id -> those levels that its search has measured, or how its load is found."""


class Repeats:
    """Decides from what the store holds, so that a resumed study goes on where it stopped."""

    def __init__(self, plan: Plan, store: ResultStore) -> None:
        self._plan = plan
        self._store = store
        self._experiments = {experiment.id: experiment for experiment in plan.experiments}
        self._closed: set[str] = set()
        self._last_round_given = False

    def close(self, experiment: Experiment) -> None:
        """Ask for no more of an experiment whose repeat has failed."""
        self._closed.add(experiment.id)

    def next_round(self, slots: int) -> Round | None:
        """The next round, or None where nothing more is to be measured.

        Args:
            slots: So many attempts can run at once.

        Raises:
            OutputError: the results cannot be read.
        """
        if self._last_round_given:
            return None
        results = load_results(self._store.paths.root)
        if finalists := self._finalists(results, max(1, slots)):
            labels = {experiment.id: experiment.label for experiment in self._plan.experiments}
            why = results.ranking().verdict.sentence(labels)
            levels = self._level_plans(results, finalists)
            return Round(finalists, Purpose.CONFIRM, why, levels=levels)
        self._last_round_given = True
        return self._drift_check(results)

    def _finalists(self, results: StudyResults, slots: int) -> tuple[Experiment, ...]:
        ranking, judging = results.ranking(), self._plan.spec.judging
        samples = {entry.experiment_id: entry.score.samples for entry in ranking.feasible}
        # By attempts, not by samples: those under other circumstances are none, and cost as much.
        full = {id_ for id_, a in results.chosen.items() if len(a) >= judging.finalist_servers}
        repeats = int((results.experiments["purpose"] == Purpose.CONFIRM).sum())
        left = judging.most_repeats(len(results.study.experiments)) - repeats
        wanted = next_repeats(
            samples,
            ranking.direction,
            minimal_effect=judging.minimal_effect,
            most_servers=judging.finalist_servers,
            slots=max(0, min(slots, left)),
            closed=self._closed | full,
        )
        return tuple(self._experiments[id_] for id_ in wanted)

    def _level_plans(
        self, results: StudyResults, experiments: Sequence[Experiment]
    ) -> dict[str, LevelPlan]:
        """What was not worth its time on one server is not on another.

        A load is looked for on each, from where it was found.
        """
        rows = results.levels[results.levels["status"] != LevelStatus.SKIPPED.value]
        measured: dict[str, set[Level]] = {experiment.id: set() for experiment in experiments}
        for row in rows[rows["experiment_id"].isin(measured)].to_dict("records"):
            measured[row["experiment_id"]].add(level_of({str(k): v for k, v in row.items()}))
        plans: dict[str, LevelPlan] = {}
        for experiment in experiments:
            levels = tuple(v for v in experiment.levels if v in measured[experiment.id])
            search = self._load_search(results, experiment)
            plans[experiment.id] = search or AllLevels(levels, _SKIPPED_BEFORE)
        return plans

    def _load_search(self, results: StudyResults, experiment: Experiment) -> LevelPlan | None:
        judging = self._plan.spec.judging
        (expected,) = (e for e in results.study.experiments if e.id == experiment.id)
        loads = found_loads(expected, results.measured[experiment.id].levels, judging)
        starts = {name: f.largest for name, f in loads.items() if f.largest is not None}
        return find_loads(experiment.workloads, judging, starts)

    def _drift_check(self, results: StudyResults) -> Round | None:
        baseline = self._plan.baseline
        rows = results.experiments
        rows = rows[rows["outcome"] == "completed"]
        if baseline is None or baseline.id in self._closed:
            return None
        own = rows[rows["experiment_id"] == baseline.id].sort_values("started_at")
        others = rows[rows["experiment_id"] != baseline.id]
        checks = own[own["purpose"] == Purpose.DRIFT_CHECK]
        if own.empty or others.empty or checks["ended_at"].max() > others["ended_at"].max():
            return None
        host = own["host"].iloc[0]
        why = "whether the machines are as fast as they were at the start"
        return Round(
            (baseline,),
            Purpose.DRIFT_CHECK,
            why,
            host if isinstance(host, str) else None,
            self._level_plans(results, [baseline]),
        )

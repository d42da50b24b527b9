"""The best score so far, from levels as they end: for those who watch, not for the ranking."""

from __future__ import annotations

from collections.abc import Sequence

from autotuner.results.levels import LevelResult
from autotuner.results.limits import LevelRow
from autotuner.results.measured import Measured
from autotuner.results.score import Ranking, score_experiment
from autotuner.results.study_record import ExpectedExperiment
from autotuner.spec.experiment import Attempt, Completed, Experiment, Outcome
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Direction
from autotuner.spec.workload import Level

__all__ = ["LiveScore"]


class LiveScore:
    """The mean score of each feasible experiment over what was measured of it, and the best.

    Every repeat of every server counts as one. The ranking pools requests instead, and leaves out
    what was measured under other circumstances; so the two may differ a little.

    Args:
        earlier: Of the results folder, where an earlier run has filled it.
    """

    def __init__(self, judging: Judging, earlier: Ranking | None = None) -> None:
        self._judging = judging
        self._rows: dict[str, dict[Level, LevelRow]] = {}
        """Of each running attempt."""
        self._scores: dict[str, list[float]] = {}
        self._best: tuple[float, str] | None = None
        """And the experiment that has it."""
        for entry in earlier.feasible if earlier is not None else ():
            self._add(entry.experiment_id, entry.score.samples)

    @property
    def best(self) -> float | None:
        """None while nothing feasible has been measured."""
        return None if self._best is None else self._best[0]

    def level(self, attempt: Attempt, result: LevelResult) -> None:
        self._rows.setdefault(attempt.id, {})[result.level] = result.summary

    def end(self, attempt: Attempt, outcome: Outcome) -> None:
        rows = self._rows.pop(attempt.id, {})
        if not isinstance(outcome, Completed):
            return
        expected = _expected(attempt.experiment)
        # Where a load was found, only the levels in doubt have repeats: all are one measurement.
        repeats: list[int | None] = [None]
        if not expected.found:
            repeats = [*sorted({level.repeat for level in rows})]
        for repeat in repeats:
            own = {level: row for level, row in rows.items() if repeat in (None, level.repeat)}
            one = {level.of_all_repeats: row for level, row in own.items()}
            measured = Measured(outcome="completed", failure="", levels=one, attempts=(one,))
            score, _ = score_experiment(expected, measured, self._judging)
            if score.feasible and score.effective is not None:
                self._add(attempt.experiment.id, (score.effective,))

    def _add(self, experiment_id: str, scores: Sequence[float]) -> None:
        if not scores:
            return
        self._scores.setdefault(experiment_id, []).extend(scores)
        changed = {experiment_id}
        if self._best is not None and self._best[1] != experiment_id:
            changed.add(self._best[1])
        else:  # it may have become worse than any other
            changed |= self._scores.keys()
        means = [(sum(own) / len(own), id_) for id_ in changed if (own := self._scores[id_])]
        minimize = self._judging.objective.direction is Direction.MINIMIZE
        self._best = min(means) if minimize else max(means)


def _expected(experiment: Experiment) -> ExpectedExperiment:
    levels = tuple(dict.fromkeys(level.of_all_repeats for level in experiment.levels))
    found = tuple(workload.name for workload in experiment.workloads if workload.find is not None)
    return ExpectedExperiment(
        experiment.id, experiment.label, experiment.parameters, levels, found=found
    )

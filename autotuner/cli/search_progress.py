"""Of a study that searches: what was measured so far, the best of it, and what is asked for."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from autotuner.driver.live_score import LiveScore
from autotuner.driver.progress import AttemptFinished, ExperimentAsked, LevelFinished, StudyEvent
from autotuner.planning import Plan
from autotuner.results.score import unit_of
from autotuner.spec.experiment import Experiment, Purpose
from autotuner.spec.searching import Budget

__all__ = ["SearchProgress", "limits_text"]


class SearchProgress:
    """Counts experiments in the order of their start.

    Args:
        behind: So many were settled by earlier runs.
    """

    def __init__(self, plan: Plan, behind: int) -> None:
        self._searching = plan.spec.searching
        self._unit = unit_of(plan.spec.judging.objective.metric)
        self._score = LiveScore(plan.spec.judging)
        self._behind = behind
        self._numbers: dict[str, int] = {}
        self._why: dict[str, str] = {}
        self._last_why = ""
        self._candidates = len(plan.experiments)

    def update(self, event: StudyEvent) -> None:
        match event:
            case ExperimentAsked(experiment=experiment, why=why):
                self._why[experiment.id] = self._last_why = why
            case LevelFinished(attempt=attempt, result=result):
                self._score.level(attempt, result)
            case AttemptFinished(attempt=attempt, outcome=outcome):
                self._score.end(attempt, outcome)

    def number(self, experiment: Experiment) -> int:
        """Its place in the order of their start, from 1."""
        following = self._behind + len(self._numbers) + 1
        return self._numbers.setdefault(experiment.id, following)

    @property
    def most(self) -> int | None:
        """So many experiments are measured at most; None: nobody knows."""
        return self._searching.budget.experiments

    def begun(self) -> Iterator[str]:
        """What is said first."""
        yield (
            f"{self._candidates:,} candidates, of which {escape(self._searching.strategy)} chooses"
            f"{limits_text(self._searching.budget, ', ')}"
        )

    def why(self, experiment: Experiment, purpose: Purpose) -> str:
        """Why it is measured, in parentheses; empty where nobody has said."""
        why = self._why.get(experiment.id, "") if purpose is Purpose.SEARCH else ""
        return f" ({escape(why)})" if why else ""

    def tally(self, running: int, measured: int, failed: int) -> str:
        """E.g. ``2 running, 12 measured, 1 failed, best 1,234 tok/s; asked last: ...``."""
        of = f" of {self.most:,} at most" if self.most is not None else ""
        best = self._score.best
        shown = "" if best is None else f", best {_figures(best)} {self._unit}"
        last = f"; asked last: {self._last_why}" if self._last_why else ""
        return f"{running} running, {measured} measured{of}, {failed} failed{shown}{last}"


def limits_text(budget: Budget, before: str = "") -> str:
    """The limits of a search, e.g. ``up to 40 experiments and 8 h``; empty where there are none."""
    limits = []
    if budget.experiments is not None:
        limits.append(f"{budget.experiments:,} experiments")
    if budget.gpu_hours is not None:
        limits.append(f"{budget.gpu_hours:g} GPU-hours")
    if budget.wall_hours is not None:
        minutes = 60 * budget.wall_hours
        limits.append(f"{minutes:.0f} min" if minutes < 120 else f"{budget.wall_hours:g} h")
    return f"{before}up to {' and '.join(limits)}" if limits else ""


def _figures(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"

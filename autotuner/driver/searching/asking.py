"""Which candidates a study measures: asks its search strategy, and tells it what came of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from autotuner.driver.failures.alike import OF_NO_CONFIGURATION
from autotuner.driver.searching.past import SearchPast
from autotuner.driver.searching.spending import Spent, exhausted
from autotuner.planning import Plan
from autotuner.results.levels import LevelResult, LevelStatus
from autotuner.results.limits import LevelRow
from autotuner.results.pooling import pooled_results
from autotuner.search.base import Ask, Ended, Strategy, Told
from autotuner.spec.experiment import Completed, Experiment, Failed, FailureKind, Outcome, Pruned
from autotuner.spec.server import Footprint
from autotuner.spec.workload import Level

__all__ = ["Asked", "Asking"]

_MOST_OF_A_KIND = 4096
"""More of a kind than any cluster has places for at once."""
_SAYS_NOTHING = OF_NO_CONFIGURATION | {
    FailureKind.DIRTY_GPU,
    FailureKind.MODEL_NOT_FOUND,
    FailureKind.PORT_TAKEN,
}
"""Failures that are no news of the configuration: a model that learned from them would shun good
ones."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A candidate that is to be measured now."""

    experiment: Experiment
    ask: Ask


class Asking:
    """One run of a search.

    Args:
        past: What earlier runs have found and spent.
        to_do: Candidates that are measured whatever the strategy says: the baseline, and what
            earlier runs have begun.
    """

    def __init__(
        self, plan: Plan, strategy: Strategy, past: SearchPast, to_do: Sequence[Experiment]
    ) -> None:
        self._strategy = strategy
        self._searching = plan.spec.searching
        self._candidates = {one.id: one for one in strategy.problem.candidates}
        self._past = past.spent
        self._rows: dict[str, dict[Level, list[LevelResult]]] = {}
        self._ended_gpu_s = 0.0
        self._left = {e.id: e for e in plan.in_order if e.id in self._candidates}
        self._left_of: dict[Footprint, dict[str, Experiment]] = defaultdict(dict)
        for experiment in self._left.values():
            self._left_of[experiment.footprint][experiment.id] = experiment
        self._asked = 0
        """In this run, of those that no run before had begun."""
        begun = {told.candidate for told in past.told}
        for told in past.told:
            self._take(told.candidate)
            self._tell(told)
        for experiment in to_do:
            self._take(experiment.id)
            self._strategy.tell(Told(experiment.id))
        # The baseline, where nothing has been measured yet.
        self._asked = len(begun | {e.id for e in to_do}) - past.spent.experiments

    @property
    def candidates(self) -> int:
        return len(self._candidates)

    @property
    def asked(self) -> int:
        """Candidates that were asked for, in all runs."""
        return self._past.experiments + self._asked

    @property
    def left(self) -> Mapping[Footprint, Sequence[Experiment]]:
        """Candidates that nobody has asked for, by what they need; of each kind the first ones."""
        return {
            need: list(islice(some.values(), _MOST_OF_A_KIND))
            for need, some in self._left_of.items()
            if some
        }

    def ask(self, room: int, committed_gpu_s: float, run_s: float) -> tuple[Asked, ...]:
        """Up to so many candidates to measure now; none where it is enough, or better to wait.

        Args:
            room: How many could start.
            committed_gpu_s: GPU-seconds that running and waiting attempts take, as far as known.
            run_s: For how long this run has gone on.
        """
        if self.why_no_more(committed_gpu_s, run_s) is not None:
            return ()
        most = self._searching.budget.experiments
        room = room if most is None else min(room, most - self.asked)
        found = []
        for ask in self._strategy.ask(room):
            experiment = self._take(ask.candidate)
            if experiment is not None:
                self._asked += 1
                found.append(Asked(experiment, ask))
        return tuple(found)

    def _take(self, id_: str) -> Experiment | None:
        """It is left no longer; None where it was not."""
        experiment = self._left.pop(id_, None)
        if experiment is not None:
            del self._left_of[experiment.footprint][id_]
        return experiment

    def why_no_more(self, committed_gpu_s: float, run_s: float) -> str | None:
        """Why nothing more is asked for, in a sentence; None: more may be.

        What still runs may change it.
        """
        spent = Spent(
            self.asked,
            self._past.gpu_s + self._ended_gpu_s + committed_gpu_s,
            self._past.wall_s + run_s,
        )
        if not self._left:
            return f"all {len(self._candidates):,} candidates have been measured"
        # `stop_when` is the strategy's own: what is no better for one is better for another.
        return exhausted(self._searching.budget, spent) or self._strategy.finished

    def level(self, experiment: Experiment, result: LevelResult) -> None:
        """A level of an attempt has ended."""
        if result.status is not LevelStatus.OK:
            return
        rows = self._rows.setdefault(experiment.id, {})
        rows.setdefault(result.level.of_all_repeats, []).append(result)
        self._strategy.tell(Told(experiment.id, self._pooled(experiment.id)))

    def end(
        self,
        experiment: Experiment,
        outcome: Outcome,
        *,
        gpu_s: float,
        will_retry: bool,
        suspect: bool,
    ) -> None:
        """An attempt has ended.

        Args:
            gpu_s: That it has reserved.
            suspect: Whether it was lost on two nodes, so that its configuration may be the reason.
        """
        self._ended_gpu_s += gpu_s
        rows = self._pooled(experiment.id)
        self._rows.pop(experiment.id, None)
        ended = _ended(outcome, suspect=suspect)
        if will_retry or ended is None:
            self._strategy.tell(Told(experiment.id))
        else:
            self._tell(Told(experiment.id, rows, ended))

    def _tell(self, told: Told) -> None:
        if told.candidate in self._candidates:  # else of a study that has changed since
            self._strategy.tell(told)

    def _pooled(self, experiment_id: str) -> dict[Level, LevelRow]:
        rows = self._rows.get(experiment_id, {})
        return {level: pooled_results(results) for level, results in rows.items()}


def _ended(outcome: Outcome, *, suspect: bool) -> Ended | None:
    match outcome:
        case Completed():
            return Ended.COMPLETED
        case Pruned():
            return Ended.PRUNED
        case Failed(kind=kind):
            return Ended.LOST if kind in _SAYS_NOTHING and not suspect else Ended.FAILED
    return None

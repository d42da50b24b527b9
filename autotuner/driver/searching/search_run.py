"""A study's search while it runs: asks as places come free, and ends when it is enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable

from autotuner.driver.placing.dispatching import Dispatcher
from autotuner.driver.progress import CandidatesRefused, ExperimentAsked, SearchEnded, StudyEvent
from autotuner.driver.resume import Past
from autotuner.driver.running import Running
from autotuner.driver.searching.asking import Asked, Asking
from autotuner.driver.searching.past import search_past
from autotuner.driver.searching.searched import cannot_fit, strategy_of
from autotuner.execution.base import Slot
from autotuner.planning import Plan
from autotuner.results.levels import LevelResult
from autotuner.results.load import load_results
from autotuner.results.store import ResultStore
from autotuner.spec.experiment import Experiment, Outcome, Purpose

__all__ = ["SearchRun"]


class SearchRun:
    """Joins the strategy with what starts next and what is written down.

    Args:
        now_s: Of `time.monotonic`.
    """

    def __init__(
        self,
        asking: Asking,
        store: ResultStore,
        dispatcher: Dispatcher,
        emit: Callable[[StudyEvent], None],
        now_s: float,
    ) -> None:
        self.asking = asking
        self._store = store
        self._dispatcher = dispatcher
        self._emit = emit
        self._since_s = now_s
        self._has_ended = False

    @staticmethod
    def of(
        plan: Plan,
        store: ResultStore,
        past: Past,
        dispatcher: Dispatcher,
        emit: Callable[[StudyEvent], None],
        gpu: str | None = None,
    ) -> SearchRun | None:
        """The search of a study; None where everything is measured.

        Args:
            gpu: Model of the nodes' GPUs, for an estimator; None: what the study asks for.

        Raises:
            PlanError: there is no such strategy, or it cannot do what the study asks of it.
            OutputError: the results of earlier runs cannot be read, or nothing can be written.
        """
        if plan.spec.searching.measures_everything:
            return None
        to_do = {experiment.id for experiment in past.to_do}
        earlier = search_past(load_results(store.paths.root), to_do)
        refused = cannot_fit(plan, gpu, to_do | {told.candidate for told in earlier.told})
        strategy = strategy_of(plan, gpu, refused)
        if strategy is None:
            return None
        if refused:
            emit(
                CandidatesRefused(
                    tuple(
                        (e, refused[e.id].arithmetic) for e in plan.experiments if e.id in refused
                    )
                )
            )
        asking = Asking(plan, strategy, earlier, past.to_do)
        for experiment in past.to_do:
            store.write_asked(experiment.id, "baseline" if experiment.is_baseline else "")
        store.write_search_end(None)
        return SearchRun(asking, store, dispatcher, emit, time.monotonic())

    @property
    def candidates(self) -> Iterable[Experiment]:
        """That nobody has asked for."""
        return (experiment for some in self.asking.left.values() for experiment in some)

    def look(
        self,
        running: Collection[Running],
        lost: Iterable[Slot],
        now_s: float,
    ) -> tuple[Asked, ...]:
        """Ask for as many as could start; they wait then."""
        if self._has_ended or not self._dispatcher.is_due(now_s):
            return ()
        room = self._dispatcher.room(self.asking.left, running, lost, now_s)
        if not room:
            return ()
        committed_s = self._dispatcher.committed_gpu_s(running, now_s)
        found = self.asking.ask(room, committed_s, now_s - self._since_s)
        before = self.asking.asked - len(found)
        for number, one in enumerate(found, start=before + 1):
            self._store.write_asked(one.experiment.id, one.ask.why)
            self._emit(ExperimentAsked(one.experiment, one.ask.why, number))
        self._dispatcher.add(asked.experiment for asked in found)
        return found

    def end(self, now_s: float) -> None:
        """Nothing of it runs or waits, and it has asked for nothing: it has ended."""
        if self._has_ended:
            return
        self._has_ended = True
        why = self.asking.why_no_more(0.0, now_s - self._since_s)
        why = why or "the strategy asks for nothing more"
        self._store.write_search_end(why)
        self._emit(SearchEnded(why, self.asking.asked, self.asking.candidates))

    def level(self, running: Running, result: LevelResult) -> None:
        """A level of an attempt has ended."""
        if running.attempt.purpose is Purpose.SEARCH:
            self.asking.level(running.attempt.experiment, result)

    def attempt_ended(
        self, running: Running, outcome: Outcome, now_s: float, *, will_retry: bool, suspect: bool
    ) -> None:
        """See `Asking.end`."""
        if running.attempt.purpose is not Purpose.SEARCH:
            return  # a repeat follows the search, and is no news to it
        reserved_s = now_s - (running.first_event_at or now_s)
        self.asking.end(
            running.attempt.experiment,
            outcome,
            gpu_s=running.gpus_reserved * reserved_s,
            will_retry=will_retry,
            suspect=suspect,
        )

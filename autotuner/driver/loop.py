"""The study loop: place, submit, wait, record, retry, repeat. Start reading here.

One loop in one thread. It hands experiments to an executor as slots come free, writes each
level to the store as it arrives, and lets `FailurePolicy` decide what a failed attempt means.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace

from autotuner.driver.failures.policy import FailurePolicy
from autotuner.driver.in_flight import InFlight
from autotuner.driver.placing.dispatching import Dispatcher
from autotuner.driver.placing.idle_watch import IdleWatch
from autotuner.driver.progress import (
    AttemptFinished,
    AttemptStarted,
    LevelFinished,
    NodeSetAside,
    PhaseEntered,
    RoundStarted,
    SlotFreed,
    SlotQuarantined,
    StudyEnded,
    StudyEvent,
    StudyStarted,
)
from autotuner.driver.recording import record_attempt, running_facts
from autotuner.driver.repeating import Repeats
from autotuner.driver.resume import Past
from autotuner.driver.running import Running
from autotuner.driver.searching.load_starts import LoadStarts
from autotuner.driver.searching.search_run import SearchRun
from autotuner.driver.searching.searched import gpu_of
from autotuner.execution.base import AttemptLost, Executor, ExecutorEvent, Node, Slot
from autotuner.node.events import (
    AttemptEnded,
    AttemptOrder,
    LevelMeasured,
    PhaseStarted,
    SlotCleared,
)
from autotuner.planning import Plan
from autotuner.results.goodput import with_goodput
from autotuner.results.levels import LevelStatus
from autotuner.results.store import ResultStore
from autotuner.search.level_plans import LevelPlan
from autotuner.spec.experiment import (
    Attempt,
    Completed,
    Experiment,
    Failed,
    Outcome,
    Purpose,
)

__all__ = ["StudyDriver"]

_POLL_S = 0.5
_TOKEN_CHARACTERS = 8


class StudyDriver:
    """Carries one plan out.

    Args:
        past: What earlier runs have left to do.
        on_event: Called in this thread with everything that happens.
        interrupt: When set, the study stops: running attempts are cancelled, results kept.
        stop_requested: Asked twice a second; where it says yes, ``interrupt`` is set.
    """

    def __init__(
        self,
        plan: Plan,
        store: ResultStore,
        executor: Executor,
        past: Past,
        *,
        on_event: Callable[[StudyEvent], None],
        interrupt: threading.Event,
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> None:
        self._plan = plan
        self._store = store
        self._executor = executor
        self._past = past
        self._emit = on_event
        self._interrupt = interrupt
        self._stop_requested = stop_requested
        self._token = uuid.uuid4().hex[:_TOKEN_CHARACTERS]
        self._running = InFlight(executor, on_event)
        self._quarantined: dict[str, tuple[Running, str]] = {}
        """Attempts that have ended and hold a slot with a fault, and the fault."""
        self._next_number = store.attempt_numbers()
        everything = plan.spec.searching.measures_everything
        self._policy = FailurePolicy(
            past.to_do if everything else plan.experiments,
            max_attempts=plan.spec.max_attempts,
            give_up_after=plan.spec.give_up_after,
            any_completed=past.reused > 0,
        )
        self._dispatcher = Dispatcher(plan, executor, self._policy, past)
        self._idle_watch = IdleWatch(executor, self._dispatcher, on_event)
        gpu = gpu_of(node.gpu_model for node in executor.nodes())
        self._search = SearchRun.of(plan, store, past, self._dispatcher, on_event, gpu)
        self._repeats = Repeats(plan, store)
        self._purpose: dict[str, Purpose] = {}
        """Of experiments that are measured again."""
        self._level_plans: dict[str, LevelPlan] = {}
        """Experiment id -> which of its levels are run; all, where there is none."""
        self._load_starts = LoadStarts(plan.spec.judging)
        self._stopped: str | None = None

    def run(self) -> None:
        """Run until every experiment has an outcome, or until there is no sense in going on.

        Raises:
            ClusterError: an experiment needs more than the largest node has, or the nodes that
                could hold it have left and did not come back.
            OutputError: a result cannot be written.
        """
        self._dispatcher.check_fit(() if self._search is None else self._search.candidates)
        started = StudyStarted(
            self._plan, self._past.reused, self._past.given_up, self._executor.dashboard
        )
        self._emit(started)
        try:
            self._loop()
        finally:
            for attempt_id in [*(one.attempt.id for one in self._running.all), *self._quarantined]:
                self._executor.kill(attempt_id)
            self._executor.want({})
        self._emit(StudyEnded(self._interrupt.is_set(), self._stopped))

    @property
    def _why_ending(self) -> str | None:
        if self._interrupt.is_set():
            return "interrupted"
        return None if self._stopped is None else "the study has stopped"

    def _loop(self) -> None:
        while self._running or self._goes_on():
            if self._stop_requested():
                self._interrupt.set()
            if (reason := self._why_ending) is None:
                self._dispatch()
            else:
                for running in self._running.all:
                    self._running.stop(running, reason)
            self._running.check_deadlines()
            for attempt_id, event in self._executor.poll(_POLL_S):
                self._handle(attempt_id, event)

    def _goes_on(self) -> bool:
        """Whether there is more to start, now that nothing runs."""
        if self._why_ending is not None:
            return False
        return self._dispatcher.count > 0 or self._searches_on() or self._next_round()

    def _searches_on(self) -> bool:
        """Whether the search has more to ask for; it waits then."""
        if self._search is None:
            return False
        now = time.monotonic()
        self._ask(now)
        if not self._dispatcher.count:
            self._search.end(now)
        return self._dispatcher.count > 0

    def _next_round(self) -> bool:
        """Whether something is to be measured once more; it waits then."""
        slots = self._dispatcher.places(self._plan.experiments, time.monotonic())
        wanted = self._repeats.next_round(slots)
        if wanted is None:
            return False
        self._purpose |= {experiment.id: wanted.purpose for experiment in wanted.experiments}
        self._level_plans |= wanted.levels
        self._dispatcher.add(wanted.experiments, wanted.host)
        self._emit(RoundStarted(wanted.experiments, wanted.purpose, wanted.why))
        return True

    def _ask(self, now: float) -> None:
        if self._search is None:
            return
        for one in self._search.look(self._running.all, self._lost, now):
            self._level_plans[one.experiment.id] = one.ask.levels

    @property
    def _lost(self) -> list[Slot]:
        return [running.slot for running, _ in self._quarantined.values()]

    def _dispatch(self) -> None:
        now = time.monotonic()
        self._ask(now)
        for experiment, slot in self._dispatcher.next(self._running.all, self._lost, now):
            self._submit(experiment, slot)
        faults = [(one.slot, fault) for one, fault in self._quarantined.values()]
        self._idle_watch.look(now, anything_runs=bool(self._running), faults=faults)

    def _submit(self, experiment: Experiment, slot: Slot) -> None:
        number = self._next_number[experiment.id]
        self._next_number[experiment.id] = number + 1
        purpose = self._purpose.get(experiment.id, Purpose.SEARCH)
        attempt = Attempt(self._plan.study_id, experiment, number, purpose, self._token)
        spec = self._plan.spec
        order = AttemptOrder(attempt, spec.bench, spec.timeouts, spec.order_seed)
        order = order.with_plan(self._level_plan(experiment, purpose), spec.judging)
        self._running.submit(order, slot)
        self._emit(AttemptStarted(attempt, slot.node.host, order.known_levels))

    def _level_plan(self, experiment: Experiment, purpose: Purpose) -> LevelPlan | None:
        plan = self._level_plans.get(experiment.id)
        search = self._load_starts.plan_of(experiment) if purpose is Purpose.SEARCH else None
        return search or plan

    def _handle(self, attempt_id: str, event: ExecutorEvent) -> None:
        if attempt_id in self._quarantined and isinstance(event, SlotCleared):
            held, _ = self._quarantined.pop(attempt_id)
            self._dispatcher.look_again()
            self._emit(SlotFreed(held.attempt, held.slot.node.host))
        # Others are of an earlier study on the same executor, which ended with an exception.
        if (running := self._running.get(attempt_id)) is not None:
            self._handle_running(running, event)

    def _handle_running(self, running: Running, event: ExecutorEvent) -> None:
        if running.first_event_at is None and not isinstance(event, AttemptLost):
            running.first_event_at = time.monotonic()
        match event:
            case PhaseStarted(phase=phase):
                running.enter(phase, time.monotonic())
                self._emit(PhaseEntered(running.attempt, phase))
            case LevelMeasured(result=result):
                gpus = running.attempt.experiment.footprint.gpus
                result = with_goodput(result, self._plan.spec.judging, gpus)
                self._store.write_level(running.attempt, result)
                running.has_measured |= result.status is LevelStatus.OK
                self._load_starts.level(running.attempt, result)
                if self._search is not None:
                    self._search.level(running, result)
                self._emit(LevelFinished(running.attempt, result))
            case AttemptEnded(outcome=outcome, slot_fault=fault):
                self._finish(running, running.outcome_of_end(outcome, self._why_ending), event)
                if fault is not None:
                    self._quarantine(running, fault)
            case AttemptLost(kind=kind, message=message):
                outcome = running.outcome_of_loss(kind, message, self._why_ending)
                ended = AttemptEnded(outcome, blamed_rank=event.blamed_rank)
                self._finish(running, outcome, ended)

    def _quarantine(self, running: Running, fault: str) -> None:
        self._quarantined[running.attempt.id] = (running, fault)
        self._dispatcher.look_again()
        self._emit(SlotQuarantined(running.attempt, running.slot.node.host, fault))

    def _finish(self, running: Running, outcome: Outcome, ended: AttemptEnded) -> None:
        attempt, node = running.attempt, running.slot.nodes[ended.blamed_rank]
        self._running.remove(running)
        began = running.first_event_at is not None
        now = time.monotonic()
        aside = self._policy.record(attempt.experiment, node, outcome, now, began=began)
        if isinstance(outcome, Failed) and self._policy.is_suspect(attempt.experiment):
            outcome = replace(outcome, message=outcome.message + _SUSPECT)
        facts = {**running_facts(running, self._plan.spec.bench.name), **ended.facts}
        row = record_attempt(
            self._plan, self._store, attempt, outcome, facts=facts, logs=ended.logs
        )
        self._dispatcher.ended(running, now, completed=isinstance(outcome, Completed))
        self._load_starts.end(attempt, outcome)
        nodes = self._dispatcher.nodes(now)
        retry = self._why_ending is None and self._policy.may_retry(
            attempt.experiment, outcome, nodes
        )
        if retry:
            self._dispatcher.retry(attempt.experiment)
        elif isinstance(outcome, Failed):
            self._repeats.close(attempt.experiment)
        if isinstance(outcome, Failed):
            self._dispatcher.failed()
        if self._search is not None:
            suspect = self._policy.is_suspect(attempt.experiment)
            self._search.attempt_ended(running, outcome, now, will_retry=retry, suspect=suspect)
        self._emit(AttemptFinished(attempt, outcome, will_retry=retry, row=row))
        for host in sorted({n.host for n in nodes if n.id in aside and len(nodes) > 1}):
            self._emit(NodeSetAside(host))
        if self._why_ending is None:
            self._stopped = self._why_stop_early(nodes, running)

    def _why_stop_early(self, nodes: tuple[Node, ...], ended: Running) -> str | None:
        if any(running.has_measured for running in self._running.all):
            return None  # something works: its end will tell
        busy = {running.slot.node.id for running in self._running.all}
        outlived = any(running.began_no_later_than(ended) for running in self._running.all)
        return self._policy.study.systemic(nodes, busy, outlived=outlived)


_SUSPECT = "; lost on two different nodes: the configuration is suspect and is not tried again"

"""The study loop: place, submit, wait, record, retry. Start reading here.

One loop in one thread. It hands experiments to an executor as slots come free, writes each
level to the store as it arrives, and decides what a failed attempt means.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from autotuner.errors import ClusterError
from autotuner.execution.base import AttemptLost, Executor, ExecutorEvent, Node, Slot
from autotuner.execution.placement import fits_some_node, place
from autotuner.node.events import AttemptEnded, AttemptOrder, LevelMeasured, PhaseStarted
from autotuner.planning import Plan
from autotuner.progress import (
    AttemptFinished,
    AttemptStarted,
    AttemptWaiting,
    LevelFinished,
    PhaseEntered,
    StudyEnded,
    StudyEvent,
    StudyStarted,
)
from autotuner.results.experiments import experiment_row
from autotuner.results.files import write_text
from autotuner.results.levels import not_measured
from autotuner.results.store import ResultStore
from autotuner.spec.experiment import (
    Attempt,
    Cancelled,
    Experiment,
    Failed,
    FailureKind,
    Outcome,
    Phase,
)
from autotuner.spec.workload import Level

__all__ = ["StudyDriver"]

_POLL_S = 0.5
_STOP_PATIENCE_S = 8.0
"""How long cancelled attempts may take to end in order before they are killed."""
_OVERDUE_SLACK_S = 120.0
_OVERDUE = "the attempt outlived all its time-outs"
_WAITING_S = 60.0
"""An attempt without a sign of life for so long is reported: it may wait for others' devices."""
_NODE_PATIENCE_S = 600.0
"""How long to wait, with nothing running, for a node that could hold what is left."""


@dataclass
class _Running:
    """An attempt between its submission and its end."""

    order: AttemptOrder
    slot: Slot
    neighbours: int
    submitted_at: float = field(default_factory=time.monotonic)
    first_event_at: float | None = None
    reported_waiting: bool = False
    phase: Phase = Phase.PREFLIGHT
    measured: set[Level] = field(default_factory=set)
    stopping_since: float | None = None

    @property
    def attempt(self) -> Attempt:
        return self.order.attempt


class StudyDriver:
    """Carries one plan out.

    Args:
        on_event: Called in this thread with everything that happens.
        interrupt: When set, the study stops: running attempts are cancelled, results kept.
    """

    def __init__(
        self,
        plan: Plan,
        store: ResultStore,
        executor: Executor,
        *,
        on_event: Callable[[StudyEvent], None],
        interrupt: threading.Event,
    ) -> None:
        self._plan = plan
        self._store = store
        self._executor = executor
        self._emit = on_event
        self._interrupt = interrupt
        self._waiting: list[Experiment] = []
        self._running: dict[str, _Running] = {}
        self._next_number = store.attempt_numbers()
        self._tries: dict[str, int] = {}
        self._idle_since: float | None = None

    def run(self) -> None:
        """Run until every experiment has an outcome, or until interrupted.

        Raises:
            ClusterError: an experiment needs more than the largest node has, or the nodes that
                could hold it have left and did not come back.
            OutputError: a result cannot be written.
        """
        finished = self._store.finished()
        self._waiting = [e for e in self._plan.experiments if e.id not in finished]
        self._check_fit()
        reused = len(self._plan.experiments) - len(self._waiting)
        self._emit(StudyStarted(self._plan, reused, self._executor.dashboard))
        try:
            self._loop()
        except BaseException:
            for attempt_id in self._running:
                self._executor.kill(attempt_id)
            raise
        self._emit(StudyEnded(interrupted=self._interrupt.is_set()))

    def _loop(self) -> None:
        while self._running or (self._waiting and not self._interrupt.is_set()):
            if self._interrupt.is_set():
                self._stop_all("interrupted")
            else:
                self._dispatch()
            self._check_deadlines()
            for attempt_id, event in self._executor.poll(_POLL_S):
                self._handle(self._running[attempt_id], event)

    def _check_fit(self) -> None:
        nodes = self._executor.nodes()
        for experiment in self._waiting:
            if not fits_some_node(experiment.footprint, nodes):
                raise ClusterError(_does_not_fit(experiment, nodes))

    def _dispatch(self) -> None:
        taken = [running.slot for running in self._running.values()]
        nodes = self._executor.nodes()
        for experiment, slot in place(self._waiting, nodes, taken):
            self._waiting.remove(experiment)
            number = self._next_number[experiment.id]
            self._next_number[experiment.id] = number + 1
            self._tries[experiment.id] = self._tries.get(experiment.id, 0) + 1
            attempt = Attempt(self._plan.study_id, experiment, number)
            order = AttemptOrder(attempt, self._plan.spec.bench, self._plan.spec.timeouts)
            neighbours = sum(r.slot.node.id == slot.node.id for r in self._running.values())
            self._running[attempt.id] = _Running(order, slot, neighbours)
            self._executor.submit(order, slot)
            self._emit(AttemptStarted(attempt, slot.node.host))
        self._check_idle(nodes)

    def _check_idle(self, nodes: tuple[Node, ...]) -> None:
        if self._running:
            self._idle_since = None
            return
        now = time.monotonic()
        self._idle_since = self._idle_since or now
        if now - self._idle_since > _NODE_PATIENCE_S:
            raise ClusterError(_does_not_fit(self._waiting[0], nodes))

    def _handle(self, running: _Running, event: ExecutorEvent) -> None:
        if running.first_event_at is None and not isinstance(event, AttemptLost):
            running.first_event_at = time.monotonic()
        match event:
            case PhaseStarted(phase=phase):
                running.phase = phase
                self._emit(PhaseEntered(running.attempt, phase))
            case LevelMeasured(result=result):
                self._store.write_level(running.attempt, result)
                running.measured.add(result.level)
                self._emit(LevelFinished(running.attempt, result))
            case AttemptEnded(outcome=outcome, facts=facts, logs=logs):
                self._write_logs(running.attempt, logs)
                self._finish(running, self._outcome_of_end(running, outcome), facts)
            case AttemptLost(kind=kind, message=message):
                self._finish(running, self._outcome_of_loss(running, kind, message), {})

    def _outcome_of_end(self, running: _Running, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Cancelled) and self._was_overdue(running):
            return Failed(FailureKind.SERVER_HUNG, running.phase, _OVERDUE)
        return outcome

    def _outcome_of_loss(self, running: _Running, kind: FailureKind, message: str) -> Outcome:
        if self._interrupt.is_set():
            return Cancelled("interrupted")
        if self._was_overdue(running):
            kind, message = FailureKind.SERVER_HUNG, _OVERDUE
        return Failed(kind, running.phase, message)

    def _was_overdue(self, running: _Running) -> bool:
        return running.stopping_since is not None and not self._interrupt.is_set()

    def _finish(self, running: _Running, outcome: Outcome, facts: Mapping[str, object]) -> None:
        attempt = running.attempt
        del self._running[attempt.id]
        simulated = bool(facts.get("simulated", self._plan.simulated))
        for level in attempt.experiment.levels:
            if level not in running.measured:
                reason = _why_not_measured(outcome)
                row = not_measured(level, attempt, reason, simulated=simulated)
                self._store.write_level(attempt, row)
        row_facts = {**self._driver_facts(running), **facts, "simulated": simulated}
        self._store.write_experiment(
            experiment_row(
                attempt,
                outcome,
                study=self._plan.spec.name,
                parameters=self._store.study.parameters,
                facts=row_facts,
            )
        )
        retry = self._may_retry(attempt, outcome)
        if retry:
            self._waiting.append(attempt.experiment)
        self._emit(AttemptFinished(attempt, outcome, will_retry=retry))

    def _driver_facts(self, running: _Running) -> dict[str, object]:
        now = datetime.now(UTC)
        first = running.first_event_at
        return {
            "node_id": running.slot.node.id,
            "host": running.slot.node.host,
            "gpu_model": running.slot.node.gpu_model if running.slot.gpus else None,
            "bench": self._plan.spec.bench.name,
            "concurrent_attempts": running.neighbours,
            "seconds_actor_start": None if first is None else first - running.submitted_at,
            "ended_at": now,
        }

    def _may_retry(self, attempt: Attempt, outcome: Outcome) -> bool:
        return (
            isinstance(outcome, Failed)
            and outcome.kind.retryable
            and not self._interrupt.is_set()
            and self._tries[attempt.experiment.id] < self._plan.spec.max_attempts
        )

    def _stop_all(self, reason: str) -> None:
        for running in self._running.values():
            self._stop(running, reason)

    def _check_deadlines(self) -> None:
        """The node keeps its own deadlines; these are for a node that does not."""
        now = time.monotonic()
        for running in list(self._running.values()):
            if running.first_event_at is None:
                self._report_waiting(running, now - running.submitted_at)
            elif now - running.first_event_at > running.order.longest_s + _OVERDUE_SLACK_S:
                self._stop(running, "overdue")
            patience_ends = (running.stopping_since or now) + _STOP_PATIENCE_S
            if now > patience_ends:
                self._executor.kill(running.attempt.id)

    def _report_waiting(self, running: _Running, waited_s: float) -> None:
        """Not a failure: on a shared cluster others may hold what the slot promised."""
        if waited_s > _WAITING_S and not running.reported_waiting:
            running.reported_waiting = True
            self._emit(AttemptWaiting(running.attempt, running.slot.node.host, waited_s))

    def _stop(self, running: _Running, reason: str) -> None:
        if running.stopping_since is None:
            running.stopping_since = time.monotonic()
            self._executor.stop(running.attempt.id, reason)

    def _write_logs(self, attempt: Attempt, logs: Mapping[str, str]) -> None:
        folder = self._store.paths.log_dir(attempt.id)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in logs.items():
            write_text(folder / name, text)


def _why_not_measured(outcome: Outcome) -> str:
    match outcome:
        case Failed(kind=kind, message=message):
            return f"{kind.value}: {message}"
        case Cancelled(reason=reason):
            return f"cancelled: {reason}"
    return "the attempt ended without this level"


def _does_not_fit(experiment: Experiment, nodes: tuple[Node, ...]) -> str:
    need = experiment.footprint
    largest = max(nodes, key=lambda node: (node.gpus, node.cpus), default=None)
    has = "the cluster has no node"
    if largest is not None:
        has = f"the largest node ({largest.host}) has {largest.gpus} GPUs and {largest.cpus} CPUs"
    return (
        f"experiment {experiment.id} ({experiment.label}) needs {need.gpus_per_node} GPUs and "
        f"{need.cpus.reserve} CPUs on one node, but {has}. Set resources.gpus or resources.cpus, "
        "remove the wide parallel sizes, or use a larger cluster (--address)"
    )

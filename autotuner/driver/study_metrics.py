"""A study's events as metrics: what Prometheus is told while it runs."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from autotuner.driver.live_score import LiveScore
from autotuner.driver.progress import (
    AttemptFinished,
    AttemptStarted,
    ExperimentAsked,
    LevelFinished,
    StudyEnded,
    StudyEvent,
    StudyStarted,
)
from autotuner.execution.metrics import Metric, Sample
from autotuner.planning import Plan
from autotuner.results.levels import LevelResult, LevelStatus
from autotuner.results.schema import GPU_TIME_SHARES
from autotuner.results.score import Ranking, unit_of
from autotuner.spec.experiment import (
    Cancelled,
    Completed,
    Experiment,
    Failed,
    Outcome,
    Pruned,
    Purpose,
)

__all__ = ["METRICS", "StudyMetrics", "metrics_watcher"]

EXPERIMENTS = Metric(
    "autotuner_experiments",
    "Experiments that are waiting, running, completed, pruned, failed or cancelled",
    ("study", "state"),
)
GPUS_RESERVED = Metric("autotuner_gpus_reserved", "GPUs that running attempts hold", ("study",))
BEST_SCORE = Metric(
    "autotuner_best_score",
    "Score of the best feasible experiment so far, in the unit of the objective's metric",
    ("study", "objective", "unit"),
)
THROUGHPUT = Metric(
    "autotuner_level_output_tokens_per_second",
    "Output throughput of the level that ended last, of those with this load",
    ("study", "workload", "concurrency"),
)
TTFT = Metric(
    "autotuner_level_ttft_seconds",
    "Time to the first token in the level that ended last, of those with this load",
    ("study", "workload", "concurrency", "quantile"),
)
LEVELS = Metric(
    "autotuner_levels_total",
    "Levels that have ended: ok, failed, not_measured or skipped",
    ("study", "status"),
    cumulative=True,
)
FAILURES = Metric(
    "autotuner_failures_total",
    "Attempts that have failed, also those that are tried again",
    ("study", "kind"),
    cumulative=True,
)
GPU_SECONDS = Metric(
    "autotuner_gpu_seconds_total",
    "GPU time of attempts that have ended: start, warmup, load, overhead, idle, or unknown",
    ("study", "share"),
    cumulative=True,
)
METRICS = (
    EXPERIMENTS,
    GPUS_RESERVED,
    BEST_SCORE,
    THROUGHPUT,
    TTFT,
    LEVELS,
    FAILURES,
    GPU_SECONDS,
)

STATES = ("waiting", "running", "completed", "pruned", "failed", "cancelled")
_QUANTILES = {"0.5": "ttft_s_p50", "0.95": "ttft_s_p95"}


class StudyMetrics:
    """The metrics of one study, kept up to date by its events.

    Args:
        earlier: The ranking of what an earlier run has measured, where there is any.
    """

    def __init__(self, plan: Plan, earlier: Ranking | None = None) -> None:
        self._study = plan.spec.name
        self._objective = plan.spec.judging.objective
        self._score = LiveScore(plan.spec.judging, earlier)
        self._states = dict.fromkeys(STATES, 0)
        self._all_wait = plan.spec.searching.measures_everything
        """From the start; candidates of a search wait from when they are asked for."""
        self._state_of: dict[str, str] = {}
        """Of each experiment that an attempt has been started of."""
        self._gpus: dict[str, int] = {}
        """Of each running attempt."""
        self._levels: dict[tuple[str, str], LevelResult] = {}
        """The last one by workload and concurrency."""
        self._counts: defaultdict[tuple[Metric, str], float] = defaultdict(float)
        self._ended = False

    def update(self, event: StudyEvent) -> None:
        match event:
            case StudyStarted(plan=plan, reused=reused, given_up=given_up):
                waiting = len(plan.experiments) - reused - given_up if self._all_wait else 0
                self._states |= {"waiting": waiting, "completed": reused, "failed": given_up}
            case ExperimentAsked(experiment=experiment):
                self._await(experiment)
            case AttemptStarted(attempt=attempt):
                if attempt.purpose is Purpose.SEARCH:
                    self._await(attempt.experiment)
                self._state_of.setdefault(attempt.experiment.id, "completed")
                self._move(attempt.experiment, "running")
                self._gpus[attempt.id] = attempt.experiment.footprint.gpus
            case LevelFinished(attempt=attempt, result=result):
                self._counts[LEVELS, result.status.value] += 1
                self._score.level(attempt, result)
                if result.status is LevelStatus.OK:
                    level = result.level
                    self._levels[level.workload, str(level.concurrency)] = result
            case AttemptFinished(attempt=attempt, outcome=outcome):
                self._finish(event)
                self._score.end(attempt, outcome)
            case StudyEnded():
                self._ended = True

    def samples(self) -> tuple[Sample, ...]:
        """All that is known now; of a study that has ended, what it has counted."""
        return (*(() if self._ended else self._states_now()), *self._counted())

    def _finish(self, event: AttemptFinished) -> None:
        attempt, outcome = event.attempt, event.outcome
        self._gpus.pop(attempt.id, None)
        # One that is measured again has been measured, whatever becomes of that.
        state = _state_after(outcome, will_retry=event.will_retry)
        self._move(attempt.experiment, state if attempt.purpose is Purpose.SEARCH else "completed")
        if isinstance(outcome, Failed):
            self._counts[FAILURES, outcome.kind.value] += 1
        for share, gpu_seconds in _gpu_seconds(event.row):
            self._counts[GPU_SECONDS, share] += gpu_seconds

    def _await(self, experiment: Experiment) -> None:
        """It waits now, if nothing is known of it yet."""
        if experiment.id not in self._state_of:
            self._state_of[experiment.id] = "waiting"
            self._states["waiting"] += not self._all_wait

    def _move(self, experiment: Experiment, state: str) -> None:
        self._states[self._state_of[experiment.id]] -= 1
        self._states[state] += 1
        self._state_of[experiment.id] = state

    def _states_now(self) -> Iterable[Sample]:
        for state in STATES:
            yield Sample(EXPERIMENTS, (self._study, state), self._states[state])
        yield Sample(GPUS_RESERVED, (self._study,), sum(self._gpus.values()))
        if (best := self._score.best) is not None:
            tags = (self._study, self._objective.describe(), unit_of(self._objective.metric))
            yield Sample(BEST_SCORE, tags, best)
        for load, result in self._levels.items():
            yield from _level_samples((self._study, *load), result.summary)

    def _counted(self) -> Iterable[Sample]:
        for (metric, value), count in self._counts.items():
            yield Sample(metric, (self._study, value), count)


def metrics_watcher(
    metrics: Callable[[], StudyMetrics], publish: Callable[[Iterable[Sample]], None]
) -> Callable[[StudyEvent], None]:
    """A watcher of events that publishes metrics, and never raises: no study is lost for them."""
    made: StudyMetrics | None = None
    broken = False

    def on_event(event: StudyEvent) -> None:
        nonlocal made, broken
        if broken:
            return
        try:
            made = made or metrics()
            made.update(event)
            publish(made.samples())
        except Exception:
            broken = True
            logging.getLogger(__name__).warning("no more metrics of this study", exc_info=True)

    return on_event


def _state_after(outcome: Outcome, *, will_retry: bool) -> str:
    match outcome:
        case Completed():
            return "completed"
        case Pruned():
            return "pruned"
        case Cancelled():
            return "cancelled"
    return "waiting" if will_retry else "failed"


def _gpu_seconds(row: Mapping[str, object]) -> Iterable[tuple[str, float]]:
    """By share; all of it unknown where an attempt was lost, and could not tell."""
    shares = {share: row.get(f"gpu_seconds_{share}") for share in GPU_TIME_SHARES}
    if set(shares.values()) == {None}:
        shares = {"unknown": row.get("gpu_seconds_reserved")}
    for share, gpu_seconds in shares.items():
        if isinstance(gpu_seconds, float):
            yield share, gpu_seconds


def _level_samples(load: tuple[str, ...], row: Mapping[str, object]) -> Iterable[Sample]:
    if isinstance(throughput := row.get("output_throughput_tok_s"), float):
        yield Sample(THROUGHPUT, load, throughput)
    for quantile, column in _QUANTILES.items():
        if isinstance(ttft_s := row.get(column), float):
            yield Sample(TTFT, (*load, quantile), ttft_s)

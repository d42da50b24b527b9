"""What Prometheus is told of a study, event by event."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from autotuner.driver.progress import (
    AttemptFinished,
    AttemptStarted,
    ExperimentAsked,
    LevelFinished,
    StudyEnded,
    StudyStarted,
)
from autotuner.driver.study_metrics import METRICS, STATES, StudyMetrics, metrics_watcher
from autotuner.execution.local import LocalExecutor
from autotuner.planning import plan
from autotuner.results.level_rows import level_result, not_measured
from autotuner.results.levels import LevelStatus, RequestRecord, RequestStatus
from autotuner.spec.experiment import (
    Attempt,
    Cancelled,
    Completed,
    Failed,
    FailureKind,
    Phase,
    Pruned,
    Purpose,
)
from autotuner.spec.objective import Direction, Objective
from autotuner.spec.searching import Searching
from autotuner.study import run

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CRASHED = Failed(FailureKind.SERVER_CRASHED, Phase.LOAD, "it broke")


class Watched:
    """A study of which the test says what happens."""

    def __init__(self, spec, *, reused=0, given_up=0, earlier=None):
        self.plan = plan(spec)
        self.metrics = StudyMetrics(self.plan, earlier)
        self.metrics.update(StudyStarted(self.plan, reused, given_up, None))

    def start(self, index=0, number=1, purpose=Purpose.SEARCH):
        experiment = self.plan.experiments[index]
        attempt = Attempt(self.plan.study_id, experiment, number, purpose)
        self.metrics.update(AttemptStarted(attempt, "host-1", experiment.levels))
        return attempt

    def level(self, attempt, index=0, *, ttft_s=0.1, tokens=8):
        record = RequestRecord(
            0,
            RequestStatus.COMPLETED,
            0.0,
            ttft_s=ttft_s,
            e2e_latency_s=1.0,
            input_tokens=16,
            output_tokens=tokens,
        )
        result = level_result(
            attempt.experiment.levels[index],
            [record],
            attempt=attempt,
            started_at=NOW,
            gpus=0,
            failure=None,
            simulated=True,
        )
        self.metrics.update(LevelFinished(attempt, result))

    def measure(self, attempt, *tokens):
        for index, count in enumerate(tokens):
            self.level(attempt, index, tokens=count)
        self.finish(attempt, Completed())

    def finish(self, attempt, outcome, *, will_retry=False, row=None):
        self.metrics.update(AttemptFinished(attempt, outcome, will_retry, row or {}))

    def value(self, name, *tags):
        """Of the one sample with these tags after the study's name; None where there is none."""
        found = [
            sample.value
            for sample in self.metrics.samples()
            if sample.metric.name == f"autotuner_{name}" and sample.tags[1:] == tags
        ]
        assert len(found) <= 1
        return found[0] if found else None

    @property
    def states(self):
        return {s: n for s in STATES if (n := self.value("experiments", s))}


@pytest.fixture
def watched(make_spec):
    return lambda *axes, **changes: Watched(make_spec(*axes, **changes))


SEQS = {"max-num-seqs": [1, 2, 3, 4]}


def test_every_experiment_is_in_exactly_one_state(watched):
    study = watched(SEQS)
    assert study.states == {"waiting": 4}
    first, second, third = study.start(0), study.start(1), study.start(2)
    assert study.states == {"waiting": 1, "running": 3}
    study.finish(first, Completed())
    study.finish(second, CRASHED, will_retry=True)
    study.finish(third, Cancelled("interrupted"))
    assert study.states == {"waiting": 2, "completed": 1, "cancelled": 1}
    study.finish(study.start(1, number=2), CRASHED)
    assert study.states == {"waiting": 1, "completed": 1, "failed": 1, "cancelled": 1}
    study.finish(study.start(3), Pruned("behind"))
    assert study.states == {"pruned": 1, "completed": 1, "failed": 1, "cancelled": 1}


def test_what_earlier_runs_settled_is_counted(make_spec):
    study = Watched(make_spec(SEQS), reused=2, given_up=1)
    assert study.states == {"waiting": 1, "completed": 2, "failed": 1}


@pytest.mark.parametrize("outcome", [Completed(), CRASHED, Cancelled("interrupted")])
@pytest.mark.parametrize("reused", [0, 1])
def test_an_experiment_that_is_measured_again_stays_completed(make_spec, outcome, reused):
    study = Watched(make_spec({"max-num-seqs": [1]}), reused=reused)
    if not reused:
        study.finish(study.start(), Completed())
    again = study.start(number=2, purpose=Purpose.CONFIRM)
    assert study.states == {"running": 1}
    study.finish(again, outcome)
    assert study.states == {"completed": 1}


def test_levels_and_failures_are_counted_by_what_they_are(watched):
    study = watched(SEQS)
    attempt = study.start()
    study.level(attempt)
    lost = not_measured(attempt.experiment.levels[1], attempt, "it broke")
    study.metrics.update(LevelFinished(attempt, lost))
    study.finish(attempt, CRASHED, will_retry=True)
    study.finish(study.start(number=2), CRASHED)
    assert study.value("levels_total", "ok") == 1
    assert study.value("levels_total", LevelStatus.NOT_MEASURED) == 1
    assert study.value("failures_total", "server_crashed") == 2


def test_the_last_level_of_each_load_is_shown(watched):
    study = watched(SEQS)
    first, second = study.start(0), study.start(1)
    study.level(first, 0, ttft_s=0.5, tokens=8)
    study.level(first, 1, ttft_s=0.7, tokens=9)
    study.level(second, 0, ttft_s=0.2, tokens=16)
    assert study.value("level_ttft_seconds", "chat", "1", "0.5") == 0.2
    assert study.value("level_ttft_seconds", "chat", "2", "0.95") == 0.7
    assert study.value("level_output_tokens_per_second", "chat", "1") == 16
    assert study.value("level_output_tokens_per_second", "chat", "2") == 9


def test_the_best_score_is_of_a_completed_experiment(watched):
    study = watched(SEQS)
    tags = ("maximize output_throughput_tok_s at best level", "tok/s")
    first, second = study.start(0), study.start(1)
    for index in range(2):
        study.level(first, index, tokens=99)
    assert study.value("best_score", *tags) is None
    study.finish(first, CRASHED)
    study.measure(second, 10, 20)
    assert study.value("best_score", *tags) == 20
    study.measure(study.start(2), 10, 15)
    assert study.value("best_score", *tags) == 20


def test_the_best_of_what_is_minimized_is_the_least(watched):
    objective = Objective("latency", "ttft_s", Direction.MINIMIZE, "p50", "chat", 1)
    study = watched(SEQS, objective=objective)
    for index, ttft_s in enumerate((0.5, 0.3, 0.4)):
        attempt = study.start(index)
        for level in range(2):
            study.level(attempt, level, ttft_s=ttft_s)
        study.finish(attempt, Completed())
    tags = ("minimize ttft_s_p50 at workload chat, concurrency 1", "s")
    assert study.value("best_score", *tags) == 0.3


def test_a_lucky_server_does_not_stay_the_best_when_it_is_measured_again(watched):
    study = watched(SEQS)
    tags = ("maximize output_throughput_tok_s at best level", "tok/s")
    study.measure(study.start(0), 30, 30)
    study.measure(study.start(1), 25, 25)
    study.measure(study.start(0, number=2, purpose=Purpose.CONFIRM), 10, 10)
    assert study.value("best_score", *tags) == 25


def test_gpu_time_is_counted_by_share_and_unknown_where_an_attempt_was_lost(watched):
    study = watched(SEQS, gpus=1)
    first, second = study.start(0), study.start(1)
    assert study.value("gpus_reserved") == 2
    shares = {"start": 60.0, "warmup": 5.0, "load": 30.0, "overhead": 4.0, "idle": 1.0}
    row = {f"gpu_seconds_{share}": seconds for share, seconds in shares.items()}
    study.finish(first, Completed(), row={**row, "gpu_seconds_reserved": 100.0})
    nothing = dict.fromkeys(row)
    study.finish(second, CRASHED, row={**nothing, "gpu_seconds_reserved": 50.0})
    known = {share: study.value("gpu_seconds_total", share) for share in shares}
    assert known == shares
    assert study.value("gpu_seconds_total", "unknown") == 50.0
    assert study.value("gpus_reserved") == 0


def test_of_a_study_that_has_ended_only_its_counts_remain(watched):
    study = watched(SEQS)
    study.measure(study.start(), 8, 8)
    study.metrics.update(StudyEnded(interrupted=False))
    assert {sample.metric.name for sample in study.metrics.samples()} == {"autotuner_levels_total"}


def test_series_are_few_and_name_no_experiment(watched):
    """Each combination of tags is kept for weeks by whoever collects them."""
    study = watched({"max-num-seqs": list(range(1, 50))})
    for index in range(49):
        study.measure(study.start(index), 8, 9)
    samples = study.metrics.samples()
    assert len(samples) < 20
    ids = {experiment.id for experiment in study.plan.experiments}
    assert not ids & {tag for sample in samples for tag in sample.tags}
    assert all(len(sample.tags) == len(sample.metric.tags) for sample in samples)


def test_names_are_as_prometheus_wants_them():
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert all(name.startswith("autotuner_") for name in names)
    assert [m.name.endswith("_total") for m in METRICS] == [m.cumulative for m in METRICS]


class WithMetrics(LocalExecutor):
    def __init__(self, error=None):
        super().__init__(cpus=2)
        self.error = error
        self.published = []

    def publish(self, samples):
        self.published.append(tuple(samples))
        if self.error is not None:
            raise self.error


def test_a_study_publishes_its_metrics_where_it_runs(make_spec):
    with WithMetrics() as executor:
        run(make_spec(gpus=0), executor=executor)
    everything = {sample.metric.name for samples in executor.published for sample in samples}
    unknown_here = {"autotuner_failures_total"}
    assert everything == {metric.name for metric in METRICS} - unknown_here
    (levels,) = executor.published[-1][:1]
    assert levels.value == 2


def test_a_study_that_goes_on_shows_the_best_of_before(make_spec):
    spec = make_spec(SEQS)
    with WithMetrics() as executor:
        run(spec, executor=executor)
        executor.published.clear()
        results = run(spec, executor=executor)
    (best,) = {s.value for shown in executor.published for s in shown if "best" in s.metric.name}
    assert best == pytest.approx(results.ranking().winner.score.effective)


def test_no_study_is_lost_for_its_metrics(make_spec, caplog):
    with WithMetrics(error=RuntimeError("no agent")) as executor:
        results = run(make_spec(), executor=executor)
    assert list(results.experiments["outcome"]) == ["completed"]
    assert len(executor.published) == 1
    assert "no more metrics of this study" in caplog.text


def test_a_mistake_in_the_metrics_themselves_ends_only_them(caplog):
    def broken():
        raise OSError("cannot be read")

    with caplog.at_level(logging.WARNING):
        watcher = metrics_watcher(broken, lambda samples: None)
        watcher(StudyEnded(interrupted=False))
        watcher(StudyEnded(interrupted=False))
    assert caplog.text.count("no more metrics") == 1


def test_candidates_wait_from_when_the_search_asks_for_them(make_spec):
    study = Watched(make_spec(SEQS, searching=Searching("random")))
    assert study.states == {}
    for number, index in enumerate((2, 0), start=1):
        experiment = study.plan.experiments[index]
        study.metrics.update(ExperimentAsked(experiment, "why", number))
    assert study.states == {"waiting": 2}
    study.finish(study.start(2), Completed())
    assert study.states == {"waiting": 1, "completed": 1}
    # One that an earlier run has begun starts unasked.
    study.finish(study.start(3), CRASHED, will_retry=True)
    assert study.states == {"waiting": 2, "completed": 1}

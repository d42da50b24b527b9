from datetime import UTC, datetime, timedelta

import pytest

from autotuner.driver.recording import record_attempt
from autotuner.driver.resume import past_of
from autotuner.driver.searching.past import search_past
from autotuner.driver.searching.spending import Spent
from autotuner.planning import plan
from autotuner.results.load import load_results
from autotuner.results.store import ResultStore
from autotuner.search.base import Ended
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
from autotuner.spec.searching import Searching
from autotuner.study import detail_of, record_of

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


class Folder:
    def __init__(self, spec):
        self.plan = plan(spec)
        self.store = ResultStore.create(
            spec.output, record_of(self.plan), detail=detail_of(self.plan)
        )

    def ended(self, index, outcome, *, at_s=0.0, number=1, purpose=Purpose.SEARCH, **facts):
        experiment = self.plan.experiments[index]
        self.store.write_asked(experiment.id, "")
        facts = {
            "host": "h1",
            "seconds_actor_start": 1.0,
            "started_at": NOON + timedelta(seconds=at_s),
            "ended_at": NOON + timedelta(seconds=at_s + 100),
            "gpus_reserved": 2,
            "seconds_reserved": 100.0,
            **facts,
        }
        attempt = Attempt(self.plan.study_id, experiment, number, purpose)
        record_attempt(self.plan, self.store, attempt, outcome, facts=facts)

    def past(self):
        to_do = past_of(self.plan, self.store, retry_failed=False).to_do
        return search_past(load_results(self.plan.spec.output), {e.id for e in to_do})

    def told(self):
        index = {experiment.id: experiment.index for experiment in self.plan.experiments}
        return [(index[told.candidate], told.ended) for told in self.past().told]


@pytest.fixture
def folder(make_spec):
    return Folder(make_spec({"max-num-seqs": [1, 2, 3, 4, 5]}, searching=Searching("random")))


def failed(kind):
    return Failed(kind, Phase.LOAD, "it broke")


def test_a_new_folder_has_nothing_to_tell(folder):
    assert folder.past().told == ()
    assert folder.past().spent == Spent()


def test_what_is_settled_is_told_in_the_order_of_its_ends(folder):
    folder.ended(3, Completed(), at_s=300)
    folder.ended(1, failed(FailureKind.OUT_OF_MEMORY_AT_LOAD), at_s=0)
    folder.ended(2, Pruned("far behind"), at_s=600)
    assert folder.told() == [(1, Ended.FAILED), (3, Ended.COMPLETED), (2, Ended.PRUNED)]


def test_what_is_to_be_measured_again_is_not_told_and_counts_as_an_experiment(folder):
    folder.ended(0, failed(FailureKind.SERVER_CRASHED))
    folder.ended(1, Cancelled("interrupted"))
    assert folder.told() == []
    assert folder.past().spent.experiments == 2


def test_a_failure_for_good_is_told_though_an_attempt_was_cancelled_after_it(folder):
    folder.ended(0, failed(FailureKind.CONFIG_REJECTED))
    folder.ended(0, Cancelled("interrupted"), number=2, at_s=200)
    assert folder.told() == [(0, Ended.FAILED)]


def test_gpu_time_counts_that_of_failed_attempts_and_not_that_of_repeats(folder):
    folder.ended(0, failed(FailureKind.SERVER_CRASHED))
    folder.ended(0, Completed(), number=2, at_s=200)
    folder.ended(0, Completed(), number=3, purpose=Purpose.CONFIRM, at_s=400)
    spent = folder.past().spent
    assert (spent.experiments, spent.gpu_s) == (1, 400.0)
    assert spent.wall_s == 200.0


def test_an_attempt_that_never_began_has_taken_nothing(folder):
    lost = {"seconds_reserved": None, "started_at": None, "ended_at": None}
    folder.ended(0, failed(FailureKind.NODE_LOST), **lost)
    assert folder.past().spent == Spent(experiments=1)


def test_time_in_which_the_study_did_not_run_does_not_count(folder):
    folder.ended(0, Completed(), at_s=0)
    folder.ended(1, Completed(), at_s=50)
    folder.ended(2, Completed(), at_s=86_400)
    assert folder.past().spent.wall_s == 250.0

from datetime import UTC, datetime

import pandas as pd
import pytest

from autotuner.driver.recording import record_attempt
from autotuner.driver.resume import close_torn_attempts, past_of
from autotuner.planning import plan
from autotuner.results.store import ResultStore
from autotuner.spec.experiment import (
    Attempt,
    Cancelled,
    Completed,
    Failed,
    FailureKind,
    Phase,
    Pruned,
)
from autotuner.study import record_of

NOW = datetime(2025, 3, 1, tzinfo=UTC)


class Folder:
    """A results folder, and what its attempts came to."""

    def __init__(self, spec):
        self.plan = plan(spec)
        self.store = ResultStore.create(spec.output, record_of(self.plan))

    def ended(self, index, outcome, number=1, host="h1", began=True):
        attempt = Attempt(self.plan.study_id, self.plan.experiments[index], number)
        facts = {"host": host, "seconds_actor_start": 1.0 if began else None}
        record_attempt(self.plan, self.store, attempt, outcome, facts=facts)

    def past(self, **options):
        past = past_of(self.plan, self.store, **{"retry_failed": False, **options})
        return [e.index for e in past.to_do], past.reused, past.given_up


@pytest.fixture
def folder(make_spec):
    return Folder(make_spec({"max-num-seqs": [1, 2, 3]}))


def failed(kind):
    return Failed(kind, Phase.LOAD, "it broke")


def test_of_a_new_folder_everything_is_to_do(folder):
    assert folder.past() == ([0, 1, 2], 0, 0)


def test_what_is_complete_is_used_again(folder):
    folder.ended(1, Completed())
    assert folder.past() == ([0, 2], 1, 0)


def test_what_completed_once_stays_complete(folder):
    folder.ended(1, Completed())
    folder.ended(1, failed(FailureKind.CONFIG_REJECTED), number=2)
    assert folder.past() == ([0, 2], 1, 0)


@pytest.mark.parametrize("kind", FailureKind)
def test_a_failure_is_tried_again_unless_the_configuration_decided_it(folder, kind):
    folder.ended(0, failed(kind))
    assert folder.past() == (([1, 2], 0, 1) if kind.permanent else ([0, 1, 2], 0, 0))


def test_what_was_cancelled_is_to_do(folder):
    folder.ended(0, Cancelled("interrupted"))
    assert folder.past() == ([0, 1, 2], 0, 0)


def test_a_failure_for_good_stays_one_after_an_interrupted_attempt(folder):
    folder.ended(0, failed(FailureKind.OUT_OF_MEMORY_AT_LOAD))
    folder.ended(0, Cancelled("interrupted"), number=2)
    assert folder.past() == ([1, 2], 0, 1)


def test_the_last_failure_decides(folder):
    folder.ended(0, failed(FailureKind.CONFIG_REJECTED))
    folder.ended(0, failed(FailureKind.SERVER_CRASHED), number=2)
    assert folder.past() == ([0, 1, 2], 0, 0)


def test_what_was_lost_on_two_hosts_is_given_up(folder):
    folder.ended(0, failed(FailureKind.NODE_LOST))
    folder.ended(0, failed(FailureKind.ACTOR_LOST), number=2, host="h2")
    assert folder.past() == ([1, 2], 0, 1)


def test_what_was_lost_twice_on_one_host_may_be_the_host_s_fault(folder):
    folder.ended(0, failed(FailureKind.NODE_LOST))
    folder.ended(0, failed(FailureKind.ACTOR_LOST), number=2)
    assert folder.past() == ([0, 1, 2], 0, 0)


def test_what_never_began_was_not_lost_for_its_configuration(folder):
    folder.ended(0, failed(FailureKind.NODE_LOST))
    folder.ended(0, failed(FailureKind.NODE_LOST), number=2, host="h2", began=False)
    assert folder.past() == ([0, 1, 2], 0, 0)


def test_on_demand_what_failed_for_good_is_tried_again(folder):
    folder.ended(0, failed(FailureKind.CONFIG_REJECTED))
    folder.ended(1, Completed())
    assert folder.past(retry_failed=True) == ([0, 2], 1, 0)


def test_attempts_that_a_killed_driver_left_get_the_rows_that_are_missing(folder):
    attempt = Attempt(folder.plan.study_id, folder.plan.experiments[0], 1)
    folder.ended(0, Completed())
    folder.store.paths.experiment_file(attempt.id).unlink()
    folder.store.paths.level_file(attempt.id, 1).unlink()
    kept = folder.store.paths.level_file(attempt.id, 0).read_bytes()
    close_torn_attempts(folder.plan, folder.store)
    (row,) = pd.read_parquet(folder.store.paths.experiments).to_dict("records")
    assert row["outcome"] == "cancelled"
    assert row["failure_message"] == "the driver was killed before the attempt had ended"
    assert folder.store.paths.level_file(attempt.id, 0).read_bytes() == kept
    levels = pd.read_parquet(folder.store.paths.levels)
    assert len(levels) == len(attempt.experiment.levels)
    assert folder.past() == ([0, 1, 2], 0, 0)


def test_closing_what_is_closed_changes_nothing(folder):
    folder.ended(0, Completed())
    before = folder.store.paths.experiment_file(f"{folder.plan.experiments[0].id}-a1").read_bytes()
    close_torn_attempts(folder.plan, folder.store)
    after = folder.store.paths.experiment_file(f"{folder.plan.experiments[0].id}-a1").read_bytes()
    assert after == before


def test_what_was_given_up_is_settled_even_where_failures_are_tried_again(folder):
    folder.ended(1, Pruned("behind by 40 %"))
    assert folder.past() == ([0, 2], 1, 0)
    assert folder.past(retry_failed=True) == ([0, 2], 1, 0)


def test_what_failed_before_it_was_given_up_is_settled(folder):
    folder.ended(1, failed(FailureKind.OUT_OF_MEMORY_AT_LOAD))
    folder.ended(1, Pruned("behind by 40 %"), number=2)
    assert folder.past() == ([0, 2], 1, 0)

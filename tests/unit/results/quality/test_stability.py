from __future__ import annotations

import pytest

from autotuner.results.quality.finding import Severity
from autotuner.results.quality.stability import leftovers, slot_faults, unstable

CRASH = {"outcome": "failed", "failure_kind": "server_crashed"}


def test_a_leader_that_crashed_once_is_serious(draft, only):
    draft.add_attempt("e32", **CRASH)
    draft.add_attempt("e8", **CRASH)
    finding = only(unstable, draft)
    assert (finding.kind, finding.severity) == ("unstable", Severity.SERIOUS)
    assert finding.experiment_ids == ("e8", "e32")
    assert "max-num-seqs=32, failed in 1 of 3 attempts (server_crashed)" in finding.message


def test_another_that_crashed_once_is_a_warning(draft, only):
    draft.add_attempt("e8", **CRASH)
    assert only(unstable, draft).severity is Severity.WARNING


@pytest.mark.parametrize("kind", ["node_lost", "dirty_gpu", "bench_failed", None])
def test_failures_of_the_cluster_are_silent(draft, found, kind):
    draft.add_attempt("e32", outcome="failed", failure_kind=kind)
    assert found(unstable, draft) == []


def test_an_experiment_that_never_completed_is_no_unstable_one(draft, found):
    for row in draft.attempts:
        if row["experiment_id"] == "e8":
            row.update(CRASH)
    assert found(unstable, draft) == []


def test_devices_with_foreign_memory_are_a_warning(draft, only, found):
    assert found(slot_faults, draft) == []
    draft.attempts[3]["slot_fault"] = "GPU 0 holds 4 GiB of process 77"
    finding = only(slot_faults, draft)
    assert (finding.kind, finding.severity) == ("slot_fault", Severity.WARNING)
    assert "node-a: GPU 0 holds 4 GiB" in finding.message


def test_leftovers_that_were_swept_are_a_note(draft, only, found):
    assert found(leftovers, draft) == []
    draft.attempts[3]["swept"] = "3 processes of e8-a1"
    finding = only(leftovers, draft)
    assert (finding.kind, finding.severity) == ("leftovers", Severity.NOTE)

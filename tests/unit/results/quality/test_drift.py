from __future__ import annotations

from dataclasses import replace

from autotuner.results.quality.drift import drift, no_reference
from autotuner.results.quality.finding import Severity
from autotuner.results.score import EntryStatus


def test_a_study_without_a_baseline_is_noted(draft, only):
    draft.experiments = [e for e in draft.experiments if not e.is_baseline]
    finding = only(no_reference, draft)
    assert (finding.kind, finding.severity) == ("no_baseline", Severity.NOTE)
    assert finding.remedy == "baseline: {}"


def test_a_baseline_without_a_complete_measurement_is_noted(draft, only):
    for row in draft.attempts:
        if row["experiment_id"] == "base":
            row["outcome"] = "failed"
    draft.statuses["base"] = EntryStatus.INFEASIBLE
    assert only(no_reference, draft).kind == "baseline_failed"


def test_a_baseline_that_was_not_measured_again_is_noted(draft, only, found):
    draft.attempts.pop()
    assert only(no_reference, draft).kind == "no_drift_check"
    draft.statuses["e8"] = EntryStatus.PENDING
    assert found(no_reference, draft) == [], "a study that runs comes to it yet"


def test_a_checked_baseline_is_silent(draft, found):
    assert found(no_reference, draft) == []
    assert found(drift, draft) == []


def test_a_baseline_that_moved_more_than_the_effect_is_a_warning(draft, only):
    draft.samples["base"] = (100.0, 100.0, 95.0)
    finding = only(drift, draft)
    assert (finding.kind, finding.severity) == ("drift", Severity.WARNING)
    assert finding.experiment_ids == ("base",)
    assert "-5.0 % at the end against the start" in finding.message
    assert "node" not in finding.message


def test_a_baseline_that_moved_more_than_the_lead_is_serious(draft, only):
    draft.samples["base"] = (100.0, 100.0, 70.0)
    finding = only(drift, draft)
    assert finding.severity is Severity.SERIOUS
    assert "leads by 20.0 %" in finding.consequence


def test_a_move_within_the_noise_is_a_note(draft, only):
    draft.samples["base"] = (100.0, 100.0, 70.0)
    draft.verdict = replace(draft.verdict, noise_cv=0.2)
    assert only(drift, draft).severity is Severity.NOTE


def test_a_move_less_than_the_effect_is_silent(draft, found):
    draft.samples["base"] = (100.0, 100.0, 98.5)
    assert found(drift, draft) == []


def test_other_hosts_at_the_end_are_named(draft, only):
    draft.samples["base"] = (100.0, 100.0, 95.0)
    draft.attempts[-1]["host"] = "node-b"
    assert "(on node-b, before on node-a)" in only(drift, draft).message


def test_a_baseline_that_misses_a_limit_is_judged_by_its_levels(draft, only, found):
    draft.statuses["base"] = EntryStatus.INFEASIBLE
    draft.samples["base"] = ()
    assert found(drift, draft) == []
    for row in draft.levels:
        if row["attempt_id"] == "base-a3":
            row["output_throughput_tok_s"] *= 0.9
    assert "-10.0 % at the end" in only(drift, draft).message


def test_an_attempt_that_lacks_a_level_is_not_compared_with_the_rest(draft, found):
    draft.statuses["base"] = EntryStatus.INFEASIBLE
    draft.samples["base"] = ()
    draft.levels = [
        row for row in draft.levels if row["attempt_id"] != "base-a3" or row["concurrency"] == 1
    ]
    assert found(drift, draft) == []

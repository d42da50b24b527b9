from __future__ import annotations

from dataclasses import replace

from autotuner.results.confidence.verdict import VerdictKind
from autotuner.results.quality.coverage import evidence, failed_share, missing
from autotuner.results.quality.finding import Severity
from autotuner.results.score import EntryStatus


def test_a_verdict_that_needs_more_servers_than_allowed_says_how_many(draft, only):
    draft.servers = 5
    draft.verdict = replace(
        draft.verdict,
        kind=VerdictKind.NOT_ENOUGH_EVIDENCE,
        undecided=("e16",),
        repeats_needed=5,
        budget_spent=True,
    )
    finding = only(evidence, draft)
    assert (finding.kind, finding.severity) == ("not_enough_evidence", Severity.WARNING)
    assert finding.experiment_ids == ("e16", "e32")
    assert "about 5 more fresh servers" in finding.message
    assert finding.remedy.startswith(
        "finalist_servers: 8 and max_repeats: 10, then autotuner run FILE"
    )


def test_where_no_number_of_servers_will_do_the_advice_is_less_noise(draft, only):
    draft.verdict = replace(
        draft.verdict,
        kind=VerdictKind.NOT_ENOUGH_EVIDENCE,
        undecided=("e16",),
        repeats_needed=3000,
    )
    finding = only(evidence, draft)
    assert finding.remedy.startswith("less noise")
    assert "max_repeats" not in finding.remedy


def test_with_servers_left_the_study_need_only_go_on(draft, only):
    draft.verdict = replace(draft.verdict, kind=VerdictKind.NOT_ENOUGH_EVIDENCE, undecided=("e16",))
    finding = only(evidence, draft)
    assert finding.remedy.startswith("autotuner run FILE;")
    assert "cannot be told" in finding.message


def test_a_winner_or_a_tie_is_silent(draft, found):
    assert found(evidence, draft) == []
    draft.verdict = replace(draft.verdict, kind=VerdictKind.TIED, tied_with=("e16",))
    assert found(evidence, draft) == []


def test_what_is_not_measured_yet_is_a_note(draft, only, found):
    assert found(missing, draft) == []
    draft.statuses |= {"e8": EntryStatus.PENDING, "e64": EntryStatus.PENDING}
    finding = only(missing, draft)
    assert (finding.kind, finding.severity) == ("not_measured", Severity.NOTE)
    assert finding.experiment_ids == ("e8", "e64")
    assert "2 of 5 experiments" in finding.message


def fail(draft, *ids):
    for id_ in ids:
        draft.attempts = [row for row in draft.attempts if row["experiment_id"] != id_]
        draft.add_attempt(id_, outcome="failed", failure_kind="launch_timeout")
        draft.statuses[id_] = EntryStatus.INFEASIBLE


def test_more_than_a_fifth_failed_is_a_warning(draft, only, found):
    fail(draft, "e8")
    assert found(failed_share, draft) == [], "a fifth is not more than a fifth"
    fail(draft, "e64")
    finding = only(failed_share, draft)
    assert (finding.kind, finding.severity) == ("many_failed", Severity.WARNING)
    assert "2 of 5 experiments failed (launch_timeout 2)" in finding.message

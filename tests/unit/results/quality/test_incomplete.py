from __future__ import annotations

import pytest

from autotuner.results.quality.finding import Severity
from autotuner.results.quality.incomplete import cut_requests, early_end, failed_requests


def test_short_answers_are_a_warning(draft, only):
    draft.change_all(requests_short=60)
    finding = only(early_end, draft)
    assert (finding.kind, finding.severity) == ("early_end", Severity.WARNING)
    assert "3.0 % of the answers" in finding.message
    assert "less work" in finding.consequence
    assert "ignore_eos: true" in finding.remedy


def test_shares_of_short_answers_that_differ_are_serious(draft, only):
    draft.change("e16", requests_short=1000)
    finding = only(early_end, draft)
    assert finding.severity is Severity.SERIOUS
    assert finding.experiment_ids == ("e16",)
    assert "0 % to 50 % short answers" in finding.consequence


def test_very_few_short_answers_are_a_note(draft, only):
    draft.change("e16", requests_short=5)
    assert only(early_end, draft).severity is Severity.NOTE


@pytest.mark.parametrize("short", [0, None])
def test_answers_in_full_or_of_unknown_length_are_silent(draft, found, short):
    draft.change_all(requests_short=short)
    assert found(early_end, draft) == []


def test_many_cut_requests_of_unknown_length_are_serious(draft, only):
    draft.change("e8", 64, requests_cut=60, requests_completed=200, output_tokens_cut=None)
    finding = only(cut_requests, draft)
    assert (finding.kind, finding.severity) == ("cut_requests", Severity.SERIOUS)
    assert finding.experiment_ids == ("e8",)
    assert "60 requests were cut at the end of a level, 200 completed" in finding.message
    assert finding.remedy == "workloads: stop: {seconds: 2000}"


def test_much_work_in_cut_requests_is_a_warning_where_it_is_known(draft, only):
    draft.change("e8", 64, requests_cut=60, requests_completed=200, output_tokens_cut=4000.0)
    assert only(cut_requests, draft).severity is Severity.WARNING


@pytest.mark.parametrize("tokens", [None, 200.0])
def test_few_cut_requests_are_silent(draft, found, tokens):
    draft.change_all(requests_cut=64, output_tokens_cut=tokens)
    assert found(cut_requests, draft) == []


def test_failures_within_the_allowed_rate_are_a_note(draft, only):
    draft.change("e8", 8, requests_failed=10, error_rate=0.005)
    finding = only(failed_requests, draft)
    assert (finding.kind, finding.severity) == ("failed_requests", Severity.NOTE)
    assert "10 requests failed, 0.5 %" in finding.message


def test_failures_of_the_leader_are_a_warning(draft, only):
    draft.change("e32", 8, requests_failed=10, error_rate=0.005)
    assert only(failed_requests, draft).severity is Severity.WARNING


def test_no_failures_are_silent(draft, found):
    assert found(failed_requests, draft) == []

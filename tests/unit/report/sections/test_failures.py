"""Failures by kind, each with its evidence."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from autotuner.report.sections.failures import failures_section
from autotuner.report.subject import Subject


def with_attempts(subject: Subject, attempts: pd.DataFrame) -> Subject:
    return Subject(replace(subject.results, attempts=attempts), ())


def test_every_kind_is_counted_and_has_its_evidence(subject: Subject) -> None:
    text = failures_section(subject)
    failed = subject.attempts[subject.attempts["outcome"] == "failed"]
    for kind, count in failed["failure_kind"].value_counts().items():
        assert f"{str(kind).replace('_', ' ')}: {count} attempt" in text
    assert "CUDA out of memory" in text


def test_evidence_with_markup_stays_text(subject: Subject) -> None:
    rejected = subject.attempts.assign(
        outcome="failed", failure_kind="config_rejected", evidence="<script>alert(1)</script>"
    )
    text = failures_section(with_attempts(subject, rejected))
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_what_went_well_in_another_attempt_is_said(subject: Subject) -> None:
    assert "completed in another attempt" in failures_section(subject)


def test_of_a_thousand_alike_only_some_are_shown(subject: Subject) -> None:
    rows = subject.attempts.head(1).assign(outcome="failed", failure_kind="server_crashed")
    many = pd.concat([rows] * 1000, ignore_index=True)
    text = failures_section(with_attempts(subject, many))
    assert text.count("<li>") == 40
    assert "and 960 more of this kind" in text


def test_a_study_without_failures_says_so(subject: Subject) -> None:
    none = subject.attempts[subject.attempts["outcome"] == "completed"]
    assert "No attempt failed" in failures_section(with_attempts(subject, none))

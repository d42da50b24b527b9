"""Findings with what follows from them and what to do."""

from __future__ import annotations

from autotuner.report.sections.quality import quality_section
from autotuner.results.quality.finding import Finding, Severity


def finding(*ids: str, severity: Severity = Severity.WARNING) -> Finding:
    return Finding("early_end", severity, ids, "<message>", "consequence", "remedy")


def test_a_finding_has_message_consequence_remedy_and_whom_it_concerns() -> None:
    text = quality_section([finding("e0")], {"e0": "size=1 <b>"})
    for words in ("early end: &lt;message&gt;", "consequence", "remedy", "size=1 &lt;b&gt;"):
        assert words in text


def test_severities_are_counted_worst_first() -> None:
    found = [finding(), finding(severity=Severity.SERIOUS), finding(severity=Severity.NOTE)]
    assert "3 findings: 1 serious, 1 warning, 1 note." in quality_section(found, {})


def test_of_many_configurations_some_are_named() -> None:
    text = quality_section([finding(*(f"e{n}" for n in range(1000)))], {})
    assert "1,000 configurations" in text
    assert "and 980 more" in text


def test_no_finding_is_said_too() -> None:
    assert "Nothing was found" in quality_section([], {})

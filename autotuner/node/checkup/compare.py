"""Nodes against one another: what is right on each may still differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from autotuner.node.checkup.finding import Checkup, Finding, Verdict

__all__ = ["with_differences"]


def with_differences(checkups: Sequence[Checkup]) -> tuple[Checkup, ...]:
    """The same, with a warning for each value that differs from most of the nodes."""
    usual = _usual(checkups)
    return tuple(
        replace(checkup, findings=tuple(_compared(f, usual) for f in checkup.findings))
        for checkup in checkups
    )


def _usual(checkups: Sequence[Checkup]) -> dict[str, str]:
    """The commonest value of each check that should read the same everywhere."""
    values: dict[str, Counter[str]] = {}
    for checkup in checkups:
        for finding in checkup.findings:
            if finding.alike:
                values.setdefault(finding.check, Counter())[finding.read] += 1
    return {check: counts.most_common(1)[0][0] for check, counts in values.items()}


def _compared(finding: Finding, usual: dict[str, str]) -> Finding:
    if not finding.alike or finding.read == usual[finding.check]:
        return finding
    return replace(
        finding,
        wanted=f"as on the other nodes: {usual[finding.check]}",
        verdict=Verdict.WARNING,
        fix="Use equal nodes for one study: an experiment is measured on any of them.",
    )

"""What could be wrong with the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autotuner.report.markup import Markup, element, join
from autotuner.report.wording import counted
from autotuner.results.quality.finding import Finding, Severity

__all__ = ["quality_section"]

_MOST_LABELS = 20


def quality_section(findings: Sequence[Finding], labels: Mapping[str, str]) -> Markup:
    """The section's content, without its heading; ``labels``: experiment id -> label."""
    if not findings:
        return element("p", "Nothing was found that would make the numbers doubtful.")
    counts = {s: sum(f.severity is s for f in findings) for s in reversed(Severity)}
    words = ", ".join(f"{count} {s.value}" for s, count in counts.items() if count)
    return join(
        [
            element("p", f"{counted(len(findings), 'finding')}: {words}."),
            element("ul", *(_finding(f, labels) for f in findings), class_="findings"),
        ]
    )


def _finding(finding: Finding, labels: Mapping[str, str]) -> Markup:
    return element(
        "li",
        element("strong", finding.severity.value, class_="severity"),
        f" {finding.kind.replace('_', ' ')}: {finding.message}",
        element("br"),
        element("em", "Consequence: "),
        finding.consequence,
        element("br"),
        element("em", "Remedy: "),
        finding.remedy,
        _concerned(finding.experiment_ids, labels),
        class_=f"finding {finding.severity.value}",
    )


def _concerned(ids: Sequence[str], labels: Mapping[str, str]) -> Markup | None:
    if not ids:
        return None
    left = len(ids) - _MOST_LABELS
    return element(
        "details",
        element("summary", counted(len(ids), "configuration")),
        element(
            "ul",
            *(element("li", labels.get(id_, id_)) for id_ in ids[:_MOST_LABELS]),
            element("li", f"and {left:,} more") if left > 0 else None,
        ),
    )

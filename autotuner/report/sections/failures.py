"""What failed, by kind, with the evidence; also what was tried again and then went well."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from autotuner.report.markup import Markup, element, join
from autotuner.report.subject import Subject
from autotuner.report.wording import counted

__all__ = ["failures_section"]

_MOST_SHOWN = 40
"""Of one kind; the others differ in nothing but the configuration."""
_EVIDENCE_CHARS = 4000


def failures_section(subject: Subject) -> Markup:
    """The section's content, without its heading."""
    failed = subject.attempts[subject.attempts["outcome"] == "failed"]
    if failed.empty:
        return element("p", "No attempt failed.")
    kinds = failed["failure_kind"].value_counts()
    recovered = _recovered(subject)
    return join(
        [
            element(
                "p",
                f"{counted(len(failed), 'attempt')} of {len(subject.attempts):,} failed, in "
                f"{counted(failed['experiment_id'].nunique(), 'configuration')}.",
            ),
            *(
                _kind(str(kind), failed[failed["failure_kind"] == kind], subject, recovered)
                for kind in kinds.index
            ),
        ]
    )


def _recovered(subject: Subject) -> frozenset[str]:
    """Experiments that were completed in another attempt."""
    attempts = subject.attempts
    return frozenset(attempts.loc[attempts["outcome"] == "completed", "experiment_id"])


def _kind(kind: str, rows: pd.DataFrame, subject: Subject, recovered: frozenset[str]) -> Markup:
    shown = rows.sort_values(["started_at", "attempt_id"]).head(_MOST_SHOWN)
    left = len(rows) - len(shown)
    summary = f"{kind.replace('_', ' ')}: {counted(len(rows), 'attempt')}"
    return element(
        "details",
        element("summary", summary),
        element(
            "ol",
            *(
                element("li", _attempt({str(k): v for k, v in row.items()}, subject, recovered))
                for row in shown.to_dict("records")
            ),
        ),
        element("p", f"and {left:,} more of this kind; the table below has them all")
        if left
        else None,
    )


def _attempt(row: Mapping[str, object], subject: Subject, recovered: frozenset[str]) -> Markup:
    where = f"attempt {row['attempt']}, {_text(row['host']) or 'no node'}"
    if phase := _text(row["failure_phase"]):
        where += f", phase {phase.replace('_', ' ')}"
    if row["experiment_id"] in recovered:
        where += "; completed in another attempt"
    evidence = _text(row["evidence"])
    return join(
        [
            element("strong", str(row["label"])),
            f" ({where})",
            element("br"),
            _text(row["failure_message"]),
            element("pre", evidence[-_EVIDENCE_CHARS:], tabindex="0") if evidence else None,
        ]
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""

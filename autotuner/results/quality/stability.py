"""Configurations and slots that did not always work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from autotuner.results.quality.finding import Finding, Severity
from autotuner.results.quality.inspected import Inspected, Row
from autotuner.spec.experiment import FailureKind

__all__ = ["leftovers", "slot_faults", "unstable"]

_OF_THE_CONFIGURATION = frozenset(
    kind.value
    for kind in (
        FailureKind.SERVER_CRASHED,
        FailureKind.SERVER_HUNG,
        FailureKind.OUT_OF_MEMORY_UNDER_LOAD,
        FailureKind.REQUESTS_FAILED,
        FailureKind.LAUNCH_TIMEOUT,
    )
)
"""Failures that may come back with the configuration in production."""


def unstable(inspected: Inspected) -> Iterator[Finding]:
    """Experiments that completed once and failed another time."""
    completed = {r["experiment_id"] for r in inspected.attempts if r["outcome"] == "completed"}
    failed = [
        row
        for row in inspected.attempts
        if row["experiment_id"] in completed and row.get("failure_kind") in _OF_THE_CONFIGURATION
    ]
    if not failed:
        return
    of_leader = [row for row in failed if row["experiment_id"] == inspected.leader]
    shown = (of_leader or failed)[0]
    of_shown = [r for r in inspected.attempts if r["experiment_id"] == shown["experiment_id"]]
    kinds = Counter(
        str(row["failure_kind"]) for row in failed if row["experiment_id"] == shown["experiment_id"]
    )
    yield Finding(
        "unstable",
        Severity.SERIOUS if of_leader else Severity.WARNING,
        inspected.concerned(failed),
        f"{'the leader, ' if of_leader else ''}{inspected.label(shown['experiment_id'])}, failed "
        f"in {sum(kinds.values())} of {len(of_shown)} attempts "
        f"({', '.join(f'{kind} {n} times' if n > 1 else kind for kind, n in kinds.items())})",
        "its numbers are those of the attempts that went well; in production it may fail again",
        "look at the evidence column of these attempts, and give the configuration more reserve "
        "(memory share, batch size) before it is used",
    )


def slot_faults(inspected: Inspected) -> Iterator[Finding]:
    """Devices that held foreign memory, or kept ours."""
    rows = [row for row in inspected.attempts if row.get("slot_fault")]
    if rows:
        yield Finding(
            "slot_fault",
            Severity.WARNING,
            inspected.concerned(rows),
            f"{len(rows)} attempts found their devices not clean, first on "
            f"{_host(rows[0])}: {rows[0]['slot_fault']}",
            "another process used the devices at the same time, and what was measured may be "
            "slower for it",
            "see on the host who holds the devices (`autotuner doctor`), and end it",
        )


def leftovers(inspected: Inspected) -> Iterator[Finding]:
    """Processes of dead attempts that were ended before a measurement."""
    rows = [row for row in inspected.attempts if row.get("swept")]
    if rows:
        yield Finding(
            "leftovers",
            Severity.NOTE,
            inspected.concerned(rows),
            f"{len(rows)} attempts cleared what earlier ones had left behind, first on "
            f"{_host(rows[0])}: {rows[0]['swept']}",
            "until then it may have slowed what ran beside it",
            "none needed; where it comes back, see why attempts die on this host",
        )


def _host(row: Row) -> str:
    return str(row.get("host") or "an unknown host")

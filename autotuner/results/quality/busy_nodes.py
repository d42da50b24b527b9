"""Whether all was measured on nodes that others kept busy.

`foreign_load` looks for differences, which decide about the order. A load that all had alike makes
every number smaller than it would be, and noisier; and who is ahead on a busy node need not be on
a quiet one.
"""

from __future__ import annotations

from collections.abc import Iterator

from autotuner.results.limits import number
from autotuner.results.quality.finding import Finding, Severity
from autotuner.results.quality.inspected import Inspected, Row

__all__ = ["busy_nodes"]

_MOST_SHARE = 0.25
"""Of the node's CPUs, to servers that compute on them."""


def busy_nodes(inspected: Inspected) -> Iterator[Finding]:
    """Others had a quarter of the CPUs or more, on average, while servers on CPUs were loaded.

    Not where attempts of the study shared the node: that is what the study asked for.
    """
    alone = {
        row["attempt_id"]
        for row in inspected.ended
        if not number(row, "gpus") and not number(row, "neighbours_mean")
    }
    rows = [row for row in inspected.usable if row["attempt_id"] in alone and _is_known(row)]
    shares = [
        (number(row, "foreign_cpus") or 0.0) / (number(row, "node_cpus") or 1) for row in rows
    ]
    if not rows or (mean := sum(shares) / len(shares)) < _MOST_SHARE:
        return
    yield Finding(
        "busy_nodes",
        Severity.WARNING,
        inspected.concerned(rows),
        f"others used {mean:.0%} of the nodes' CPUs, on average over {len(rows)} levels, while "
        "servers on these CPUs were under load",
        "the numbers are those of a busy machine, smaller and noisier than those of a quiet one, "
        "and the order may be another there",
        "see what else runs on these nodes, keep it away, and measure again in a new output folder",
    )


def _is_known(row: Row) -> bool:
    return number(row, "foreign_cpus") is not None and not row.get("simulated")

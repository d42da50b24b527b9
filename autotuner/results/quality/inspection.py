"""All checks of a study's numbers, worst findings first."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from autotuner.results.load import StudyResults
from autotuner.results.quality import (
    busy_nodes,
    client,
    conditions,
    coverage,
    drift,
    edges,
    foreign_load,
    incomplete,
    limits,
    noise,
    sample_size,
    stability,
)
from autotuner.results.quality.finding import Finding
from autotuner.results.quality.inspected import Inspected

__all__ = ["CHECKS", "findings", "inspect"]

CHECKS: tuple[Callable[[Inspected], Iterator[Finding]], ...] = (
    coverage.evidence,
    coverage.missing,
    coverage.failed_share,
    stability.unstable,
    stability.slot_faults,
    stability.leftovers,
    drift.no_reference,
    drift.drift,
    foreign_load.foreign_load,
    busy_nodes.busy_nodes,
    conditions.not_compared,
    conditions.compared_across,
    conditions.processes,
    conditions.simulated,
    conditions.unknown_version,
    client.client_bottleneck,
    client.closed_loop_bench,
    incomplete.early_end,
    incomplete.cut_requests,
    incomplete.failed_requests,
    sample_size.percentiles,
    sample_size.few_requests,
    limits.marginal_constraint,
    noise.between_servers,
    noise.between_repeats,
    noise.cold_start,
    edges.edge_level,
    edges.edge_parameter,
)
"""In the order in which findings of equal weight are listed."""


def inspect(results: StudyResults) -> tuple[Finding, ...]:
    """What could be wrong with the study's numbers.

    Most severe first, then by how many experiments are concerned. Also for a study that runs,
    or of which nothing succeeded.
    """
    return findings(Inspected.of(results))


def findings(inspected: Inspected) -> tuple[Finding, ...]:
    """As `inspect`, from rows."""
    found = [finding for check in CHECKS for finding in check(inspected)]
    found.sort(key=lambda finding: (-finding.severity.weight, -len(finding.experiment_ids)))
    return tuple(found)

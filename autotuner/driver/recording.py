"""Writing down how an attempt ended: every expected level, its logs, and its own row."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from autotuner.driver.running import Running
from autotuner.planning import Plan
from autotuner.results.experiments import experiment_row
from autotuner.results.level_rows import not_measured
from autotuner.results.store import ResultStore
from autotuner.spec.experiment import Attempt, Cancelled, Failed, Outcome

__all__ = ["record_attempt", "running_facts"]


def record_attempt(
    plan: Plan,
    store: ResultStore,
    attempt: Attempt,
    outcome: Outcome,
    *,
    facts: Mapping[str, object],
    logs: Mapping[str, str] | None = None,
) -> dict[str, object]:
    """Write the logs, a row for each level that has none, and last the row of the attempt.

    Of a workload whose load is to be found, levels that were not loaded have no row.

    Returns that row.

    Raises:
        OutputError: the disk refuses.
    """
    facts = {"simulated": plan.simulated, **facts}
    store.write_logs(attempt, logs or {})
    for level in attempt.experiment.owed:
        if not store.has_level(attempt, level):
            reason, simulated = _why_not_measured(outcome), bool(facts["simulated"])
            store.write_level(attempt, not_measured(level, attempt, reason, simulated=simulated))
    row = experiment_row(
        attempt,
        outcome,
        study=plan.spec.name,
        parameters=store.study.parameters,
        facts=facts,
    )
    store.write_experiment(row)
    return row


def running_facts(running: Running, bench: str) -> dict[str, object]:
    """The columns that only the driver knows."""
    node, first, now = running.slot.node, running.first_event_at, time.monotonic()
    return {
        "node_id": node.id,
        "host": node.host,
        "hosts": [each.host for each in running.slot.nodes],
        "gpus_reserved": running.gpus_reserved,
        "gpu_model": node.gpu_model if running.slot.gpus else None,
        "bench": bench,
        "concurrent_attempts": running.neighbours,
        "neighbours_mean": running.neighbours_mean(now),
        "seconds_actor_start": None if first is None else first - running.submitted_at,
        # From the first sign of life: until then, others may have held what the slot promised.
        "seconds_reserved": None if first is None else now - first,
        "started_at": running.started_at,
        "ended_at": datetime.now(UTC),
    }


def _why_not_measured(outcome: Outcome) -> str:
    match outcome:
        case Failed(kind=kind, message=message):
            return f"{kind.value}: {message}"
        case Cancelled(reason=reason):
            return f"cancelled: {reason}"
    return "the attempt ended without this level"

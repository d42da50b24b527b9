"""The row of one attempt: what it was, how it ended, and the facts of where it ran."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from autotuner.results.gpu_time import reserved_columns
from autotuner.results.parameter_columns import ParameterColumn
from autotuner.results.schema import SCHEMA_VERSION
from autotuner.spec.experiment import Attempt, Cancelled, Completed, Failed, Outcome, Pruned

__all__ = ["cpu_set", "experiment_row"]


def experiment_row(
    attempt: Attempt,
    outcome: Outcome,
    *,
    study: str,
    parameters: Iterable[ParameterColumn],
    facts: Mapping[str, object],
) -> dict[str, object]:
    """The row of `experiments_schema` for an attempt that has ended.

    Args:
        study: Name of the study.
        parameters: The study's parameter columns.
        facts: Columns that only the node and the driver know, e.g. ``host`` or ``started_at``.
            ``simulated`` is required; a fact wins over what the experiment planned, so that
            ``cpus_server`` is the set that was used. ``hosts`` are taken to be ``host`` alone
            where the facts have none, and ``seconds_reserved`` is divided into its shares.
    """
    experiment = attempt.experiment
    server, cpus = experiment.server, experiment.footprint.cpus
    planned: dict[str, object] = {
        "engine": server.engine,
        "model": server.model.path,
        "launcher": server.launcher,
        "nodes": experiment.footprint.nodes,
        "gpus": experiment.footprint.gpus,
        "gpus_reserved": experiment.footprint.gpus,
        "cpu_reserve": cpus.reserve,
        "cpus_server": cpu_set(cpus.server),
        "cpus_load": cpu_set(cpus.load),
    }
    identity: dict[str, object] = {
        "schema_version": SCHEMA_VERSION,
        "study_id": attempt.study_id,
        "study": study,
        "experiment_id": experiment.id,
        "attempt_id": attempt.id,
        "attempt": attempt.number,
        "label": experiment.label,
        "is_baseline": experiment.is_baseline,
        "purpose": attempt.purpose.value,
    }
    point = {c.column: c.render(experiment.parameters.get(c.parameter)) for c in parameters}
    known = {**planned, **facts, "hosts": _hosts(facts)}
    known |= reserved_columns(facts, gpus=cast(int, known["gpus_reserved"]))
    return {**known, **identity, **_outcome_columns(outcome), **point}


def cpu_set(cpus: Sequence[int]) -> str | None:
    """CPU numbers in the kernel's list form, e.g. ``0-3,8``; None for no set."""
    ranges: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if ranges and cpu == ranges[-1][-1] + 1:
            ranges[-1][1:] = [cpu]
        else:
            ranges.append([cpu])
    return ",".join("-".join(map(str, ends)) for ends in ranges) or None


def _hosts(facts: Mapping[str, object]) -> list[object] | None:
    """All nodes by rank. The first is ``host``: a node's own word on its name wins."""
    host, hosts = facts.get("host"), facts.get("hosts")
    others = hosts[1:] if isinstance(hosts, list) else []
    return None if host is None else [host, *others]


def _outcome_columns(outcome: Outcome) -> dict[str, object]:
    match outcome:
        case Completed():
            return {"outcome": "completed"}
        case Pruned(reason=reason):
            return {"outcome": "pruned", "failure_message": reason}
        case Cancelled(reason=reason):
            return {"outcome": "cancelled", "failure_message": reason}
        case Failed(kind=kind, phase=phase, message=message, evidence=evidence):
            return {
                "outcome": "failed",
                "failure_kind": kind.value,
                "failure_phase": phase.value,
                "failure_message": message,
                "evidence": evidence or None,
            }

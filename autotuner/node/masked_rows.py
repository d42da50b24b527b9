"""A level's rows as they leave the node: secrets masked.

Imported when the server is starting and not before (`Measurement`): pyarrow comes with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autotuner.bench.base import LevelLoad
from autotuner.node.preparation import Preparation
from autotuner.results.goodput import with_goodput
from autotuner.results.level_rows import level_result
from autotuner.results.levels import LevelResult, RequestRecord
from autotuner.supervision.environment import mask_secrets

__all__ = ["masked_rows"]


def masked_rows(prepared: Preparation, load: LevelLoad) -> LevelResult:
    """The rows of a level that was loaded; with goodput where the order says what that is."""
    judging = prepared.order.judging
    result = _level_result(prepared, load)
    if judging is None:
        return result
    gpus = prepared.order.attempt.experiment.footprint.gpus
    return with_goodput(result, judging, gpus)


def _level_result(prepared: Preparation, load: LevelLoad) -> LevelResult:
    experiment, secrets = prepared.order.attempt.experiment, prepared.secrets
    (workload,) = (w for w in experiment.workloads if w.name == load.level.workload)
    return level_result(
        load.level,
        [_masked(record, secrets) for record in load.records],
        attempt=prepared.order.attempt,
        started_at=load.started_at,
        gpus=experiment.footprint.gpus,
        failure=mask_secrets(load.failure, secrets) if load.failure else None,
        max_error_rate=workload.max_error_rate,
        simulated=prepared.engine.simulated,
        client_cpu_s=load.client_cpu_s,
        duration_s=load.duration_s,
        cpus=load.cpus,
    )


def _masked(record: RequestRecord, secrets: Sequence[str]) -> RequestRecord:
    if not record.error_message:
        return record
    return replace(record, error_message=mask_secrets(record.error_message, secrets))

"""Reads what earlier studies measured from their results folders, for `EarlierResults`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from autotuner.errors import PlanError
from autotuner.results.levels import LevelStatus
from autotuner.results.limits import finite
from autotuner.results.load import StudyResults, load_results
from autotuner.results.study_record import ExpectedExperiment
from autotuner.search.estimators.base import Load, Subject
from autotuner.search.estimators.earlier_results import EarlierResults, Measured
from autotuner.search.estimators.subject import subject_of

__all__ = ["measured_in", "read_earlier_results"]


def read_earlier_results(path: str) -> EarlierResults:
    """The estimator that a results folder, or ``s3://BUCKET/PREFIX``, gives.

    Raises:
        OutputError: it cannot be read, or holds no study.
        PlanError: no level of it was measured.
    """
    measured = tuple(measured_in(load_results(path)))
    if not measured:
        raise PlanError(f"{path} holds no measured level to estimate from")
    return EarlierResults(measured)


def measured_in(results: StudyResults) -> Iterator[Measured]:
    """The valid levels of a study's counting attempts, one by one."""
    attempts = {row["attempt_id"]: row for row in results.experiments.to_dict("records")}
    experiments = {experiment.id: experiment for experiment in results.study.experiments}
    for row in results.levels.to_dict("records"):
        attempt = attempts.get(row["attempt_id"])
        if row["status"] != LevelStatus.OK or attempt is None:
            continue
        subject = _subject(experiments[row["experiment_id"]], attempt)
        measured = None if subject is None else _measured(subject, row)
        if measured is not None:
            yield measured


def _subject(experiment: ExpectedExperiment, attempt: Mapping[Any, Any]) -> Subject | None:
    if experiment.server is None or experiment.footprint is None:
        return None
    gpu, version = attempt.get("gpu_model"), attempt.get("engine_version")
    return subject_of(
        experiment.server,
        experiment.footprint,
        gpu=gpu if isinstance(gpu, str) else None,
        engine_version=version if isinstance(version, str) else None,
    )


def _measured(subject: Subject, row: Mapping[Any, Any]) -> Measured | None:
    names = ("ttft_s_mean", "tpot_s_mean", "output_throughput_tok_s")
    numbers = [finite(row[name]) for name in (*names, "input_tokens_mean", "output_tokens_mean")]
    known = [number for number in numbers if number is not None and number > 0]
    if len(known) < len(numbers):
        return None
    ttft_s, tpot_s, throughput, tokens_in, tokens_out = known
    load = Load(round(tokens_in), round(tokens_out), int(row["concurrency"]))
    return Measured(subject, load, ttft_s, tpot_s, throughput)

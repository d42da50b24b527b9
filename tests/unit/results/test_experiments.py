from __future__ import annotations

from dataclasses import replace

import pytest

from autotuner.results.experiments import cpu_set, experiment_row
from autotuner.results.schema import experiments_schema, table_of
from autotuner.results.study_record import StudyRecord
from autotuner.spec.experiment import (
    Attempt,
    Cancelled,
    Completed,
    Experiment,
    Failed,
    FailureKind,
    Phase,
    Purpose,
)


@pytest.mark.parametrize(
    ("cpus", "text"),
    [
        ((), None),
        ((3,), "3"),
        ((0, 1, 2, 3), "0-3"),
        ((8, 0, 1, 3), "0-1,3,8"),
        ((1, 1, 2), "1-2"),
    ],
)
def test_cpu_sets_are_written_as_the_kernel_writes_them(
    cpus: tuple[int, ...], text: str | None
) -> None:
    assert cpu_set(cpus) == text


def test_the_row_fits_the_schema_and_says_what_was_tried(
    attempt: Attempt, study: StudyRecord
) -> None:
    facts = {"simulated": True, "host": "n1", "cpus_server": "4-7"}
    row = experiment_row(
        attempt, Completed(), study="tiny", parameters=study.parameters, facts=facts
    )
    (stored,) = table_of([row], experiments_schema(study.parameters)).to_pylist()
    assert stored["attempt_id"] == "exp0-a1"
    assert stored["outcome"] == "completed"
    assert stored["failure_kind"] is None
    assert stored["param_max_num_seqs"] == 8
    assert (stored["host"], stored["cpus_server"], stored["gpus"]) == ("n1", "4-7", 1)


def test_a_failure_is_stored_with_kind_phase_message_and_evidence(
    attempt: Attempt, study: StudyRecord
) -> None:
    outcome = Failed(FailureKind.CONFIG_REJECTED, Phase.SERVER_START, "bad flag", "error: --x")
    row = experiment_row(
        attempt, outcome, study="tiny", parameters=study.parameters, facts={"simulated": False}
    )
    columns = ("outcome", "failure_kind", "failure_phase", "failure_message", "evidence")
    assert [row[c] for c in columns] == [
        "failed",
        "config_rejected",
        "server_start",
        "bad flag",
        "error: --x",
    ]


def test_a_cancelled_attempt_blames_no_failure_kind(attempt: Attempt, study: StudyRecord) -> None:
    row = experiment_row(
        attempt,
        Cancelled("stopped by the user"),
        study="tiny",
        parameters=study.parameters,
        facts={"simulated": False},
    )
    assert row["outcome"] == "cancelled"
    assert row["failure_message"] == "stopped by the user"
    assert "failure_kind" not in row


def test_the_row_says_why_the_attempt_was_made_and_whether_of_the_baseline(
    experiments: tuple[Experiment, ...], study: StudyRecord
) -> None:
    baseline = replace(experiments[0], is_baseline=True)
    row = experiment_row(
        Attempt("study1", baseline, 2, Purpose.DRIFT_CHECK),
        Completed(),
        study="tiny",
        parameters=study.parameters,
        facts={"simulated": False},
    )
    assert (row["purpose"], row["is_baseline"], row["attempt"]) == ("drift_check", True, 2)

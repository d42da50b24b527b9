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
from autotuner.spec.server import Footprint


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


def test_the_row_names_all_nodes_by_rank_and_the_first_as_the_node_does(
    attempt: Attempt, study: StudyRecord
) -> None:
    def hosts_of(**facts: object) -> object:
        told = {"simulated": True, **facts}
        row = experiment_row(attempt, Completed(), study="tiny", parameters=(), facts=told)
        return row["hosts"]

    assert hosts_of(host="n1") == ["n1"]
    assert hosts_of(host="n1", hosts=["10.0.0.1", "n2"]) == ["n1", "n2"]
    assert hosts_of() is None


def test_the_row_says_where_its_reserved_gpu_time_went(
    attempt: Attempt, study: StudyRecord
) -> None:
    wide = replace(attempt.experiment, footprint=Footprint(gpus_per_node=8, nodes=2))
    row = experiment_row(
        replace(attempt, experiment=wide),
        Completed(),
        study="tiny",
        parameters=study.parameters,
        facts={"simulated": False, "seconds_reserved": 10.0, "seconds_load": 7.5},
    )
    (stored,) = table_of([row], experiments_schema(study.parameters)).to_pylist()
    assert (stored["nodes"], stored["gpus"]) == (2, 16)
    assert (stored["seconds_reserved"], stored["seconds_idle"]) == (10.0, 2.5)
    assert (stored["gpu_seconds_reserved"], stored["gpu_seconds_load"]) == (160.0, 120.0)

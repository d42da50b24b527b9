"""A study as plain values: order, standing, parameters."""

from __future__ import annotations

from autotuner.report.subject import NOT_SET, Subject
from autotuner.results.limits import finite


def test_configurations_are_in_the_order_of_the_ranking(subject: Subject) -> None:
    ids = [entry.experiment_id for entry in subject.ranking.entries]
    assert [c.id for c in subject.configurations] == ids
    assert [subject.index_of[id_] for id_ in ids] == list(range(len(ids)))


def test_the_leader_is_the_verdicts(subject: Subject) -> None:
    leader = subject.leader
    assert leader is not None
    assert leader.id == subject.ranking.verdict.leader
    assert leader.standing == "leader"
    assert leader.number("ttft_s_p50") is not None


def test_what_failed_is_told_from_what_missed_a_limit(subject: Subject) -> None:
    failed = [c for c in subject.configurations if c.failure_kind]
    assert failed
    assert {c.status_word for c in failed} == {"failed"}
    assert {c.score for c in failed} == {None}


def test_an_attempt_that_failed_before_one_that_completed_is_no_failure(subject: Subject) -> None:
    rows = subject.attempts
    completed = set(rows.loc[rows["outcome"] == "completed", "experiment_id"])
    retried = set(rows.loc[rows["outcome"] == "failed", "experiment_id"]) & completed
    assert retried
    assert not [c for c in subject.configurations if c.id in retried and c.failure_kind]


def test_values_are_in_order_and_spelled_as_in_the_study_file(subject: Subject) -> None:
    assert list(subject.varied["max-num-seqs"]) == sorted(subject.varied["max-num-seqs"], key=int)  # type: ignore[arg-type]
    assert {subject.spelled(v) for v in subject.varied["enable-chunked-prefill"]} == {
        "true",
        "false",
    }
    assert subject.spelled(None) == NOT_SET


def test_only_finite_numbers_are_numbers() -> None:
    assert [finite(v) for v in (1, 2.5, float("nan"), float("inf"), None, True, "1")] == [
        1.0,
        2.5,
        *5 * [None],
    ]

"""The top of the report: what may be said, and how sure it is."""

from __future__ import annotations

from dataclasses import replace

from autotuner.report.sections.verdict import simulated_banner, verdict_section
from autotuner.report.subject import Subject


def measured_for_real(subject: Subject) -> Subject:
    results = subject.results
    return Subject(
        replace(
            results,
            attempts=results.attempts.assign(simulated=False),
            levels=results.levels.assign(simulated=False),
        ),
        (),
    )


def test_the_banner_is_there_where_a_server_was_simulated_and_only_there(subject: Subject) -> None:
    assert "SIMULATED" in simulated_banner(subject)
    assert simulated_banner(measured_for_real(subject)) == ""


def test_the_verdicts_own_sentence_comes_first(subject: Subject) -> None:
    labels = {c.id: c.label for c in subject.configurations}
    sentence = subject.ranking.verdict.sentence(labels)
    assert sentence[1:] in verdict_section(subject)[:800]


def test_the_leader_has_score_parameters_command_servers_and_its_place_against_the_baseline(
    subject: Subject,
) -> None:
    leader = subject.leader
    assert leader is not None
    text = verdict_section(subject)
    assert leader.expected.launch_command in text
    assert f"measured on {leader.entry.servers} fresh server" in text
    assert "against the baseline" in text
    for column in subject.study.parameters:
        assert (
            f"<dt>{column.parameter}</dt><dd>{subject.value_text(leader, column.parameter)}" in text
        )


def test_rivals_have_intervals(subject: Subject) -> None:
    verdict = subject.ranking.verdict
    text = verdict_section(subject)
    rival = subject.configurations[subject.index_of[verdict.rivals_named[0]]]
    assert rival.label in text
    assert " to +" in text

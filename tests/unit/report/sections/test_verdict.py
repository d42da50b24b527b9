"""The top of the report: what may be said, and how sure it is."""

from __future__ import annotations

from dataclasses import replace

from autotuner.report.sections.verdict import simulated_banner, verdict_section
from autotuner.report.subject import Subject
from autotuner.results.confidence.verdict import Interval, VerdictKind


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


def judged(subject: Subject, **changes: object) -> Subject:
    """The same study with another verdict."""
    ranking = subject.ranking
    changed = Subject(replace(subject.results), ())
    verdict = replace(ranking.verdict, **changes)  # type: ignore[arg-type]
    vars(changed)["ranking"] = replace(ranking, verdict=verdict)
    return changed


def test_those_that_may_be_as_good_are_listed_with_intervals(subject: Subject) -> None:
    ids = [e.experiment_id for e in subject.ranking.feasible[1:]]
    interval = Interval(0.03, -0.01, 0.07)
    text = verdict_section(
        judged(
            subject,
            kind=VerdictKind.NOT_ENOUGH_EVIDENCE,
            tied_with=tuple(ids[:1]),
            undecided=tuple(ids[1:]),
            repeats_needed=3,
            advantages=dict.fromkeys(ids, interval),
        )
    )
    assert "May be as good as the leader" in text
    assert text.count("+3.0 % (\N{MINUS SIGN}1.0 % to +7.0 %)") == len(ids)
    assert text.count("<td>tied</td>") == 1
    assert f"{len(ids) - 5} more configuration" in text


def test_one_measured_once_has_no_interval(subject: Subject) -> None:
    ids = [e.experiment_id for e in subject.ranking.feasible[1:2]]
    advantages = {ids[0]: Interval(0.03, None, None)}
    text = verdict_section(judged(subject, undecided=tuple(ids), advantages=advantages))
    assert "+3.0 % (no interval: too few repeats)" in text


def test_a_winner_is_shown_beside_the_next_best(subject: Subject) -> None:
    ids = [e.experiment_id for e in subject.ranking.feasible[1:]]
    advantages = dict.fromkeys(ids, Interval(0.2, 0.1, 0.3))
    text = verdict_section(
        judged(
            subject,
            kind=VerdictKind.WINNER,
            tied_with=(),
            undecided=(),
            advantages=advantages,
        )
    )
    assert "The next best, which are worse than the leader" in text
    assert "May be as good" not in text


def test_without_a_result_there_is_no_leader(subject: Subject) -> None:
    text = verdict_section(
        judged(subject, kind=VerdictKind.NO_RESULT, leader=None, tied_with=(), undecided=())
    )
    assert "Nothing was measured that could be compared" in text
    assert "Start it with" not in text

"""The verdict: who leads, by how much, how sure that is, and how to start it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from autotuner.report.markup import Content, Markup, element, join, table
from autotuner.report.subject import Configuration, Subject
from autotuner.report.wording import (
    MISSING,
    counted,
    percent,
    quantity,
    signed_percent,
)
from autotuner.results.confidence.verdict import Interval

__all__ = ["simulated_banner", "verdict_section"]

_SHOWN_RIVALS = 5
_HEADINGS = ("configuration", "standing", "score", "leader is better by", "servers")


def simulated_banner(subject: Subject) -> Markup:
    """Says that the numbers measure nothing; empty where they do."""
    if not subject.is_simulated:
        return Markup("")
    return element(
        "p",
        element("strong", "SIMULATED."),
        " A simulated server answered: these numbers say nothing about real hardware.",
        class_="banner",
        role="note",
    )


def verdict_section(subject: Subject) -> Markup:
    """The section's content, without its heading."""
    ranking = subject.ranking
    labels = {c.id: c.label for c in subject.configurations}
    sentence = ranking.verdict.sentence(labels)
    return join(
        [
            element("p", f"{sentence[0].upper()}{sentence[1:]}.", class_="verdict"),
            element("p", _how_sure(subject)),
            _pending(subject),
            _leader(subject),
            _rivals(subject),
            element("p", f"Judged by: {_judged_by(subject)}.", class_="fine"),
            element("p", f"{_counts(subject)}.", class_="fine"),
            _searched(subject),
            element("p", f"Mind: {ranking.caveat}.", class_="fine") if ranking.caveat else None,
        ]
    )


def _how_sure(subject: Subject) -> str:
    verdict = subject.ranking.verdict
    leader = subject.leader
    if leader is None:
        return "Nothing was measured that could be compared; see the failures below."
    noise = (
        "how much fresh servers of one configuration differ is not known, since none was "
        "measured twice"
        if verdict.noise_cv is None
        else f"fresh servers of one configuration differ by {percent(verdict.noise_cv)} "
        "(coefficient of variation)"
    )
    return (
        f"The leader was measured on {counted(leader.entry.servers, 'fresh server')}; {noise}. "
        f"Confidence {100 * verdict.confidence:g} % over all rivals at once; differences below "
        f"{100 * verdict.minimal_effect:g} % do not matter in this study."
    )


def _pending(subject: Subject) -> Markup | None:
    pending = len(subject.ranking.pending)
    if not pending:
        return None
    text = f"{counted(pending, 'configuration')} not measured yet: this is the state so far."
    return element("p", text, class_="warning")


def _searched(subject: Subject) -> Markup | None:
    sentence = subject.results.search_sentence
    return None if sentence is None else element("p", f"Search: {sentence}.", class_="fine")


def _leader(subject: Subject) -> Markup | None:
    leader = subject.leader
    if leader is None:
        return None
    facts: list[tuple[str, Content]] = [
        ("score", f"{quantity(leader.score, subject.ranking.unit)}{_at(leader)}"),
        ("against the baseline", _against_baseline(subject, leader)),
        ("time to first token", _latency(leader, "ttft_s")),
        ("time per output token", _latency(leader, "tpot_s")),
        *(
            (column.parameter, subject.value_text(leader, column.parameter))
            for column in subject.study.parameters
        ),
    ]
    return join(
        [
            element("h3", f"Leader: {leader.label}"),
            element(
                "dl",
                *(join([element("dt", name), element("dd", value)]) for name, value in facts),
            ),
            element("p", "Start it with:"),
            element(
                "pre",
                element("code", leader.expected.launch_command or "no command recorded"),
                tabindex="0",
                class_="command",
            ),
        ]
    )


def _at(configuration: Configuration) -> str:
    level = configuration.entry.score.level
    return f" at {level}" if level else ""


def _latency(configuration: Configuration, metric: str) -> str:
    median, tail = (configuration.number(f"{metric}_{s}") for s in ("p50", "p99"))
    if median is None and tail is None:
        return MISSING
    return f"median {quantity(median, 's')}, 99th percentile {quantity(tail, 's')}"


def _against_baseline(subject: Subject, leader: Configuration) -> str:
    baseline = subject.baseline
    if baseline is None:
        return "the study has no baseline"
    if leader.is_baseline:
        return "the leader is the baseline"
    if leader.entry.vs_baseline is None:
        return f"unknown, since the baseline ({baseline.label}) has no score"
    better = "better" if leader.entry.vs_baseline >= 0 else "worse"
    return (
        f"{signed_percent(leader.entry.vs_baseline)} ({better}) than {baseline.label}, "
        f"{quantity(baseline.score, subject.ranking.unit)}"
    )


def _rivals(subject: Subject) -> Markup | None:
    """Those that may be as good as the leader, or else the next best."""
    named = subject.ranking.verdict.rivals_named
    if not named:
        return _next_best(subject)
    rows = [_rival_row(subject, id_) for id_ in named]
    first = table(_HEADINGS, rows[:_SHOWN_RIVALS], caption="May be as good as the leader")
    rest = rows[_SHOWN_RIVALS:]
    if not rest:
        return first
    more = element(
        "details",
        element("summary", f"{counted(len(rest), 'more configuration')} that may be as good"),
        table(_HEADINGS, rest, caption="Further ones that may be as good as the leader"),
    )
    return join([first, more])


def _next_best(subject: Subject) -> Markup | None:
    advantages = subject.ranking.verdict.advantages
    ids = [c.id for c in subject.configurations if c.id in advantages][:_SHOWN_RIVALS]
    if not ids:
        return None
    rows = [_rival_row(subject, id_) for id_ in ids]
    return table(_HEADINGS, rows, caption="The next best, which are worse than the leader")


def _rival_row(subject: Subject, id_: str) -> Sequence[Content]:
    rival = subject.configurations[subject.index_of[id_]]
    interval = subject.ranking.verdict.advantages.get(id_)
    return (
        rival.label,
        rival.standing or "worse",
        quantity(rival.entry.score.value, subject.ranking.unit),
        _interval(interval),
        rival.entry.servers,
    )


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return MISSING
    if interval.low is None or interval.high is None:
        return f"{signed_percent(interval.estimate)} (no interval: too few repeats)"
    return (
        f"{signed_percent(interval.estimate)} "
        f"({signed_percent(interval.low)} to {signed_percent(interval.high)})"
    )


def _judged_by(subject: Subject) -> str:
    judging = subject.study.judging
    parts = [f"{judging.objective.name}: {judging.objective.describe()}"]
    parts += [str(constraint) for constraint in judging.constraints]
    parts += [f"goodput: {slo}" for slo in judging.request_slos]
    return "; ".join(parts)


def _counts(subject: Subject) -> str:
    counts = Counter(c.status_word for c in subject.configurations)
    shown = ", ".join(f"{count:,} {status}" for status, count in counts.items())
    return f"{counted(len(subject.configurations), 'configuration')}: {shown}"

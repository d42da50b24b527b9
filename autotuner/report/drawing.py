"""The charts of a report, from its subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotuner.report.charts.chart import Chart
from autotuner.report.charts.curves import curve_charts
from autotuner.report.charts.effects import effects_chart, interaction_chart
from autotuner.report.charts.heatmap import Cell, heatmap_chart
from autotuner.report.charts.pareto import pareto_charts
from autotuner.report.charts.timeline import stays_of, timeline_chart
from autotuner.report.parameter_effects import Scored, main_effects, strongest_interaction
from autotuner.report.subject import Configuration, Subject
from autotuner.report.wording import counted
from autotuner.results.pareto import pareto_points
from autotuner.results.score import EntryStatus
from autotuner.spec.objective import Direction

__all__ = [
    "CURVES_AT_ONCE",
    "Drawing",
    "draw_effects",
    "draw_latencies",
    "draw_pareto",
    "draw_timeline",
]

CURVES_AT_ONCE = 12
"""More cannot be told apart; the baseline comes on top."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """Charts that belong together, and what must be said of them."""

    charts: tuple[Chart, ...]
    caption: str


def draw_pareto(subject: Subject) -> Drawing:
    """Throughput against interactivity and against TTFT."""
    return Drawing(*pareto_charts(pareto_points(subject.results), _by_id(subject)))


def draw_latencies(subject: Subject) -> Drawing:
    """Latencies over throughput, workload by workload."""
    levels = subject.results.pooled_levels
    workloads = sorted(set(levels["workload"]))
    judging = subject.study.judging
    charts = [
        chart
        for number, workload in enumerate(workloads)
        for chart in curve_charts(
            levels, subject.configurations, judging, workload, number if number else None
        )
    ]
    if not charts:
        return Drawing((), "No level has throughput and latencies.")
    return Drawing(
        tuple(charts),
        "One curve per configuration, over its concurrency levels; hold the pointer over a point "
        f"for its concurrency. Shown are the best {CURVES_AT_ONCE} by rank that the filter lets "
        "through, and the baseline in black.",
    )


def draw_effects(subject: Subject) -> Drawing:
    """Main effects, the strongest interaction, and the heat map of a grid of two parameters."""
    values = {
        name: [subject.spelled(v) for v in choices] for name, choices in subject.varied.items()
    }
    if not values:
        return Drawing((), "The study varies no parameter.")
    scored = _scored(subject, values)
    if not scored:
        return Drawing((), "No configuration has a score above 0.")
    better_above = subject.ranking.direction is Direction.MAXIMIZE
    charts = [
        effects_chart(main_effects(scored, values)),
        _interaction(subject, scored, values),
        _heatmap(subject, values, better_above=better_above),
    ]
    return Drawing(
        tuple(chart for chart in charts if chart is not None),
        _effects_caption(subject, scored),
    )


def draw_timeline(subject: Subject) -> Drawing:
    """Who ran where and when."""
    stays = stays_of(subject.attempts)
    chart = timeline_chart(stays, _by_id(subject))
    left = len(subject.attempts) - len(stays)
    unknown = (
        f" Not drawn: {counted(left, 'attempt')} whose start nobody could record, lost with its "
        "node or before it reached one."
        if left
        else ""
    )
    if chart is None:
        return Drawing((), f"Nothing has run yet.{unknown}")
    return Drawing(
        (chart,),
        f"{chart.description} Devices that no attempt ever used are not known here.{unknown}",
    )


def _by_id(subject: Subject) -> Mapping[str, Configuration]:
    return {c.id: c for c in subject.configurations}


def _scored(subject: Subject, values: Mapping[str, Sequence[str]]) -> list[Scored]:
    return [
        Scored({name: subject.value_text(c, name) for name in values}, c.score)
        for c in subject.in_space
        if c.score is not None and c.score > 0
    ]


def _interaction(
    subject: Subject, scored: Sequence[Scored], values: Mapping[str, Sequence[str]]
) -> Chart | None:
    found = strongest_interaction(scored, values)
    return None if found is None else interaction_chart(found, subject.ranking.unit)


def _heatmap(
    subject: Subject, values: Mapping[str, Sequence[str]], *, better_above: bool
) -> Chart | None:
    if len(values) != 2:
        return None
    first, second = values
    cells = [
        Cell(
            subject.value_text(c, first),
            subject.value_text(c, second),
            c.score,
            "" if c.score is not None else _problem(c),
            c.name,
        )
        for c in subject.in_space
    ]
    return heatmap_chart(
        (first, second), values, cells, subject.ranking.unit, larger_is_better=better_above
    )


def _problem(configuration: Configuration) -> str:
    """In a few words, since it must fit into a cell."""
    if configuration.failure_kind:
        return configuration.failure_kind.replace("_", " ")
    return {
        EntryStatus.PENDING: "not measured yet",
        EntryStatus.INFEASIBLE: "misses a limit",
        EntryStatus.PRUNED: "given up",
    }.get(configuration.entry.status, configuration.status_word)


def _effects_caption(subject: Subject, scored: Sequence[Scored]) -> str:
    missing = len(subject.in_space) - len(scored)
    better = "Above 0" if subject.ranking.direction is Direction.MAXIMIZE else "Below 0"
    caption = (
        "Mean of the logarithm of the score over all configurations with a value, against that "
        "over all; bars reach one standard deviation to each side, which is mostly what the "
        f"other parameters do. {better} is better. Not affected by the filter."
    )
    if missing:
        caption += (
            f" {missing:,} of {len(subject.in_space):,} configurations have no score that counts "
            "and are left out; where they share a value, its mean is of the others alone."
        )
    return caption

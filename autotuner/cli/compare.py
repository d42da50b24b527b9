"""Compare two studies of the same experiments, before and after a change.

Experiments are matched by their parameters. Numbers are compared only where both studies put
the same load on their servers and judge them by the same objective.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autotuner.cli.display import output_console
from autotuner.errors import UserError
from autotuner.results.comparison import Comparison, Pair, WinnerChange, compare_studies
from autotuner.results.confidence.intervals import Interval
from autotuner.results.confidence.two_samples import Change
from autotuner.results.load import StudyResults, load_results

__all__ = ["HELP", "NAME", "add_arguments", "comparison_json", "execute", "print_comparison"]

NAME = "compare"
HELP = "two studies, before and after a change: what got better, what got worse"

_COLOURS = {Change.BETTER: "green", Change.WORSE: "red", Change.SAME: "dim"}
_WINNER = {
    WinnerChange.KEPT: "the same configuration leads before and after",
    WinnerChange.CHANGED: "the best configuration has changed",
    WinnerChange.UNCERTAIN: "another configuration leads, but the best of before may be as good",
    WinnerChange.UNKNOWN: "whether the best configuration has changed cannot be said",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", metavar="BEFORE", help="results folder or s3://BUCKET/PREFIX")
    parser.add_argument("after", metavar="AFTER", help="the same of the later study")
    parser.add_argument("--json", action="store_true", help="the comparison as JSON, for scripts")


def execute(arguments: argparse.Namespace) -> int:
    comparison = compare_studies(load_results(arguments.before), load_results(arguments.after))
    if arguments.json:
        print(json.dumps(comparison_json(comparison), indent=2, allow_nan=False))
    else:
        print_comparison(comparison, output_console())
    if comparison.refused:
        reasons = "; ".join(comparison.refused)
        raise UserError(f"the numbers of these studies cannot be compared: {reasons}")
    return 0


def print_comparison(comparison: Comparison, console: Console) -> None:
    """What differs, the overall effect, one row per experiment, and the winners."""
    before, after = comparison.before, comparison.after
    title = f"{before.study.name} ({before.study.study_id}) -> "
    title += f"{after.study.name} ({after.study.study_id})"
    console.print(f"\n[bold]{escape(title)}[/]", highlight=False)
    if comparison.simulated:
        console.print("[yellow]SIMULATED: says nothing about real hardware[/]")
    if not comparison.changed:
        console.print("nothing else is known to differ")
    for change in comparison.changed:
        console.print(f"  {escape(str(change))}", soft_wrap=True, highlight=False)
    if comparison.refused:
        return
    if (baseline := comparison.baseline) is not None:
        console.print(f"\nbaseline: {_in_words(baseline)}", soft_wrap=True, highlight=False)
    console.print(_table(comparison))
    console.print(f"[dim]{escape(_footnote(comparison))}[/]", soft_wrap=True, highlight=False)
    for name, labels in (("before", comparison.only_before), ("after", comparison.only_after)):
        if labels:
            console.print(f"only {name}: {escape(', '.join(labels))}", soft_wrap=True)
    console.print(f"\n[bold]{_WINNER[comparison.winner]}[/]")
    for name, results in (("before", before), ("after ", after)):
        console.print(f"  {name}: {escape(_verdict(results))}", soft_wrap=True, highlight=False)


def _table(comparison: Comparison) -> Table:
    ranking = comparison.after.ranking()
    table = Table(box=SIMPLE_HEAD)
    table.add_column("parameters", overflow="fold")
    for name in ("before", "after"):
        table.add_column(f"{name}\n{ranking.unit}", justify="right")
    table.add_column("servers", justify="right")
    table.add_column("change", justify="right")
    table.add_column(f"{100 * comparison.confidence:.0f} % bounds", justify="right")
    table.add_column("verdict", overflow="fold")
    for pair in comparison.pairs:
        label = f"{pair.label} (baseline)" if pair.is_baseline else pair.label
        fraction = pair.difference.fraction if pair.difference else None
        table.add_row(
            escape(label),
            _number(pair.before.score.effective if pair.before.rank else None),
            _number(pair.after.score.effective if pair.after.rank else None),
            f"{pair.before.servers} / {pair.after.servers}",
            "" if fraction is None else _percent(fraction.estimate),
            _bounds(fraction),
            _verdict_cell(pair),
        )
    return table


def _verdict_cell(pair: Pair) -> str:
    if pair.difference is None:
        return f"[dim]{escape(pair.problem)}[/]"
    change = pair.difference.change
    text = change.value.replace("_", " ")
    colour = _COLOURS.get(change)
    return f"[{colour}]{text}[/]" if colour else text


def _in_words(pair: Pair) -> str:
    if pair.difference is None:
        return escape(f"no difference can be given ({pair.problem})")
    words = pair.difference.change.value.replace("_", " ")
    fraction = pair.difference.fraction
    if fraction is None:
        return words
    bounds = f" ({_bounds(fraction)})" if fraction.low is not None else ""
    return f"{words}, {_percent(fraction.estimate)}{bounds}"


def _footnote(comparison: Comparison) -> str:
    ranking = comparison.after.ranking()
    noise = comparison.noise
    known = (
        "nothing was measured on two servers, so no difference can be told from noise"
        if noise is None
        else f"servers of one configuration differ by {100 * noise.cv:.2g} % (CV)"
    )
    count = len(comparison.compared)
    return (
        f"{ranking.direction.value} {ranking.column}, effective values; bounds hold for all "
        f"{count} comparisons at once; same: within {100 * comparison.minimal_effect:g} %; {known}"
    )


def _verdict(results: StudyResults) -> str:
    ranking = results.ranking()
    return ranking.verdict.sentence({e.experiment_id: e.label for e in ranking.entries})


def _percent(fraction: float) -> str:
    return f"{100 * fraction:+.1f} %"


def _bounds(fraction: Interval | None) -> str:
    if fraction is None or fraction.low is None or fraction.high is None:
        return ""
    return f"{100 * fraction.low:+.1f} to {100 * fraction.high:+.1f} %"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def comparison_json(comparison: Comparison) -> dict[str, object]:
    """The comparison as plain values; missing numbers are null."""
    ranking = comparison.after.ranking()
    return {
        "before": _study_json(comparison.before),
        "after": _study_json(comparison.after),
        "simulated": comparison.simulated,
        "changed": [asdict(change) for change in comparison.changed],
        "refused": list(comparison.refused),
        "column": ranking.column,
        "unit": ranking.unit,
        "direction": ranking.direction.value,
        "minimal_effect": comparison.minimal_effect,
        "confidence": comparison.confidence,
        "noise_cv": comparison.noise.cv if comparison.noise else None,
        "winner": comparison.winner.value,
        "experiments": [_pair_json(pair) for pair in comparison.pairs],
        "only_before": list(comparison.only_before),
        "only_after": list(comparison.only_after),
    }


def _study_json(results: StudyResults) -> dict[str, object]:
    verdict = results.ranking().verdict
    return {
        "study": results.study.name,
        "study_id": results.study.study_id,
        "verdict": verdict.kind.value,
        "sentence": _verdict(results),
        "leader": verdict.leader,
    }


def _pair_json(pair: Pair) -> dict[str, object]:
    found = pair.difference
    return {
        "label": pair.label,
        "is_baseline": pair.is_baseline,
        "before_id": pair.before.experiment_id,
        "after_id": pair.after.experiment_id,
        "before": pair.before.score.effective if pair.before.rank else None,
        "after": pair.after.score.effective if pair.after.rank else None,
        "servers_before": pair.before.servers,
        "servers_after": pair.after.servers,
        "verdict": found.change.value if found else None,
        "change": asdict(found.fraction) if found and found.fraction else None,
        "reason": pair.problem or None,
    }

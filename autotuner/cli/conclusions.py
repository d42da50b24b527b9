"""What to make of a study: the best configuration, and what its numbers may be doubted for."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from autotuner.cli.tables import is_simulated, one_line, shown_label
from autotuner.results.confidence.verdict import VerdictKind
from autotuner.results.load import StudyResults
from autotuner.results.quality.finding import Severity
from autotuner.results.quality.inspection import inspect
from autotuner.results.score import Ranking

__all__ = ["print_findings", "print_winner"]

_MOST_FINDINGS = 5
_FINDING_CHARS = 400
_COLOURS = {Severity.SERIOUS: "red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}


def print_winner(results: StudyResults, console: Console) -> None:
    """The best configuration, whether it is a winner, and the command that starts it."""
    ranking = results.ranking()
    if ranking.winner is None:
        if ranking.pending:
            console.print(f"no result yet, {len(ranking.pending)} experiments to come")
        elif (results.experiments["outcome"] == "completed").any():
            console.print("[red]measured, but no configuration qualifies: see the reasons above[/]")
        else:
            console.print("[red]no experiment succeeded[/]")
        return
    so_far = f" so far, {len(ranking.pending)} to come" if ranking.pending else ""
    simulated = " (simulated)" if is_simulated(results) else ""
    label = escape(shown_label(ranking.winner))
    console.print(
        f"\n[bold green]best{simulated}:[/] {label}{_standing(ranking)}{so_far}", soft_wrap=True
    )
    expected = {experiment.id: experiment for experiment in results.study.experiments}
    command = expected[ranking.winner.experiment_id].launch_command
    console.print("start it with:")
    console.print(f"  {escape(command)}", soft_wrap=True, highlight=False)


def print_findings(results: StudyResults, console: Console, folder: str | Path) -> None:
    """The worst of what the numbers may be doubted for, each with its remedy."""
    findings = inspect(results)
    for finding in findings[:_MOST_FINDINGS]:
        text = one_line(f"{finding.message}. {finding.consequence}", _FINDING_CHARS)
        colour = _COLOURS[finding.severity]
        console.print(f"[{colour}]{finding.severity.value}[/]: {escape(text)}", soft_wrap=True)
        console.print(f"    [dim]{escape(finding.remedy)}[/]", soft_wrap=True, highlight=False)
    more = len(findings) - _MOST_FINDINGS
    if more > 0:
        console.print(f"{more} more: autotuner report {folder}", soft_wrap=True)


def _standing(ranking: Ranking) -> str:
    """What the verdict says of the best; the whole of it stands above the table."""
    verdict = ranking.verdict
    margin = ranking.margin_to_next
    match verdict.kind:
        case VerdictKind.TIED:
            others = len(verdict.tied_with)
            return f", [yellow]tied with {others} other{'s' if others != 1 else ''}[/]"
        case VerdictKind.NOT_ENOUGH_EVIDENCE:
            return ", [yellow]not enough evidence to call it the winner[/]"
    return "" if margin is None else f", {100 * margin:.1f} % better than the next"

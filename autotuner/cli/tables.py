"""Results as terminal tables."""

from __future__ import annotations

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autotuner.results.load import StudyResults
from autotuner.results.score import EntryStatus, Ranking, RankingEntry
from autotuner.spec.experiment import Phase
from autotuner.spec.workload import Level

__all__ = [
    "one_line",
    "print_failures",
    "print_ranking",
    "print_timings",
    "print_winner",
    "telling_line",
]

_MOST_LEVEL_COLUMNS = 6
_REASON_CHARS = 200
_CLOSE = 0.05
"""Measured twice, one configuration differs from itself by a few percent."""
_TIMINGS = (
    "actor_start",
    *(p.value for p in Phase if p is not Phase.STOP),
    "bench_overhead",
    "stop",
)


def print_ranking(results: StudyResults, console: Console) -> None:
    """One row per experiment, best first, with the objective's metric at every level."""
    ranking = results.ranking()
    levels = results.study.experiments[0].levels
    shown = levels if len(levels) <= _MOST_LEVEL_COLUMNS else ()
    title = f"{results.study.name}: {ranking.direction.value} {ranking.column}"
    if is_simulated(results):
        title += "  (SIMULATED: says nothing about real hardware)"
    console.print(f"\n[bold]{escape(title)}[/]")
    table = Table(box=SIMPLE_HEAD)
    table.add_column("#", justify="right")
    table.add_column("parameters", overflow="fold")
    table.add_column(f"score\n{ranking.unit}", justify="right", style="bold")
    for level in shown:
        table.add_column(_heading(level, levels), justify="right")
    table.add_column("TTFT\np50 ms", justify="right")
    table.add_column("TPOT\np50 ms", justify="right")
    for entry in ranking.entries:
        table.add_row(*_ranking_row(results, ranking, entry, shown))
    console.print(table)
    console.print(f"[dim]TTFT and TPOT at the score's level; {escape(ranking.caveat)}.[/]")


def print_failures(results: StudyResults, console: Console) -> None:
    """Why experiments cannot win, and the line of the log that says so."""
    ended = {row["experiment_id"]: row for row in results.experiments.to_dict("records")}
    for entry in results.ranking().entries:
        if entry.status is not EntryStatus.INFEASIBLE:
            continue
        reason = one_line(entry.score.reason, _REASON_CHARS)
        row = ended.get(entry.experiment_id, {})
        if row.get("outcome") == "failed":
            reason = f"{row['failure_kind']}: {one_line(row['failure_message'], _REASON_CHARS)}"
        console.print(f"[red]{escape(entry.label)}[/]: {escape(reason)}", soft_wrap=True)
        if evidence := telling_line(row.get("evidence")):
            console.print(f"    [dim]{escape(evidence)}[/]", soft_wrap=True, highlight=False)


def print_timings(results: StudyResults, console: Console) -> None:
    """Seconds of each phase, one row per attempt that has ended."""
    console.print("\n[bold]seconds per phase[/]")
    table = Table(box=SIMPLE_HEAD)
    table.add_column("parameters", overflow="fold")
    for name in _TIMINGS:
        table.add_column(name.replace("_", "\n"), justify="right")
    for row in results.experiments.sort_values("started_at").to_dict("records"):
        seconds = (_number(row.get(f"seconds_{name}"), ".1f") for name in _TIMINGS)
        table.add_row(escape(str(row["label"])), *seconds)
    console.print(table)


def print_winner(results: StudyResults, console: Console) -> None:
    """The best configuration and the command that starts it."""
    ranking = results.ranking()
    if ranking.winner is None:
        if ranking.pending:
            console.print(f"no result yet, {len(ranking.pending)} experiments to come")
        elif (results.experiments["outcome"] == "completed").any():
            console.print("[red]measured, but no configuration qualifies: see the reasons above[/]")
        else:
            console.print("[red]no experiment succeeded[/]")
        return
    margin = ""
    if ranking.margin_to_next is not None:
        margin = f", {100 * ranking.margin_to_next:.1f} % ahead of the next"
        if ranking.margin_to_next < _CLOSE:
            margin += " ([yellow]too close to tell from one measurement[/])"
    so_far = f" so far, {len(ranking.pending)} to come" if ranking.pending else ""
    simulated = " (simulated)" if is_simulated(results) else ""
    console.print(
        f"\n[bold green]best{simulated}:[/] {escape(ranking.winner.label)}{margin}{so_far}"
    )
    expected = {experiment.id: experiment for experiment in results.study.experiments}
    command = expected[ranking.winner.experiment_id].launch_command
    console.print("start it with:")
    console.print(f"  {escape(command)}", soft_wrap=True, highlight=False)


def one_line(text: str, most_chars: int) -> str:
    """``text`` on one line, shortened where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= most_chars else line[:most_chars] + "…"


def telling_line(evidence: object) -> str:
    """The last line of an attempt's evidence, where logs say what went wrong; empty for none."""
    lines = evidence.strip().splitlines() if isinstance(evidence, str) else []
    return one_line(lines[-1], _REASON_CHARS) if lines else ""


def is_simulated(results: StudyResults) -> bool:
    return bool(results.levels["simulated"].any())


def _ranking_row(
    results: StudyResults, ranking: Ranking, entry: RankingEntry, shown: tuple[Level, ...]
) -> list[str]:
    rows = results.levels[results.levels["experiment_id"] == entry.experiment_id]
    by_level = {
        str(Level(row["workload"], row["scenario"], row["concurrency"], row["repeat"])): row
        for row in rows.to_dict("records")
    }
    at_score = by_level.get(entry.score.level or "", {})
    status = "…" if entry.status is EntryStatus.PENDING else "-"
    return [
        str(entry.rank or status),
        escape(entry.label),
        _number(entry.score.value if entry.rank else None),
        *(_number(by_level.get(str(level), {}).get(ranking.column)) for level in shown),
        _milliseconds(at_score.get("ttft_s_p50")),
        _milliseconds(at_score.get("tpot_s_p50")),
    ]


def _heading(level: Level, levels: tuple[Level, ...]) -> str:
    one_workload = len({other.workload for other in levels}) == 1
    return f"c={level.concurrency}" if one_workload else f"{level.workload} c={level.concurrency}"


def _number(value: object, form: str = ".4g") -> str:
    if not isinstance(value, int | float) or pd.isna(value):
        return ""
    return f"{value:,.0f}" if form == ".4g" and abs(value) >= 1000 else format(value, form)


def _milliseconds(value: object) -> str:
    return _number(value * 1000, ".1f") if isinstance(value, int | float) else ""

"""Results as terminal tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autotuner.results.counting import level_of
from autotuner.results.found_load import FoundLoad
from autotuner.results.levels import LevelStatus
from autotuner.results.limits import number
from autotuner.results.load import StudyResults
from autotuner.results.score import EntryStatus, Ranking, RankingEntry
from autotuner.results.server_values import found_loads
from autotuner.results.summary import supports
from autotuner.spec.objective import METRICS, Objective
from autotuner.spec.workload import Level

__all__ = [
    "one_line",
    "print_failures",
    "print_ranking",
    "shown_label",
    "telling_line",
]

_MOST_LEVEL_COLUMNS = 6
_REASON_CHARS = 200
_VERDICT_CHARS = 600
_PLACES = {
    EntryStatus.PENDING: "…",
    EntryStatus.PRUNED: "<",
    EntryStatus.INFEASIBLE: "-",
    EntryStatus.NOT_COMPARABLE: "≠",
}
_PENALISED, _UNSUPPORTED, _SKIPPED = "*", "†", "·"

Row = Mapping[str, object]


def print_ranking(results: StudyResults, console: Console) -> None:
    """The verdict, then one row per experiment with the objective's metric at every level."""
    shown = _Shown(results)
    ranking = shown.ranking
    title = f"{results.study.name}: {results.study.judging.objective.describe()}"
    if is_simulated(results):
        title += "  (SIMULATED: says nothing about real hardware)"
    console.print(f"\n[bold]{escape(title)}[/]")
    console.print(escape(_verdict_line(ranking)), soft_wrap=True, highlight=False)
    if results.search_sentence is not None:
        console.print(escape(results.search_sentence), soft_wrap=True, highlight=False)
    table = Table(box=SIMPLE_HEAD)
    table.add_column("#", justify="right")
    table.add_column("parameters", overflow="fold")
    table.add_column(f"score\n{ranking.unit}", justify="right", style="bold")
    for heading in shown.optional_columns:
        table.add_column(heading, justify="right")
    for level in shown.level_columns:
        table.add_column(_heading(level, shown.levels), justify="right")
    table.add_column("TTFT\np50 ms", justify="right")
    table.add_column("TPOT\np50 ms", justify="right")
    rows = [shown.cells(entry) for entry in ranking.entries]
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for note in shown.notes(" ".join(cell for row in rows for cell in row[2:])):
        console.print(f"[dim]{escape(note)}[/]", soft_wrap=True)


def print_failures(results: StudyResults, console: Console) -> None:
    """Why experiments cannot win, and the line of the log that says so."""
    ended = {row["experiment_id"]: row for row in results.experiments.to_dict("records")}
    for entry in results.ranking().entries:
        if entry.status in (EntryStatus.FEASIBLE, EntryStatus.PENDING):
            continue
        reason = one_line(entry.score.reason, 2 * _REASON_CHARS)
        row = ended.get(entry.experiment_id, {})
        if row.get("outcome") == "failed":
            reason = f"{row['failure_kind']}: {one_line(row['failure_message'], _REASON_CHARS)}"
        label = escape(shown_label(entry))
        if entry.status is EntryStatus.PRUNED:
            console.print(f"{label}: given up, {escape(reason)}", soft_wrap=True)
            continue
        console.print(f"[red]{label}[/]: {escape(reason)}", soft_wrap=True)
        if evidence := telling_line(row.get("evidence")):
            console.print(f"    [dim]{escape(evidence)}[/]", soft_wrap=True, highlight=False)


def one_line(text: str, most_chars: int) -> str:
    """``text`` on one line, shortened where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= most_chars else line[:most_chars] + "…"


def telling_line(evidence: object) -> str:
    """The last line of an attempt's evidence, where logs say what went wrong; empty for none."""
    lines = evidence.strip().splitlines() if isinstance(evidence, str) else []
    return one_line(lines[-1], _REASON_CHARS) if lines else ""


def shown_label(entry: RankingEntry) -> str:
    """What to call an experiment."""
    return f"{entry.label} (baseline)" if entry.is_baseline else entry.label


def is_simulated(results: StudyResults) -> bool:
    return bool(results.levels["simulated"].any())


def _verdict_line(ranking: Ranking) -> str:
    labels = {entry.experiment_id: shown_label(entry) for entry in ranking.entries}
    so_far = f" (so far: {len(ranking.pending)} to come)" if ranking.pending else ""
    return one_line(ranking.verdict.sentence(labels), _VERDICT_CHARS) + so_far


@dataclass(frozen=True)
class _Shown:
    """The ranking's rows, as far as there is something to show."""

    results: StudyResults

    @cached_property
    def ranking(self) -> Ranking:
        return self.results.ranking()

    @property
    def objective(self) -> Objective:
        return self.results.study.judging.objective

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        first = next(iter(self.results.study.experiments), None)
        levels = () if first is None else first.levels
        return tuple(dict.fromkeys(level.of_all_repeats for level in levels))

    @property
    def level_columns(self) -> tuple[Level, ...]:
        owed = {level.of_all_repeats for level in self.results.study.experiments[0].owed}
        listed = tuple(level for level in self.levels if level in owed)
        return listed if len(listed) <= _MOST_LEVEL_COLUMNS else ()

    @cached_property
    def rows(self) -> Mapping[tuple[str, str], Row]:
        """Experiment and level -> its pooled row."""
        found: dict[tuple[str, str], Row] = {}
        for record in self.results.pooled_levels.to_dict("records"):
            row = {str(name): value for name, value in record.items()}
            found[str(row["experiment_id"]), str(level_of(row))] = row
        return found

    @cached_property
    def optional_columns(self) -> dict[str, Callable[[RankingEntry], str]]:
        """Headings of what not every study has, and how to fill them."""
        entries = self.ranking.entries
        columns: dict[str, Callable[[RankingEntry], str]] = {}
        if any(entry.interval for entry in entries):
            columns["\n±"] = _half_width
        if any(entry.servers > 1 for entry in entries):
            columns["servers\n"] = _servers
        if any(entry.is_baseline for entry in entries):
            columns["vs\nbaseline"] = _vs_baseline
        for workload in dict.fromkeys(w for e in self.results.study.experiments for w in e.found):
            several = len({level.workload for level in self.levels}) > 1
            heading = f"load of\n{workload}" if several else "load\n"
            columns[heading] = partial(self._load, workload)
        return columns

    def cells(self, entry: RankingEntry) -> list[str]:
        at_score = self.rows.get((entry.experiment_id, entry.score.level or ""), {})
        return [
            str(entry.rank or _PLACES[entry.status]),
            escape(shown_label(entry)),
            self._score(entry, at_score),
            *(fill(entry) for fill in self.optional_columns.values()),
            *(self._at_level(entry, level) for level in self.level_columns),
            _milliseconds(at_score, "ttft_s"),
            _milliseconds(at_score, "tpot_s"),
        ]

    def notes(self, cells: str) -> list[str]:
        """What the marks in the cells mean, and what the numbers rest on."""
        notes = []
        if _PENALISED in cells:
            notes.append(f"{_PENALISED} misses a soft limit; ranked by the score with its penalty")
        if _UNSUPPORTED in cells:
            notes.append(
                f"{_UNSUPPORTED} from fewer requests than the statistic takes; raise `stop`"
            )
        if _SKIPPED in cells:
            notes.append(f"{_SKIPPED} skipped: the levels before showed that it is not worth it")
        return [*notes, f"TTFT and TPOT at the score's level; {self.ranking.caveat}."]

    def _load(self, workload: str, entry: RankingEntry) -> str:
        load = self._loads.get(entry.experiment_id, {}).get(workload)
        return "" if load is None else str(load)

    @cached_property
    def _loads(self) -> Mapping[str, Mapping[str, FoundLoad]]:
        """Experiment -> workload -> the load that was found."""
        study, measured = self.results.study, self.results.measured
        return {
            e.id: found_loads(e, measured[e.id].levels, study.judging)
            for e in study.experiments
            if e.id in measured
        }

    def _score(self, entry: RankingEntry, at_score: Row) -> str:
        if not entry.rank:
            return ""
        penalised = _PENALISED if entry.score.penalty else ""
        return _number(entry.score.value) + penalised + self._mark(at_score)

    def _at_level(self, entry: RankingEntry, level: Level) -> str:
        row = self.rows.get((entry.experiment_id, str(level)), {})
        if row.get("status") == LevelStatus.SKIPPED:
            return _SKIPPED
        value = _number(row.get(self.ranking.column))
        return value + self._mark(row) if value else ""

    def _mark(self, row: Row) -> str:
        if not METRICS[self.objective.metric]:
            return ""
        return _unsupported(row, self.objective.metric, self.objective.statistic)


def _unsupported(row: Row, metric: str, statistic: str | None) -> str:
    count = number(row, f"{metric}_count")
    return _UNSUPPORTED if count is not None and not supports(statistic or "", int(count)) else ""


def _half_width(entry: RankingEntry) -> str:
    interval = entry.interval
    if interval is None or interval.low is None or interval.high is None or not interval.estimate:
        return ""
    return f"{50 * (interval.high - interval.low) / interval.estimate:.1f} %"


def _servers(entry: RankingEntry) -> str:
    return str(entry.servers or "")


def _vs_baseline(entry: RankingEntry) -> str:
    if entry.is_baseline or entry.vs_baseline is None:
        return ""
    return f"{100 * entry.vs_baseline:+.1f} %"


def _heading(level: Level, levels: tuple[Level, ...]) -> str:
    one_workload = len({other.workload for other in levels}) == 1
    return f"c={level.concurrency}" if one_workload else f"{level.workload} c={level.concurrency}"


def _number(value: object, form: str = ".4g") -> str:
    if not isinstance(value, int | float) or pd.isna(value):
        return ""
    return f"{value:,.0f}" if form == ".4g" and abs(value) >= 1000 else format(value, form)


def _milliseconds(row: Row, metric: str) -> str:
    value = number(row, f"{metric}_p50")
    if value is None:
        return ""
    return _number(value * 1000, ".1f") + _unsupported(row, metric, "p50")

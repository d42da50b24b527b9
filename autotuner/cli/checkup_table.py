"""Findings of many nodes as one table: problems first, equal ones together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autotuner.node.checkup.finding import Checkup, Finding, Verdict

__all__ = ["Group", "grouped", "print_checkups"]

_STYLES = {Verdict.FAILURE: "bold red", Verdict.WARNING: "yellow", Verdict.OK: "green"}
_ORDER = (Verdict.FAILURE, Verdict.WARNING, Verdict.OK)
_MOST_NAMES = 4
_MOST_READINGS = 2


@dataclass(slots=True)
class Group:
    """One row: a finding, and the nodes that share it."""

    finding: Finding
    readings: dict[str, list[str]] = field(default_factory=dict)
    """What was read -> the nodes that read it."""

    @property
    def nodes(self) -> list[str]:
        return [node for nodes in self.readings.values() for node in nodes]

    @property
    def read(self) -> str:
        shown = [
            reading if len(self.readings) == 1 else f"{reading} ({_joined(nodes)})"
            for reading, nodes in list(self.readings.items())[:_MOST_READINGS]
        ]
        more = len(self.readings) - len(shown)
        return "; ".join([*shown, *([f"{more} other readings"] if more else [])])


def grouped(checkups: Sequence[Checkup]) -> list[Group]:
    """Failures, then warnings, then the rest, each in the order of the checks.

    Problems are one row where all of it is equal, so that each node stands beside its own;
    good values of a check are one row however they differ.
    """
    groups: dict[tuple[Finding, str], Group] = {}
    for checkup in checkups:
        for finding in checkup.findings:
            problem = finding.verdict is not Verdict.OK
            key = (replace(finding, read="", alike=False), finding.read if problem else "")
            group = groups.setdefault(key, Group(finding))
            group.readings.setdefault(finding.read, []).append(checkup.node)
    return sorted(groups.values(), key=lambda group: _ORDER.index(group.finding.verdict))


def print_checkups(checkups: Sequence[Checkup], console: Console) -> None:
    """The table, one sentence per problem, and how many there are."""
    groups = grouped(checkups)
    several = len(checkups) > 1
    table = Table("", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("check", *(["node"] if several else []), "read", "wanted"):
        table.add_column(column, overflow="fold")  # a path cut short helps nobody
    for group in groups:
        verdict = group.finding.verdict
        nodes = [_where(group, checkups)] if several else []
        cells = [group.finding.check, *nodes, group.read, group.finding.wanted]
        table.add_row(f"[{_STYLES[verdict]}]{verdict}[/]", *map(escape, cells))
    console.print(table)
    problems = [group for group in groups if group.finding.verdict is not Verdict.OK]
    for group in problems:
        finding = group.finding
        where = f" on {_where(group, checkups)}" if several else ""
        heading = f"[{_STYLES[finding.verdict]}]{escape(finding.check)}[/]{escape(where)}"
        console.print(f"{heading}: {escape(finding.fix)}", highlight=False)
    _print_counts(problems, console)


def _print_counts(problems: Sequence[Group], console: Console) -> None:
    counts = {
        verdict: sum(group.finding.verdict is verdict for group in problems)
        for verdict in (Verdict.FAILURE, Verdict.WARNING)
    }
    said = ", ".join(
        f"{count} {verdict}{'' if count == 1 else 's'}" for verdict, count in counts.items()
    )
    console.print(f"\n{said}", highlight=False)


def _where(group: Group, checkups: Sequence[Checkup]) -> str:
    """The nodes by name, or ``all`` of those that make this check."""
    made = [c for c in checkups if any(f.check == group.finding.check for f in c.findings)]
    if len(made) == len(group.nodes) > 1:
        return f"all {len(made)}"
    return _joined(group.nodes)


def _joined(nodes: Sequence[str]) -> str:
    if len(nodes) <= _MOST_NAMES + 1:
        return ", ".join(nodes)
    return f"{', '.join(nodes[:_MOST_NAMES])} and {len(nodes) - _MOST_NAMES} others"

"""The fault matrix: one row per fault, one cell per promise, and how long cleaning up took."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Cell", "Column", "Matrix", "Row"]


_LEGEND = """
clean-up: seconds from the kill, or else from the start of the attempt's stop, until the last
process of its tree was gone; looked at ten times a second.
"""


class Column(StrEnum):
    """What must hold of every fault."""

    IN_TIME = "ended in time"
    KIND = "failure kind"
    TRIES = "attempts"
    NO_PROCESS = "no process left"
    ROWS = "rows complete"
    WENT_ON = "study went on"


@dataclass(frozen=True)
class Cell:
    green: bool
    text: str


@dataclass
class Row:
    """The cells of one fault; a test fills them and then calls `settle`."""

    fault: str
    cells: dict[Column, Cell] = field(default_factory=dict)
    cleanup_s: list[float] = field(default_factory=list)
    skipped: str = ""

    def check(self, column: Column, green: bool, text: str, otherwise: str = "") -> None:
        """Fill a cell: ``text`` where the promise holds, else the reason why it does not.

        A cell that is red already stays so.
        """
        if (earlier := self.cells.get(column)) is None or earlier.green:
            self.cells[column] = Cell(green, text if green else otherwise or text)

    def does_not_apply(self, *columns: Column) -> None:
        for column in columns:
            self.cells.setdefault(column, Cell(True, "-"))

    def settle(self) -> None:
        """Fail the test if a cell is red or was never filled."""
        for column in Column:
            self.cells.setdefault(column, Cell(False, "the test never came to look"))
        reasons = [
            f"{self.fault} / {column.value}: {cell.text}"
            for column, cell in self.cells.items()
            if not cell.green
        ]
        assert not reasons, "\n".join(reasons)


class Matrix:
    """All rows of this run, in the order in which their tests ran."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}

    def row(self, fault: str) -> Row:
        return self._rows.setdefault(fault, Row(fault))

    def __bool__(self) -> bool:
        return bool(self._rows)

    def write(self, write: Callable[..., None]) -> None:
        """Print the table through a function like `TerminalReporter.write`."""
        table = [["fault", *Column, "clean-up p50", "max"]]
        table += [list(self._texts(row)) for row in self._rows.values()]
        widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
        for number, (line, row) in enumerate(zip(table, [None, *self._rows.values()], strict=True)):
            for place, (text, width) in enumerate(zip(line, widths, strict=True)):
                write(text.ljust(width) + "  ", **_colour(row, place))
            write("\n" if number else "\n" + "-" * (sum(widths) + 2 * len(widths)) + "\n")
        for row in self._rows.values():
            for column, cell in row.cells.items():
                if not cell.green:
                    write(f"RED: {row.fault} / {column.value}: {cell.text}\n", red=True)
            if row.skipped:
                write(f"skipped: {row.fault}: {row.skipped}\n", yellow=True)
        write(_LEGEND)

    @staticmethod
    def _texts(row: Row) -> Iterator[str]:
        yield row.fault
        for column in Column:
            cell = row.cells.get(column)
            unseen = "skipped" if row.skipped else "broke"
            yield unseen if cell is None else cell.text if cell.green else "RED"
        times = row.cleanup_s
        yield f"{statistics.median(times):.1f} s" if times else "-"
        yield f"{max(times):.1f} s" if times else "-"


def _colour(row: Row | None, place: int) -> dict[str, bool]:
    if row is None or not 0 < place <= len(Column):
        return {"bold": row is None}
    cell = row.cells.get(list(Column)[place - 1])
    if cell is None and row.skipped:
        return {"yellow": True}
    return {"green" if cell is not None and cell.green else "red": True}

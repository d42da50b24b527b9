"""The findings of many nodes on one screen."""

from __future__ import annotations

from rich.console import Console

from autotuner.cli.checkup_table import grouped, print_checkups
from autotuner.node.checkup.finding import Checkup, failure, good, warning


def printed(checkups) -> str:
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    print_checkups(checkups, console)
    console.file.close()
    return console.export_text()


def test_failures_come_first_then_warnings_then_the_rest() -> None:
    checkup = Checkup(
        "n", (good("a", "1"), warning("b", "1", "2", "B."), failure("c", "1", "2", "C."))
    )
    assert [group.finding.check for group in grouped([checkup])] == ["c", "b", "a"]


def test_equal_problems_are_one_row_and_the_node_that_differs_has_its_own() -> None:
    niced = warning("niceness", "server 15", "server 0", "Start Ray anew.")
    checkups = [Checkup(f"n{index}", (niced,)) for index in range(7)]
    checkups.append(
        Checkup("n7", (warning("niceness", "server 5", "server 0", "Start Ray anew."),))
    )
    assert [group.nodes for group in grouped(checkups)] == [[f"n{i}" for i in range(7)], ["n7"]]
    text = printed(checkups)
    assert "n0, n1, n2, n3 and 3 others" in text
    assert "niceness on n7: Start Ray anew." in text
    assert "0 failures, 2 warnings" in text


def test_good_values_that_differ_stay_one_row() -> None:
    checkups = [Checkup(f"n{index}", (good("disk", f"{index} GiB free"),)) for index in range(4)]
    (group,) = grouped(checkups)
    assert group.read == "0 GiB free (n0); 1 GiB free (n1); 2 other readings"
    assert "all 4" in printed(checkups)


def test_one_machine_is_not_named_in_every_row() -> None:
    text = printed([Checkup("only", (failure("disk", "full", "room", "Free it."),))])
    assert "node" not in text
    assert "disk: Free it." in text
    assert "1 failure, 0 warnings" in text


def test_brackets_in_a_reading_are_text() -> None:
    assert "[bold]" in printed([Checkup("n", (good("a", "[bold]"),))])

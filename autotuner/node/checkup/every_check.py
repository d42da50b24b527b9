"""The table of checks, and the function that runs them on this node."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from autotuner.node.checkup import (
    flags,
    gpus,
    kernel,
    launching,
    orphans,
    software,
    storage,
    worker,
)
from autotuner.node.checkup.finding import Checkup, CheckupOrder, Finding, warning
from autotuner.node.facts import host_name

__all__ = ["CHECKS", "Check", "check_node"]

Check = Callable[[CheckupOrder], Iterable[Finding]]

CHECKS: tuple[tuple[str, Check], ...] = (
    ("niceness", worker.priorities),
    ("child processes", worker.child_processes),
    ("orphans", orphans.orphans),
    ("shared memory", storage.shared_memory),
    ("temporary folder", storage.temporary_folder),
    ("results folder", storage.results_folder),
    ("open files", kernel.open_files),
    ("processes", kernel.processes),
    ("locked memory", kernel.locked_memory),
    ("core dumps", kernel.core_dumps),
    ("ports", kernel.ports),
    ("versions", software.versions),
    ("engine", software.engine),
    ("flags", flags.flags),
    ("model", software.model_files),
    ("launcher", launching.launcher),
    ("load generator", software.load_tool),
    ("GPUs", gpus.gpus),
)
"""Name and check; the name stands in for the findings of a check that cannot be made."""


def check_node(order: CheckupOrder, checks: Iterable[tuple[str, Check]] = CHECKS) -> Checkup:
    """Run every check on this node, in the process that asks."""
    findings: list[Finding] = []
    for name, check in checks:
        try:
            findings += check(order)
        except Exception as error:  # one that cannot be made must not hide the others
            read = f"{type(error).__name__}: {error}"
            findings.append(
                warning(name, read, "readable", "Run autotuner doctor on this node to see why.")
            )
    return Checkup(host_name(), tuple(findings))

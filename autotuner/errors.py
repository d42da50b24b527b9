"""Every exception that autotuner raises on purpose.

A failing experiment is data (an `Outcome` row), never one of these.

    AutotunerError
    ├── UserError               the caller can mend it; the CLI prints it and exits with 1
    │   ├── StudyFileError      the study file: every problem found, not just the first
    │   ├── PlanError           the study cannot be turned into experiments, or fits no node
    │   ├── OutputError         the results folder: holds another study, cannot be read or written
    │   └── ClusterError        no Ray to be had at the given address
    └── LaunchError             a server or load generator could not be started on this node
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "AutotunerError",
    "ClusterError",
    "LaunchError",
    "OutputError",
    "PlanError",
    "StudyFileError",
    "StudyProblem",
    "UserError",
]


class AutotunerError(Exception):
    """Base of all; catch this to catch what autotuner raises on purpose."""


class UserError(AutotunerError):
    """A mistake the caller can mend; the message says where it is and how."""


@dataclass(frozen=True, slots=True)
class StudyProblem:
    """One thing wrong with a study file: where it stands, what was read, and the fix."""

    key: str
    """Dotted path of the key, e.g. ``workloads[0].stop.seconds``; empty for the file as a whole."""
    value: str
    """The offending value as the user wrote it, or an empty string where none applies."""
    fix: str
    """What is wrong and what to write instead."""
    line: int | None = None
    """1-based line in the file, or None where the file could not be read that far."""


class StudyFileError(UserError):
    """A study file that does not validate. ``problems`` holds all of them, in file order."""

    def __init__(self, path: str, problems: Sequence[StudyProblem]) -> None:
        super().__init__(path, problems)
        self.path = path
        self.problems = tuple(problems)

    def __str__(self) -> str:
        count = len(self.problems)
        lines = [f"{self.path}: {count} problem{'s' if count != 1 else ''}"]
        for problem in self.problems:
            place = f"{self.path}:{problem.line}" if problem.line is not None else self.path
            shown = f" = {problem.value}" if problem.value else ""
            key = f"{problem.key}{shown}: " if problem.key else ""
            lines.append(f"  {place}: {key}{problem.fix}")
        return "\n".join(lines)


class PlanError(UserError):
    """The study yields no experiment that could run."""


class OutputError(UserError):
    """The results folder cannot be used or read."""


class ClusterError(UserError):
    """Ray is not reachable, or the cluster cannot hold what the study asks for."""


class LaunchError(AutotunerError):
    """A process could not be started on this node; the message names what is missing."""

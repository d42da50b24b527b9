"""From a study file on the command line to its plan."""

from __future__ import annotations

import argparse
from pathlib import Path

from autotuner.errors import PlanError
from autotuner.planning import Plan, plan
from autotuner.spec.names import LAUNCHERS
from autotuner.spec.study import StudySpec

__all__ = ["add_launcher_arguments", "plan_of"]


def add_launcher_arguments(parser: argparse.ArgumentParser) -> None:
    """Options by which a command takes a study as if its file said something else."""
    parser.add_argument(
        "--launcher",
        choices=LAUNCHERS,
        metavar="NAME",
        help=f"{', '.join(LAUNCHERS)}: as what servers are started, instead of the file's",
    )
    parser.add_argument(
        "--image", help="container image of the servers, instead of the file's; not for process"
    )


def plan_of(path: Path, launcher: str | None = None, image: str | None = None) -> Plan:
    """The plan of a study file; the launcher and image given here win over the file's.

    Raises:
        StudyFileError: with everything that is wrong in the file.
        PlanError: naming the file, whose content as a whole gives no plan.
    """
    try:
        return plan(StudySpec.from_file(path, launcher, image))
    except PlanError as error:
        raise PlanError(f"{path}: {error}") from error

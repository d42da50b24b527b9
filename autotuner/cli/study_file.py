"""From a study file on the command line to its plan."""

from __future__ import annotations

from pathlib import Path

from autotuner.errors import PlanError
from autotuner.planning import Plan, plan
from autotuner.spec.study import StudySpec

__all__ = ["plan_of"]


def plan_of(path: Path) -> Plan:
    """The plan of a study file.

    Raises:
        StudyFileError: with everything that is wrong in the file.
        PlanError: naming the file, whose content as a whole gives no plan.
    """
    try:
        return plan(StudySpec.from_file(path))
    except PlanError as error:
        raise PlanError(f"{path}: {error}") from error

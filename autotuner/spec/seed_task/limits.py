"""The limits of a task file: ``slo``, in the form that study files take too."""

from __future__ import annotations

from collections.abc import Mapping

from autotuner.spec.objective import Constraint
from autotuner.spec.seed_task.notes import Notes
from autotuner.spec.study_constraints import read_constraints
from autotuner.spec.study_metrics import MetricNeeds

__all__ = ["read_limits"]

KEY = "slo"


def read_limits(task: Mapping[str, object], notes: Notes) -> tuple[Constraint, ...]:
    """The limits under ``slo``; what is wrong goes to the problems."""
    if KEY not in task:
        return ()
    needs = MetricNeeds(gpus=None, has_goodput=False, has_price=False)
    limits = read_constraints({KEY: task[KEY]}, notes.problems, needs)
    if limits:
        notes.warn(
            (KEY,),
            "each level must keep the limits by itself; the first autotuner left out levels that "
            "missed a hard one, and compared the mean of the others",
        )
    if any(limit.penalty is not None for limit in limits):
        notes.warn(
            (KEY,),
            "a miss costs weight * (exp(miss / steepness) - 1), which begins at nothing; the first "
            "autotuner's penalty began at the full weight",
        )
    return limits

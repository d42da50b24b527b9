"""What a study file must say besides, where the largest load of a workload is to be found."""

from __future__ import annotations

from collections.abc import Sequence

from autotuner.spec.judging import Judging
from autotuner.spec.objective import Constraint
from autotuner.spec.searching import LevelChoice, Searching
from autotuner.spec.study_problems import Problems
from autotuner.spec.workload import Workload

__all__ = ["check_loads"]

_EXAMPLE = "`constraints: {tpot_s: {p95: 0.05}}`"


def check_loads(
    workloads: Sequence[Workload], judging: Judging, searching: Searching, problems: Problems
) -> None:
    """Refuse a load that no limit ends."""
    limited = any(_ends(constraint) for constraint in judging.constraints)
    found = [index for index, workload in enumerate(workloads) if workload.find is not None]
    for index in found:
        if not limited:
            fix = (
                "the largest load is that which keeps the study's hard limits, and there is none; "
                f"add one, such as {_EXAMPLE}"
            )
            problems.add(("workloads", index, "load"), fix, show=False)
    if judging.objective.metric == "concurrency" and not limited:
        fix = f"without a hard limit the largest load is the best; add one, such as {_EXAMPLE}"
        problems.add(("objective",), fix, show=False)
    if found and searching.levels is LevelChoice.ADAPTIVE:
        fix = "a load that is found decides its levels itself; remove `levels`"
        problems.add(("search", "levels"), fix)


def _ends(constraint: Constraint) -> bool:
    """Whether a level can miss it for good."""
    return constraint.penalty is None or constraint.penalty.fail_ratio is not None

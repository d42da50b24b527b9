"""What a study file optimises: ``objective``."""

from __future__ import annotations

from collections.abc import Sequence

from autotuner.spec.objective import METRICS, STATISTICS, Direction, Objective
from autotuner.spec.source_lines import Loc
from autotuner.spec.study_judging_schema import OBJECTIVES, ObjectiveSection
from autotuner.spec.study_levels import ChosenLevels, read_levels
from autotuner.spec.study_metrics import HIGHER_IS_BETTER, PER_GPU, MetricNeeds
from autotuner.spec.study_problems import Problems, unknown_name
from autotuner.spec.workload import Workload

__all__ = ["read_objective"]


def read_objective(
    content: object,
    problems: Problems,
    workloads: Sequence[Workload] | None,
    needs: MetricNeeds,
    *,
    constrained: bool,
) -> Objective | None:
    """The objective, narrowed as far as the file determines it; None where it has problems.

    Args:
        content: what the file holds under the key.
        problems: takes what is wrong.
        workloads: the study's workloads, None where they could not be read.
        needs: what the metrics are computed from.
        constrained: whether the file sets limits.
    """
    content = {"name": content} if isinstance(content, str) else content
    section = problems.validated(ObjectiveSection, content, ("objective",))
    if section is None:
        return None
    metric = OBJECTIVES[section.name]
    statistic = _statistic(section, metric, problems)
    if section.per_gpu:
        metric = _per_gpu(metric, problems)
    if (fault := needs.fault(metric)) is not None:
        key = "per_gpu" if section.per_gpu else "name"
        problems.add(("objective", key), fault)
    chosen = ChosenLevels()
    if workloads is not None:
        chosen = read_levels(section, problems, workloads, constrained=constrained)
    return Objective(
        name=section.name,
        metric=metric,
        direction=Direction.MAXIMIZE if metric in HIGHER_IS_BETTER else Direction.MINIMIZE,
        statistic=statistic,
        workload=chosen.workload,
        concurrency=chosen.concurrency,
        over=chosen.over,
        weights=chosen.weights,
    )


def _per_gpu(metric: str, problems: Problems) -> str:
    if metric == "output_throughput_tok_s":
        return PER_GPU
    fix = "only maximize_throughput can be counted per GPU; remove this key"
    problems.add(("objective", "per_gpu"), fix)
    return metric


def _statistic(section: ObjectiveSection, metric: str, problems: Problems) -> str | None:
    loc: Loc = ("objective", "statistic")
    if not METRICS[metric]:
        if section.statistic is not None:
            what = section.name.removeprefix("maximize_").replace("_", " ")
            fix = f"{what} is one number per level and has no statistic; remove this key"
            problems.add(loc, fix)
        return None
    if section.statistic is not None and section.statistic not in STATISTICS:
        problems.add(loc, unknown_name(section.statistic, STATISTICS, "statistic"))
    return section.statistic or "mean"

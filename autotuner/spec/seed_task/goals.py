"""What a task file optimises, and how long it waits: ``optimization``."""

from __future__ import annotations

from collections.abc import Sequence

from autotuner.spec.experiment import Timeouts
from autotuner.spec.objective import Direction, Objective, Over
from autotuner.spec.searching import Budget, Searching
from autotuner.spec.seed_task.notes import NOT_APPLICABLE, Notes
from autotuner.spec.seed_task.sections import OptimizationSection
from autotuner.spec.source_lines import Loc
from autotuner.spec.study_problems import flow_text
from autotuner.spec.workload import Workload

__all__ = ["read_objective", "read_search", "read_timeouts"]

_MODEL_BASED = "tpe"
_STRATEGIES = {"grid_search": "grid", "random": "random", "bayesian": _MODEL_BASED}
# Name of the objective -> metric and statistic.
_METRICS = {
    "minimize_latency": ("e2e_latency_s", "mean"),
    "maximize_throughput": ("total_throughput_tok_s", None),
    "minimize_ttft": ("ttft_s", "mean"),
    "minimize_tpot": ("tpot_s", "mean"),
}


def read_search(
    section: OptimizationSection, combinations: int, notes: Notes, *, baseline: bool
) -> Searching:
    """The search that the file asks for.

    Args:
        combinations: Of the whole grid.
        baseline: Whether a baseline is measured too, which the first autotuner did not.
    """
    strategy = _STRATEGIES[section.strategy]
    if strategy == _MODEL_BASED:
        notes.warn(("optimization", "strategy"), f"{section.strategy} is read as {strategy}")
    if section.seed is not None:
        text = f"{section.seed} draws the order of the measurements too"
        notes.warn(("optimization", "seed"), text)
    first = section.n_initial_random
    if first is not None and strategy != _MODEL_BASED:
        text = f"{NOT_APPLICABLE}: {section.strategy} chooses without a model"
        notes.warn(("optimization", "n_initial_random"), text)
        first = None
    for key in ("study_name", "storage"):
        if getattr(section, key) is not None:
            text = f"{NOT_APPLICABLE}: a study goes on from its own results"
            notes.warn(("optimization", key), text)
    most = section.max_iterations
    limited = most is not None and most < combinations
    if limited:
        also = ", and the baseline" if baseline else ""
        order = ", drawn at random: the first would hardly vary the first parameters"
        notes.warn(
            ("optimization", "max_iterations"),
            f"{most} of {combinations} combinations are measured{also}"
            + (order if strategy == "grid" else ""),
        )
    limit = most + baseline if limited and most is not None else None
    if strategy == "grid":
        strategy = "random" if limited else "grid"
    return Searching(strategy, section.seed or 0, first, budget=Budget(limit))


def read_timeouts(section: OptimizationSection, notes: Notes) -> Timeouts:
    """The deadline of a server's start; all others are those of a study."""
    seconds = section.timeout_per_iteration
    loc: Loc = ("optimization", "timeout_per_iteration")
    if seconds is None:
        default = Timeouts()
        notes.warn(loc, f"not given: {default.start_s:g} s for a server to start")
        return default
    notes.warn(
        loc,
        f"{seconds:g} s are for the server's start alone; each level ends by its own time limit",
    )
    return Timeouts(start_s=seconds)


def read_objective(
    section: OptimizationSection, workloads: Sequence[Workload], mode: object, notes: Notes
) -> Objective:
    """The objective; over several levels their plain mean, as the first autotuner had it."""
    metric, statistic = _METRICS[section.objective]
    loc: Loc = ("optimization", "objective")
    minimize = section.objective.startswith("minimize")
    if not minimize and mode == "docker":
        notes.warn(
            loc,
            "counts input and output tokens per second and server; later versions of the first "
            "autotuner divided by the GPUs in docker mode",
        )
    levels = [level for workload in workloads for level in workload.levels]
    if len(levels) == 1:
        (level,) = levels
        over, workload, concurrency = None, level.workload, level.concurrency
    else:
        over, workload, concurrency = Over.SEED_MEAN, None, None
        notes.warn(loc, _better_choice(section.objective, workloads))
    return Objective(
        section.objective,
        metric,
        Direction.MINIMIZE if minimize else Direction.MAXIMIZE,
        statistic,
        workload,
        concurrency,
        over,
    )


def _better_choice(name: str, workloads: Sequence[Workload]) -> str:
    count = sum(len(workload.levels) for workload in workloads)
    mixes = ", and mixes different traffic" if len(workloads) > 1 else ""
    at: dict[str, object] = {"concurrency": max(workloads[0].concurrency)}
    if len(workloads) > 1:
        at["workload"] = workloads[0].name
    named = flow_text({"name": name, "at": at})
    return (
        f"the plain mean of {count} levels, as in the first autotuner, hides where the server "
        f"saturates{mixes}; better write a study file that names the level which counts: "
        f"`objective: {named}`"
    )

"""What a task file optimises, and how long it waits: ``optimization``."""

from __future__ import annotations

from collections.abc import Sequence

from autotuner.spec.experiment import Timeouts
from autotuner.spec.objective import Direction, Objective, Over
from autotuner.spec.seed_task.notes import NOT_APPLICABLE, Notes
from autotuner.spec.seed_task.sections import OptimizationSection
from autotuner.spec.source_lines import Loc
from autotuner.spec.study_problems import flow_text
from autotuner.spec.workload import Workload

__all__ = ["note_search", "read_objective", "read_timeouts"]

# Name of the objective -> metric and statistic.
_METRICS = {
    "minimize_latency": ("e2e_latency_s", "mean"),
    "maximize_throughput": ("total_throughput_tok_s", None),
    "minimize_ttft": ("ttft_s", "mean"),
    "minimize_tpot": ("tpot_s", "mean"),
}


def note_search(section: OptimizationSection, combinations: int, notes: Notes) -> None:
    """Say that the search is the whole grid, whatever the file asks for."""
    if section.strategy != "grid_search":
        notes.warn(
            ("optimization", "strategy"),
            f"{section.strategy}: the whole grid is measured instead, {combinations} combinations",
        )
    most = section.max_iterations
    if most is not None and most < combinations:
        notes.warn(
            ("optimization", "max_iterations"),
            f"{most}: all {combinations} combinations are measured, as the first {most} of them "
            "would hardly vary the first parameters; write fewer values to measure less",
        )
    if section.seed is not None:
        notes.warn(
            ("optimization", "seed"),
            f"{section.seed} draws the order of the measurements, as no sampler needs it",
        )
    for key in ("n_initial_random", "study_name", "storage"):
        if getattr(section, key) is not None:
            notes.warn(("optimization", key), f"{NOT_APPLICABLE}: there is no sampler")


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

"""A plan as the problem of a search strategy: its candidates, and what judges them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from autotuner.errors import PlanError
from autotuner.planning import ASSUMED_START_S, Plan
from autotuner.search.base import Candidate, Problem, Strategy
from autotuner.search.estimators.base import Misfit
from autotuner.search.estimators.for_candidates import estimate_of, misfits
from autotuner.search.estimators.registry import load_estimator
from autotuner.search.registry import load_strategy
from autotuner.spec.experiment import Experiment
from autotuner.spec.study import StudySpec
from autotuner.spec.workload import Level, Workload

__all__ = ["cannot_fit", "check_search", "gpu_of", "problem_of", "strategy_of"]


def strategy_of(
    plan: Plan, gpu: str | None = None, left_out: Collection[str] = ()
) -> Strategy | None:
    """The study's strategy, made for its candidates; None where everything is measured.

    Args:
        gpu: Model of the nodes' GPUs, for the estimator; None: what the study asks for.
        left_out: Ids of experiments that are no candidates.

    Raises:
        PlanError: there is no such strategy, or it cannot do what the study asks of it.
    """
    kind = _kind_of(plan.spec)
    return None if kind is None else kind(problem_of(plan, gpu, left_out))


def check_search(spec: StudySpec) -> None:
    """Refuse a search that could not begin.

    Raises:
        PlanError: there is no such strategy, or it cannot do what the study asks of it.
    """
    _kind_of(spec)
    if spec.searching.estimator is not None:
        load_estimator(spec.searching.estimator)


def gpu_of(models: Iterable[str | None]) -> str | None:
    """The model of all nodes' GPUs; None where they have several, or it is not known."""
    known = {model for model in models if model is not None}
    return known.pop() if len(known) == 1 else None


def cannot_fit(plan: Plan, gpu: str | None, begun: Collection[str]) -> dict[str, Misfit]:
    """Id of each experiment that the study's estimator shows not to fit -> the arithmetic.

    Neither the baseline, which everything is compared with, nor one that was begun before.
    """
    if plan.spec.searching.estimator is None or plan.spec.searching.measures_everything:
        return {}
    fresh = [e for e in plan.experiments if not e.is_baseline and e.id not in begun]
    found = misfits(load_estimator(plan.spec.searching.estimator), fresh, gpu)
    # A search without candidates would end in silence; their failures at start say more.
    return found if len(found) < len(plan.experiments) else {}


def _kind_of(spec: StudySpec) -> type[Strategy] | None:
    searching = spec.searching
    if searching.measures_everything:
        return None
    strategy = load_strategy(searching.strategy)
    if searching.stop_when.expected_gain_below is not None and not strategy.tells_expected_gain:
        raise PlanError(
            f"search.stop_when.expected_gain_below: the strategy {searching.strategy!r} does not "
            "tell what the next experiment may gain; write `no_improvement`, or another strategy"
        )
    return strategy


def problem_of(plan: Plan, gpu: str | None = None, left_out: Collection[str] = ()) -> Problem:
    """All that a strategy is told of the study; candidates in the order of their start."""
    baseline, name = plan.baseline, plan.spec.searching.estimator
    estimate = None
    if name is not None:
        estimate = estimate_of(load_estimator(name), plan.experiments, gpu)
    loads: dict[int, _Load] = {}
    return Problem(
        tuple(_candidate(one, loads) for one in plan.in_order if one.id not in left_out),
        plan.spec.judging,
        plan.spec.searching,
        None if baseline is None else baseline.id,
        estimate,
    )


def _candidate(experiment: Experiment, loads: dict[int, _Load]) -> Candidate:
    workloads = experiment.workloads
    if id(workloads) not in loads:  # most often shared by all: there may be thousands
        loads[id(workloads)] = _Load(_rising(workloads), max(w.stop.seconds for w in workloads))
    load = loads[id(workloads)]
    return Candidate(
        experiment.id,
        experiment.parameters,
        experiment.footprint.gpus,
        load.levels,
        ASSUMED_START_S,
        load.level_s,
    )


@dataclass(frozen=True, slots=True)
class _Load:
    levels: tuple[Level, ...]
    level_s: float


def _rising(workloads: Sequence[Workload]) -> tuple[Level, ...]:
    """Their levels, repeats as one, in rising concurrency."""
    levels = {
        level.of_all_repeats: None
        for workload in workloads
        for level in sorted(workload.levels, key=lambda level: level.concurrency)
    }
    return tuple(levels)

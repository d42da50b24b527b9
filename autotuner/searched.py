"""A plan as the problem of a search strategy: its candidates, and what judges them."""

from __future__ import annotations

from autotuner.errors import PlanError
from autotuner.planning import ASSUMED_START_S, Plan
from autotuner.search.base import Candidate, Problem, Strategy
from autotuner.search.registry import load_strategy
from autotuner.spec.experiment import Experiment
from autotuner.spec.study import StudySpec

__all__ = ["check_search", "problem_of", "strategy_of"]


def strategy_of(plan: Plan) -> Strategy | None:
    """The study's strategy, made for its candidates; None where everything is measured.

    Raises:
        PlanError: there is no such strategy, or it cannot do what the study asks of it.
    """
    kind = _kind_of(plan.spec)
    return None if kind is None else kind(problem_of(plan))


def check_search(spec: StudySpec) -> None:
    """Refuse a search that could not begin.

    Raises:
        PlanError: there is no such strategy, or it cannot do what the study asks of it.
    """
    _kind_of(spec)


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


def problem_of(plan: Plan) -> Problem:
    """All that a strategy is told of the study; candidates in the order of their start."""
    baseline = plan.baseline
    return Problem(
        tuple(_candidate(experiment) for experiment in plan.in_order),
        plan.spec.judging,
        plan.spec.searching,
        None if baseline is None else baseline.id,
    )


def _candidate(experiment: Experiment) -> Candidate:
    levels = {
        level.of_all_repeats: None
        for workload in experiment.workloads
        for level in sorted(workload.levels, key=lambda level: level.concurrency)
    }
    return Candidate(
        experiment.id,
        experiment.parameters,
        experiment.footprint.gpus,
        tuple(levels),
        ASSUMED_START_S,
        max(workload.stop.seconds for workload in experiment.workloads),
    )

"""An estimator as a search strategy asks it: by candidate and level rather than flags."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from autotuner.search.base import Candidate
from autotuner.search.estimators.base import Estimate, Estimator, Misfit
from autotuner.search.estimators.subject import load_of, subject_of
from autotuner.spec.experiment import Experiment
from autotuner.spec.workload import Level

__all__ = ["estimate_of", "misfits"]


def estimate_of(
    estimator: Estimator, experiments: Iterable[Experiment], gpu: str | None = None
) -> Callable[[Candidate, Level], Estimate | None]:
    """For `Problem.estimate`: what is thought of a candidate at a level; None: not known.

    Args:
        experiments: Of the candidates.
        gpu: Model of the GPUs; None: the one that the study asks for.
    """
    by_id = {
        one.id: (subject_of(one.server, one.footprint, gpu=gpu), {w.name: w for w in one.workloads})
        for one in experiments
    }

    def estimate(candidate: Candidate, level: Level) -> Estimate | None:
        subject, workloads = by_id[candidate.id]
        said = estimator.estimate(subject, load_of(workloads[level.workload], level))
        return said if isinstance(said, Estimate) else None

    return estimate


def misfits(
    estimator: Estimator, experiments: Iterable[Experiment], gpu: str | None = None
) -> dict[str, Misfit]:
    """Id of each experiment that cannot fit -> the arithmetic."""
    found = {
        experiment.id: estimator.misfit(
            subject_of(experiment.server, experiment.footprint, gpu=gpu)
        )
        for experiment in experiments
    }
    return {id_: misfit for id_, misfit in found.items() if misfit is not None}

"""Optuna's tree-structured Parzen estimator: where the good ones are dense, and the others not."""

from __future__ import annotations

from optuna.samplers import TPESampler

from autotuner.search.axes import Axes
from autotuner.search.modelled import SampledStrategy
from autotuner.search.optuna_study import OptunaStudy

__all__ = ["TpeStrategy"]


class TpeStrategy(SampledStrategy):
    """For one objective.

    Experiments that run count as bad ones until they have ended, so that those which are started
    meanwhile are not beside them.
    """

    sampler_name = "TPE"

    def new_study(self, axes: Axes, seed: int) -> OptunaStudy:
        # Random draws of its own at the start are not wanted: the space was spread over before.
        return OptunaStudy(axes, TPESampler(seed=seed, n_startup_trials=1, constant_liar=True), 1)

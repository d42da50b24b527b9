"""Optuna behind the axes of a study: an Optuna study in memory, of which no file is ever written.

Its parameters are the axes' ranks, as integers, and kinds, as categories, so that a number keeps
its neighbours and a word has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseGASampler, BaseSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from autotuner.search.axes import Axes, Place

__all__ = ["OptunaStudy"]

_LIMITS = "limits"


class OptunaStudy:
    """What a sampler is told, and what it suggests, as places on the axes."""

    def __init__(self, axes: Axes, sampler: BaseSampler, values: int) -> None:
        """
        Args:
            axes: At least one.
            values: How many objectives; more is better in all of them.
        """
        self._axes = axes.axes
        self._sampler = sampler
        self._values = values
        self._distributions: dict[str, BaseDistribution] = {}
        for number, axis in enumerate(self._axes):
            if axis.numbers:
                self._distributions[_rank(number)] = IntDistribution(0, len(axis.numbers) - 1)
            if len(axis.kinds) > 1:
                self._distributions[_kind(number)] = CategoricalDistribution(axis.kinds)
        with _quiet():
            self._study = optuna.create_study(directions=["maximize"] * values, sampler=sampler)

    def suggest(self) -> Place:
        """Where the sampler would measure next; nothing is pending because of it."""
        trial = self._study.ask(self._distributions)
        # What is measured may lie beside it: Optuna is told of that, and forgets this.
        self._study.tell(trial, state=TrialState.FAIL)
        pairs = []
        for number, axis in enumerate(self._axes):
            kind = trial.params.get(_kind(number), axis.kinds[0])
            first_other = len(axis.numbers) - 1
            pairs.append(axis.at(first_other + kind if kind else trial.params[_rank(number)]))
        ranks = np.array([rank for rank, _ in pairs])
        return Place(ranks, np.array([kind for _, kind in pairs], dtype=np.int64))

    def begin(self, place: Place) -> int:
        """An experiment runs there; the number by which it is known to `forget`."""
        self._study.add_trial(self._trial(place, TrialState.RUNNING))
        return len(self._study.get_trials(deepcopy=False)) - 1

    def forget(self, number: int) -> None:
        """It runs no more; what it has shown, if anything, is for `learn`."""
        self._study.tell(number, state=TrialState.FAIL)

    def learn(self, place: Place, values: Sequence[float], violation: float) -> None:
        """What has been measured there.

        Args:
            values: As many as there are objectives; none where it is not feasible.
            violation: 0 where it is feasible, else how far off it is.
        """
        values = list(values) or [0.0] * self._values
        if not isinstance(self._sampler, BaseGASampler):
            self._study.add_trial(self._trial(place, TrialState.COMPLETE, values, violation))
            return
        self._study.enqueue_trial(self._parameters(place))
        trial = self._study.ask(self._distributions)
        # A generation is only what the sampler was asked for, and here nothing was left to ask.
        frozen = self._study.get_trials(deepcopy=False)[trial.number]
        self._sampler.get_trial_generation(self._study, frozen)
        trial.set_constraint(_LIMITS, violation)
        self._study.tell(trial, values)

    def _trial(
        self,
        place: Place,
        state: TrialState,
        values: Sequence[float] | None = None,
        violation: float | None = None,
    ) -> FrozenTrial:
        return create_trial(
            state=state,
            values=values,
            params=self._parameters(place),
            distributions=self._distributions,
            constraints=None if violation is None else {_LIMITS: violation},
        )

    def _parameters(self, place: Place) -> dict[str, int]:
        parameters = {}
        for number, axis in enumerate(self._axes):
            if axis.numbers:
                share = float(place.ranks[number])
                parameters[_rank(number)] = round(share * (len(axis.numbers) - 1))
            if len(axis.kinds) > 1:
                parameters[_kind(number)] = int(place.kinds[number])
        return parameters


def _rank(number: int) -> str:
    return f"rank {number}"


def _kind(number: int) -> str:
    return f"kind {number}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the line that Optuna writes for each new study."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)

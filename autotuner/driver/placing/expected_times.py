"""How long an experiment will hold its slot, learned from those that have ended.

What takes longest should start first, so that the end of a study does not wait for one slow
experiment on an otherwise idle cluster. What is slow is hardly ever known beforehand, but the
same value of a parameter tends to be slow in every combination: large parallel sizes load longer,
small batches answer longer.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from autotuner.spec.experiment import Experiment

__all__ = ["ExpectedTimes"]

_SWEEPS = 3
_SHRINK = 2.0
"""An effect that was seen so often is believed by half: the others of its experiments may be it."""
_RENEW_GROWTH = 1.25
_LEAST_S = 1.0

_Trait = tuple[str, str]


class ExpectedTimes:
    """Estimates in seconds: a study's own guess, corrected by what was seen.

    The logarithm of measured over guessed seconds is taken as a sum of an effect of each value of
    each parameter, and of the footprint. The fit is renewed when a quarter more has been seen.

    Args:
        guessed_s: Experiment id -> seconds that the plan expects.
    """

    def __init__(self, experiments: Iterable[Experiment], guessed_s: Mapping[str, float]) -> None:
        self._guessed_s = guessed_s
        self._traits = {experiment.id: _traits(experiment) for experiment in experiments}
        self._seen: dict[str, float] = {}
        """Experiment id -> logarithm of measured over guessed, of the last attempt."""
        self._mean = 0.0
        self._effects: dict[_Trait, float] = {}
        self._renew_at = 1.0
        self._expected_s: dict[str, float] = {}
        """Experiment id -> what `of` has said since the last change."""
        self.renewals = 0
        """So often have the estimates of all experiments changed."""

    def see(self, experiment: Experiment, seconds: float) -> None:
        """An attempt of the experiment has measured all its levels in so many seconds."""
        guessed_s = self._guessed_s[experiment.id]
        self._seen[experiment.id] = math.log(max(seconds, _LEAST_S) / max(guessed_s, _LEAST_S))
        self._expected_s.pop(experiment.id, None)
        if len(self._seen) >= self._renew_at:
            self._renew_at = max(len(self._seen) + 1.0, len(self._seen) * _RENEW_GROWTH)
            self._fit()
            self._expected_s.clear()
            self.renewals += 1

    def of(self, experiment: Experiment) -> float:
        """Expected seconds of an attempt, above 0."""
        expected_s = self._expected_s.get(experiment.id)
        if expected_s is None:
            expected_s = self._expected_s[experiment.id] = self._worked_out(experiment.id)
        return expected_s

    def _worked_out(self, id_: str) -> float:
        factor = self._seen.get(id_)
        if factor is None:
            factor = self._mean + sum(self._effects.get(t, 0.0) for t in self._traits[id_])
        return max(_LEAST_S, self._guessed_s[id_]) * math.exp(factor)

    def longest_first(self, experiments: Sequence[Experiment]) -> list[Experiment]:
        """In steps of a quarter; within a step the order stays, which is random for a reason."""
        return sorted(experiments, key=lambda experiment: -self._step(experiment))

    def _step(self, experiment: Experiment) -> int:
        return round(math.log(self.of(experiment)) / math.log(_RENEW_GROWTH))

    def _fit(self) -> None:
        """Least squares by cyclic updates, each effect drawn towards zero."""
        self._mean = sum(self._seen.values()) / len(self._seen)
        having: dict[_Trait, list[str]] = defaultdict(list)
        for id_ in self._seen:
            for trait in self._traits[id_]:
                having[trait].append(id_)
        rest = {id_: seen - self._mean for id_, seen in self._seen.items()}
        effects = dict.fromkeys(having, 0.0)
        for _ in range(_SWEEPS):
            for trait, ids in having.items():
                before = effects[trait]
                total = sum(rest[id_] for id_ in ids) + before * len(ids)
                effects[trait] = total / (len(ids) + _SHRINK)
                for id_ in ids:
                    rest[id_] += before - effects[trait]
        self._effects = effects


def _traits(experiment: Experiment) -> tuple[_Trait, ...]:
    values = [(name, str(value)) for name, value in experiment.parameters.items()]
    return (*values, ("", f"{experiment.footprint.gpus}"))

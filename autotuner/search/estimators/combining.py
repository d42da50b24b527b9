"""Several opinions of the same load as one: each counts by how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from autotuner.search.estimators.base import Estimate, Estimator, Load, Misfit, Subject, Unknown

__all__ = ["Combined", "combine"]


def combine(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of the logarithms, weighted by precision; at least one estimate.

    They look at the same configuration and may err alike, so that several are no surer than the
    surest; where they disagree by more than they should, the result is less sure.
    """
    ttft = _weighted([(one.ttft_s, one.ttft_sigma) for one in estimates])
    tpot = _weighted([(one.tpot_s, one.tpot_sigma) for one in estimates])
    throughput = _weighted(
        [(one.output_throughput_tok_s, one.throughput_sigma) for one in estimates]
    )
    return Estimate(ttft[0], tpot[0], throughput[0], ttft[1], tpot[1], throughput[1])


def _weighted(values: Sequence[tuple[float, float]]) -> tuple[float, float]:
    weights = [1.0 / sigma**2 for _, sigma in values]
    total = math.fsum(weights)
    logs = [math.log(value) for value, _ in values]
    mean = math.fsum(w * log for w, log in zip(weights, logs, strict=True)) / total
    spread = math.fsum(w * (log - mean) ** 2 for w, log in zip(weights, logs, strict=True)) / total
    surest = min(sigma for _, sigma in values)
    return math.exp(mean), max(surest, math.sqrt(spread))


class Combined(Estimator):
    """What several estimators say together; unknown where none of them knows."""

    name: ClassVar[str] = "combined"

    def __init__(self, estimators: Sequence[Estimator]) -> None:
        self._estimators = tuple(estimators)

    def estimate(self, subject: Subject, load: Load) -> Estimate | Unknown:
        said = [estimator.estimate(subject, load) for estimator in self._estimators]
        known = [one for one in said if isinstance(one, Estimate)]
        if known:
            return combine(known)
        names = [estimator.name for estimator in self._estimators]
        reasons = [one.reason for one in said if isinstance(one, Unknown)]
        return Unknown("; ".join(f"{n}: {r}" for n, r in zip(names, reasons, strict=True)))

    def misfit(self, subject: Subject) -> Misfit | None:
        found = (estimator.misfit(subject) for estimator in self._estimators)
        return next((one for one in found if one is not None), None)

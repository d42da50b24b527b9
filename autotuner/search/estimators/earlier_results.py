"""Estimates from what earlier studies measured, of the same model or of others."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from autotuner.search.estimators.base import Estimate, Estimator, Load, Subject, Unknown
from autotuner.search.estimators.features import Encoding, features_of, group_of, usual_speed
from autotuner.search.estimators.regression import Regression

__all__ = ["EarlierResults", "Measured"]

_MOST_ROWS = 800
"""The regression's time grows with the square of its rows, for every estimate."""
_FEWEST_OF_OTHERS = 8
"""So many measurements of other models say something about this one."""
_FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class Measured:
    """Means of one measured level."""

    subject: Subject
    load: Load
    ttft_s: float
    tpot_s: float
    output_throughput_tok_s: float


class EarlierResults(Estimator):
    """Same model and GPU: between its measured points. Others: by the effects that they share."""

    name: ClassVar[str] = "earlier results"

    def __init__(self, measured: Sequence[Measured]) -> None:
        """Args: measured: Of any models, in any order; more than 800 are thinned out."""
        rows = list(measured)
        if len(rows) > _MOST_ROWS:
            rows = random.Random(0).sample(rows, _MOST_ROWS)  # noqa: S311 - a fair draw, no secret
        self._groups = {group_of(row.subject) for row in rows}
        self._rows = len(rows)
        if not rows:
            return
        features = [features_of(row.subject, row.load) for row in rows]
        self._encoding = Encoding(features)
        self._regression = Regression(
            np.array([self._encoding.encode(one)[0] for one in features]),
            [group_of(row.subject) for row in rows],
            np.array([_targets(row) for row in rows]),
        )

    def estimate(self, subject: Subject, load: Load) -> Estimate | Unknown:
        group = group_of(subject)
        if group not in self._groups and self._rows < _FEWEST_OF_OTHERS:
            return Unknown(f"{self._rows} measured levels, none of them of this model on this GPU")
        row, unseen = self._encoding.encode(features_of(subject, load))
        predicted = self._regression.predict(row, group, unseen)
        ttft_s, tpot_s, throughput = np.exp(predicted.means + _usual(subject, load))
        return Estimate(
            float(ttft_s), float(tpot_s), float(throughput), *map(float, predicted.sigmas)
        )


def _usual(subject: Subject, load: Load) -> NDArray[np.float64]:
    """What the logarithms would be if every server batched as usual, but for constants.

    The regression is left with what differs from that, which needs fewer measurements.
    """
    speed = usual_speed(subject, load)
    return np.array([0.0, -speed, math.log(load.concurrency) + speed])


def _targets(row: Measured) -> NDArray[np.float64]:
    measured = (row.ttft_s, row.tpot_s, row.output_throughput_tok_s)
    logs = np.log([max(value, _FLOOR) for value in measured])
    return np.asarray(logs - _usual(row.subject, row.load), dtype=np.float64)

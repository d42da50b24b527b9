"""What is believed of every point after some were measured: a Gaussian process on logarithms.

A logarithm of candidate i at place p is its prior mean plus normally distributed effects:

* one common to all: what the prior is off by everywhere;
* trends in the load, its saturation, and the number of GPUs: what the prior's shape is off by;
* of parameters: candidates of like parameters are off alike, at all loads and in the shape of
  their curves;
* of the candidate alone, at all loads and in the shape of its curve;
* noise.

All columns share these correlations. How large the effects are per column, and how columns go
together (a quicker server has more throughput and less latency), is learned from the measurements;
what is usual counts like a few of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autotuner.search.axes import Axes, Ints
from autotuner.search.climb import Belief
from autotuner.search.curve_prior import KNEE, Prior
from autotuner.search.likeness import likeness
from autotuner.search.relevance import Evidence, Relevance, learned_relevance, together
from autotuner.search.targets import Targets
from autotuner.search.yardstick import Floats

__all__ = ["Effects", "Prediction", "Surrogate"]

_POINTS_AT_ONCE = 8000
"""Whose covariances with what was measured are in memory together."""
_USUAL_POINTS = 8.0
"""The usual scale and correlation of columns count like so many measurements."""
_USUAL_CORRELATION = 0.8
"""Of two columns that both tell how quick a server is."""
_OTHER_WORKLOAD = 0.3
"""How much the shape of a curve under one workload tells of that under another."""
_KNOWN_SCALE = 1e-6
"""Of a column that is known beforehand."""
_LEAST_VARIANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Effects:
    """Standard deviations, as logarithms, before anything is measured."""

    everywhere: float = 3.0
    everywhere_absolute: float = 0.5
    """Instead, where the prior expects numbers and not only ratios."""
    load: float = 0.2
    """Per factor of e in the requests in flight per GPU."""
    saturation: float = 0.4
    gpus: float = 0.25
    """Per factor of e in the number of GPUs."""
    parameters: float = 0.25
    parameters_shape: float = 0.15
    candidate: float = 0.12
    candidate_shape: float = 0.07
    noise: float = 0.05
    reach: float = 1.5
    """Distance of loads, as a logarithm, up to which a curve has one shape."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Of candidates at all places."""

    mean: Floats
    """Candidates x places x columns."""
    variance: Floats
    """Candidates x places, in units of `scale`."""
    scale: Floats
    """Columns x columns: what the variance is multiplied by."""


class Surrogate:
    """Beliefs about one problem; what was measured is given whole, each time."""

    def __init__(
        self, targets: Targets, axes: Axes, prior: Prior, effects: Effects | None = None
    ) -> None:
        self._targets, self._axes, self._prior = targets, axes, prior
        self._effects = effects = effects or Effects()
        self._everywhere = effects.everywhere_absolute if prior.absolute else effects.everywhere
        self.relevance = Relevance.even(len(axes.axes))
        log_load, log_gpus = np.log(targets.load), np.log(targets.gpus)[:, None]
        trends = np.stack(
            [
                effects.load * log_load,
                effects.saturation * np.log1p(targets.load / KNEE),
                effects.gpus * np.broadcast_to(log_gpus, log_load.shape),
            ],
            axis=-1,
        )
        middle = trends.mean(axis=(0, 1)) if trends.size else 0.0
        self._trends: Floats = trends - middle
        self._shape = _shape(targets, effects.reach)
        signs = np.array([kind.sign for kind in targets.yardstick.kinds], dtype=np.float64)
        self._usual_scale: Floats = _USUAL_CORRELATION * np.outer(signs, signs)
        known = np.array([kind.is_load for kind in targets.yardstick.kinds])
        np.fill_diagonal(self._usual_scale, np.where(known, _KNOWN_SCALE, 1.0))
        self.scale = self._usual_scale
        self._i = self._p = np.zeros(0, dtype=np.int64)
        self._whitener: Floats = np.zeros((0, 0))
        self._weights: Floats = np.zeros((0, len(signs)))

    def learn(self, i: Ints, p: Ints, logs: Floats, *, imagined: int = 0) -> None:
        """Condition on measurements; those of earlier calls are forgotten.

        Args:
            i: Candidate of each.
            p: Place of each.
            logs: Measurements x columns; NaN for a column that is missing.
            imagined: So many, the last, are what is expected of servers that still run: they
                lessen doubt, and teach nothing of scales.
        """
        self._i, self._p = i, p
        covariance = self._covariance(i, p, i, p) + self._effects.noise**2 * np.eye(len(i))
        self._whitener = np.linalg.inv(np.linalg.cholesky(covariance))
        residuals = self._residuals(i, p, logs)
        self._weights = self._whitener.T @ (self._whitener @ residuals)
        if not imagined:
            seen = residuals.T @ self._weights
            self.scale = (_USUAL_POINTS * self._usual_scale + seen) / (_USUAL_POINTS + len(i))

    def learn_relevance(self, i: Ints, p: Ints, logs: Floats) -> None:
        """How much each parameter counts, and each candidate alone, from all that was measured.

        Takes up to a second.
        """
        if len(self._axes.axes) < 2 or not len(i):
            return
        effects, shape = self._effects, self._shape[np.ix_(p, p)]
        coefficient = effects.parameters**2 + effects.parameters_shape**2 * shape
        rows, back = np.unique(i, return_inverse=True)
        alike = likeness(self._axes, rows, rows)[:, back][:, :, back]
        kept, self.relevance = self.relevance, Relevance(np.zeros(len(alike)), 0.0)
        fixed = self._covariance(i, p, i, p) + effects.noise**2 * np.eye(len(i))
        self.relevance = learned_relevance(
            kept,
            Evidence(
                fixed=fixed,
                coefficient=coefficient,
                own=(i[:, None] == i) * self._own(shape),
                alike=alike,
                residuals=self._residuals(i, p, logs),
                usual=_USUAL_POINTS * self._usual_scale,
                usual_points=_USUAL_POINTS,
            ),
        )

    def predict(self, candidates: Ints) -> Prediction:
        """Of these candidates, at all places."""
        count = max(1, len(candidates) * self._targets.exists.shape[1] // _POINTS_AT_ONCE)
        parts = [self._predict(part) for part in np.array_split(candidates, count)]
        mean = np.concatenate([part.mean for part in parts])
        return Prediction(mean, np.concatenate([part.variance for part in parts]), self.scale)

    def _predict(self, candidates: Ints) -> Prediction:
        places = self._targets.exists.shape[1]
        i, p = np.repeat(candidates, places), np.tile(np.arange(places), len(candidates))
        mean, variance = self._prior.mean[i, p].copy(), self._variance(i, p)
        if len(self._i):
            cross = self._covariance(self._i, self._p, i, p)
            mean += cross.T @ self._weights
            explained = self._whitener @ cross
            variance = variance - np.einsum("ij,ij->j", explained, explained)
        shape = (len(candidates), places)
        variance = np.maximum(variance, _LEAST_VARIANCE).reshape(shape)
        return Prediction(mean.reshape(*shape, -1), variance, self.scale)

    def belief(self, candidate: int) -> Belief:
        """Of one candidate's curve, at the places that it has."""
        p = np.flatnonzero(self._targets.exists[candidate])
        i = np.full(len(p), candidate)
        mean, covariance = self._prior.mean[i, p].copy(), self._covariance(i, p, i, p)
        if len(self._i):
            cross = self._covariance(self._i, self._p, i, p)
            mean += cross.T @ self._weights
            explained = self._whitener @ cross
            covariance = covariance - explained.T @ explained
        return Belief(
            tuple(map(tuple, mean.tolist())),
            tuple(map(tuple, covariance.tolist())),
            tuple(map(tuple, self.scale.tolist())),
            self._effects.noise**2,
        )

    def _residuals(self, i: Ints, p: Ints, logs: Floats) -> Floats:
        found: Floats = np.nan_to_num(logs - self._prior.mean[i, p])
        return found

    def _covariance(self, i: Ints, p: Ints, j: Ints, q: Ints) -> Floats:
        """Of points (i, p) with points (j, q), without noise."""
        effects = self._effects
        shape = self._shape[np.ix_(p, q)]
        found: Floats = self._trends[i, p] @ self._trends[j, q].T
        rows, back_rows = np.unique(i, return_inverse=True)
        columns, back_columns = np.unique(j, return_inverse=True)
        alike = together(self.relevance.axes, likeness(self._axes, rows, columns))
        found += alike[np.ix_(back_rows, back_columns)] * (
            effects.parameters**2 + effects.parameters_shape**2 * shape
        )
        same = i[:, None] == j
        found += same * (self.relevance.own * self._own(shape))
        found += self._everywhere**2
        return found

    def _variance(self, i: Ints, p: Ints) -> Floats:
        """The diagonal of `_covariance`."""
        effects, trends = self._effects, self._trends[i, p]
        axes = self.relevance.axes
        most = float(together(axes, np.ones((len(axes), 1, 1)))[0, 0])
        found: Floats = np.einsum("ij,ij->i", trends, trends)
        found += most * (effects.parameters**2 + effects.parameters_shape**2)
        own = effects.candidate**2 + effects.candidate_shape**2
        found += self.relevance.own * own + self._everywhere**2
        return found

    def _own(self, shape: Floats) -> Floats:
        """What a candidate is off by alone, for a weight of 1."""
        found: Floats = self._effects.candidate**2 + self._effects.candidate_shape**2 * shape
        return found


def _shape(targets: Targets, reach: float) -> Floats:
    """Places x places: how alike what a curve deviates by is."""
    at = np.log(targets.concurrency)
    near: npt.NDArray[np.float64] = np.exp(-0.5 * ((at[:, None] - at) / reach) ** 2)
    same = targets.workloads[:, None] == targets.workloads
    found: Floats = near * np.where(same, 1.0, _OTHER_WORKLOAD)
    return found

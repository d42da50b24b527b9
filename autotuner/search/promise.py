"""What measuring a candidate promises, what that costs, and when it is not worth it.

The gain of a candidate is how far its best level is expected to better the best so far, as a
fraction: the mean over what may be of what would be gained, where a level that misses a limit, or a
server that does not run, gains nothing. Of several candidates, the one with the largest gain per
GPU-second comes first.

A candidate is not worth its GPU time where its gain is below a least one, or small for its cost:
each percent of the GPU time that measuring everything would take has to promise 0.2 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autotuner.search.axes import Ints
from autotuner.search.base import Candidate
from autotuner.search.surrogate import Prediction
from autotuner.search.targets import Targets
from autotuner.search.yardstick import Floats, draws

__all__ = ["Costs", "Drawn", "costs_of", "draw"]

_DRAWS = 64
_LARGEST = 3.0
"""Gains above ``exp`` of it count as that: how large a doubtful miracle is does not matter."""
_GAIN_PER_SHARE = 0.2
_LEVELS_OF_A_CLIMB = 2
"""That a server measures, about, which chooses its levels."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What may be of candidates, in the order in which they were given."""

    utility: Floats
    """Draws x candidates: of the best level; minus infinity where none keeps the limits. In one
    draw, all levels of a candidate are as much better or worse than expected."""
    excess: Floats
    """Of each candidate: how far its most promising level is expected to miss the limits, as a
    logarithm."""

    @property
    def chance(self) -> Floats:
        """That a level keeps the limits; where no draw does, the smaller the further it is off."""
        count = np.isfinite(self.utility).sum(axis=0)
        unlikely = 0.5 * np.exp(-np.maximum(self.excess, 0.0))
        found: Floats = np.where(count > 0, count, unlikely) / len(self.utility)
        return found

    @property
    def expected(self) -> Floats:
        """Utility of the best level, where the limits are kept; minus infinity where never."""
        possible = np.isfinite(self.utility)
        total, count = np.where(possible, self.utility, 0.0).sum(axis=0), possible.sum(axis=0)
        found: Floats = np.where(count > 0, total / np.maximum(count, 1), -np.inf)
        return found

    def gain(self, to_beat: float) -> Floats:
        """Expected of each, as a fraction of the best so far, whose utility is given."""
        gains = np.maximum(np.expm1(np.minimum(self.utility - to_beat, _LARGEST)), 0.0)
        found: Floats = gains.mean(axis=0)
        return found

    def merit(self) -> Floats:
        """Where nothing keeps the limits so far: the chance of each to do, times how good it is
        compared to the best of them. Absolute numbers may be far off then, as ratios are not."""
        expected = self.expected
        top = float(expected.max(initial=-np.inf))
        value = np.exp(expected - top) if np.isfinite(top) else np.ones(len(expected))
        found: Floats = self.chance * np.where(value > 0, value, 1.0)
        return found


def draw(targets: Targets, candidates: Ints, prediction: Prediction) -> Drawn:
    deviation = np.sqrt(prediction.variance)[..., None]
    spread = draws(_DRAWS, prediction.mean.shape[-1]) @ np.linalg.cholesky(prediction.scale).T
    yardstick, exists = targets.yardstick, targets.exists[candidates]
    utility = yardstick.utility(prediction.mean + deviation * spread[:, None, None, :])
    utility[:, ~exists] = -np.inf
    excess = np.where(exists, yardstick.excess(prediction.mean), np.inf)
    return Drawn(utility.max(axis=2), excess.min(axis=1))


@dataclass(frozen=True, slots=True)
class Costs:
    """GPU-seconds; a server without a GPU costs as one with one."""

    of_each: Floats
    """Of each candidate, as the search would measure it."""
    of_all: float
    """Of measuring every level of every candidate."""

    def least_gain(self, candidates: Ints, least: float) -> Floats:
        """What each has to promise to be worth its GPU time.

        Args:
            least: However cheap it is.
        """
        share = self.of_each[candidates] / self.of_all
        found: npt.NDArray[np.float64] = np.maximum(least, _GAIN_PER_SHARE * share)
        return found


def costs_of(candidates: tuple[Candidate, ...], *, climbs: bool) -> Costs:
    """
    Args:
        climbs: Whether servers choose which of their levels they measure.
    """
    whole = [_gpu_s(one, len(one.levels)) for one in candidates]
    most = [min(len(one.levels), _LEVELS_OF_A_CLIMB) for one in candidates]
    each = [_gpu_s(one, levels) for one, levels in zip(candidates, most, strict=True)]
    return Costs(np.array(each if climbs else whole), sum(whole))


def _gpu_s(candidate: Candidate, levels: int) -> float:
    return max(candidate.gpus, 1) * (candidate.start_s + levels * candidate.level_s)

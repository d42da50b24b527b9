"""Which level of a running server is worth its time: a plan of levels that learns as it goes.

The plan brings along what is believed of this server's curve: for each level the logarithms of
its columns, and how levels inform each other. After each level the belief is conditioned on what
was seen, and bounded by what is true of every closed loop: under more load no latency falls, so
that throughput rises at most in proportion to the requests in flight. The next level is the one
with the largest expected gain over the best so far. None is loaded any more where no gain is
worth a level's time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autotuner.search.level_plans import LevelPlan, NoMore, Seen, rows_of
from autotuner.search.yardstick import Floats, Yardstick, draws
from autotuner.spec.workload import Level

__all__ = ["Belief", "Climb"]

_DRAWS = 64
_MARGIN = 0.15
"""Logarithm of how far noise may carry one measurement beyond what another allows."""
_LEAST_SEEN = 2
"""Levels before a server is given up: curves cross, and one level says little of the others."""

Numbers = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Belief:
    """Of one server's curve: a normal distribution of logarithms, levels times columns.

    The covariance of level l's column a and level m's column b is
    ``covariance[l][m] * scale[a][b]``.
    """

    mean: Numbers
    """Levels x columns."""
    covariance: Numbers
    """Levels x levels."""
    scale: Numbers
    """Columns x columns."""
    noise: float
    """Variance of a measurement, in units of `covariance`."""


@dataclass(frozen=True, slots=True)
class Climb(LevelPlan):
    """See the module's docstring."""

    levels: tuple[Level, ...]
    """In rising concurrency per workload."""
    belief: Belief
    yardstick: Yardstick
    best: float | None
    """Utility of the best so far when the server started; None: nothing keeps the limits yet."""
    worth: float
    """A level that promises less, as a fraction of the best so far, is not loaded."""

    @property
    def most(self) -> tuple[Level, ...]:
        return self.levels

    def next(self, seen: Sequence[Seen]) -> Level | NoMore:
        done = {one.level for one in seen}
        left = [i for i, level in enumerate(self.levels) if level not in done]
        if not left:
            return NoMore("")
        places = {level: i for i, level in enumerate(self.levels)}
        known = {places[one.level]: self.yardstick.logs(one.row) for one in seen if one.ok}
        known = {i: logs for i, logs in known.items() if not math.isnan(logs[0])}
        own = self.yardstick.measured([one.level for one in seen if one.ok], rows_of(seen))
        gains, values = self._gains(known, own)
        chosen = max(left, key=lambda i: (gains[i], values[i]))
        if gains[chosen] >= self.worth:
            return self.levels[chosen]
        # One that is as good within the noise may be the best: fresh servers will tell.
        lost = own is None or (self.best is not None and own < self.best - _MARGIN)
        if lost and len(done) < _LEAST_SEEN:
            return self.levels[chosen]
        return NoMore(self._reason(own, float(gains[chosen]), chosen), pruned=lost)

    def _gains(
        self, known: Mapping[int, tuple[float, ...]], own: float | None
    ) -> tuple[Floats, Floats]:
        """Expected gain of each level over the best so far, as a fraction of it; and its value."""
        logs = self._bounded(self._samples(known), known)
        utility = self.yardstick.utility(logs)
        to_beat = [value for value in (self.best, own) if value is not None]
        if to_beat:
            gains = np.maximum(np.expm1(np.minimum(utility - max(to_beat), 3.0)), 0.0)
        else:  # any that keeps the limits is a gain, and the better the more
            finite = utility[np.isfinite(utility)]
            top = float(finite.max()) if finite.size else 0.0
            gains = np.where(np.isfinite(utility), np.exp(utility - top), 0.0)
        values = np.exp(np.maximum(utility, -700.0)).mean(axis=0)
        return gains.mean(axis=0), values

    def _samples(self, known: Mapping[int, tuple[float, ...]]) -> Floats:
        """Draws x levels x columns of what each level may be."""
        mean, covariance = np.array(self.belief.mean), np.array(self.belief.covariance)
        scale = np.array(self.belief.scale)
        if known:
            places = list(known)
            residuals = np.array([known[i] for i in places]) - mean[places]
            residuals = np.nan_to_num(residuals)
            seen = covariance[np.ix_(places, places)] + self.belief.noise * np.eye(len(places))
            gain = np.linalg.solve(seen, covariance[places]).T
            mean = mean + gain @ residuals
            covariance = covariance - gain @ covariance[places]
        deviation = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
        spread = draws(_DRAWS, mean.shape[1]) @ np.linalg.cholesky(scale).T
        found: Floats = mean + deviation[:, None] * spread[:, None, :]
        return found

    def _bounded(self, logs: Floats, known: Mapping[int, tuple[float, ...]]) -> Floats:
        """What a closed loop allows, given the levels seen."""
        for i, seen in known.items():
            for j, level in enumerate(self.levels):
                if i == j or level.workload != self.levels[i].workload:
                    continue
                load = math.log(level.concurrency / self.levels[i].concurrency)
                for column, kind in enumerate(self.yardstick.kinds):
                    bound = seen[column] + (load if kind.rises else 0.0)
                    if math.isnan(bound) or not (kind.rises or kind.never_falls):
                        continue
                    if (load > 0) == kind.rises:
                        logs[:, j, column] = np.minimum(logs[:, j, column], bound + _MARGIN)
                    else:
                        logs[:, j, column] = np.maximum(logs[:, j, column], bound - _MARGIN)
        return logs

    def _reason(self, own: float | None, gain: float, nearest: int) -> str:
        level = self.levels[nearest]
        if own is None:
            return (
                f"no level seen keeps the limits, and the likeliest, {level}, is expected to do "
                f"so in {100 * gain:.2g} % of cases"
                if self.best is None
                else f"no level seen keeps the limits, and {level} is expected to better the best "
                f"so far by {100 * gain:.2g} %"
            )
        if self.best is not None and own < self.best:
            return (
                f"its best level is at {100 * math.exp(own - self.best):.0f} % of the best so "
                f"far, and {level} is expected to better that by {100 * gain:.2g} %, less than "
                f"{100 * self.worth:.2g} %"
            )
        return (
            f"{level}, the most promising level left, is expected to better this server's best "
            f"by {100 * gain:.2g} %, less than {100 * self.worth:.2g} %"
        )

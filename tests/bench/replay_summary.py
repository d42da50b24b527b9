"""What many searches have cost and found, in the few numbers that tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from replay_run import WITHIN, Course

__all__ = ["Summary"]


@dataclass(frozen=True, slots=True)
class Summary:
    """Costs are shares of the GPU time of the exhaustive grid."""

    mean_cost: float
    """Until a search has hit; one that never does counts as 1, as if the grid had to be run."""
    p90_cost: float
    stop_cost: float
    """When it has stopped by itself; mean."""
    p90_stop: float
    p95_regret: float
    hit_rate: float
    """Share of the searches whose regret is at most 5 % when they have stopped."""
    experiments: float
    hours: float
    """Until it has stopped."""
    searches: int

    @classmethod
    def of(cls, courses: Sequence[Course]) -> Summary:
        hits = np.array([1.0 if one.hit is None else one.hit for one in courses])
        stops = np.array([one.stop for one in courses])
        regrets = np.array([one.regret for one in courses])
        return cls(
            float(hits.mean()),
            float(np.quantile(hits, 0.9)),
            float(stops.mean()),
            float(np.quantile(stops, 0.9)),
            float(np.quantile(regrets, 0.95)),
            float((regrets <= WITHIN).mean()),
            float(np.mean([one.experiments for one in courses])),
            float(np.mean([one.stop_s for one in courses])) / 3600,
            len(courses),
        )

    @staticmethod
    def header() -> str:
        return (
            f"{'policy':20} {'slots':>5} {'hit':>6} {'p90':>6} {'stop':>6} {'p90':>6} "
            f"{'regret p95':>10} {'hit rate':>8} {'experiments':>11} {'hours':>6} {'searches':>8}"
        )

    def line(self, policy: str, slots: int) -> str:
        return (
            f"{policy:20} {slots:5} {self.mean_cost:6.3f} {self.p90_cost:6.3f} "
            f"{self.stop_cost:6.3f} {self.p90_stop:6.3f} {self.p95_regret:10.3f} "
            f"{self.hit_rate:8.3f} {self.experiments:11.1f} {self.hours:6.2f} {self.searches:8}"
        )

    def measures(self) -> dict[str, float]:
        """For the last line of a benchmark."""
        return {
            "mean_cost": round(self.mean_cost, 4),
            "p90_cost": round(self.p90_cost, 4),
            "stop_cost": round(self.stop_cost, 4),
            "p95_regret": round(self.p95_regret, 4),
            "hit_rate": round(self.hit_rate, 4),
        }

"""How a study's results are judged: objective, limits, prices, and how sure one must be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from autotuner.spec.objective import Constraint, Objective

__all__ = ["Condition", "Judging", "RequestSlo"]


_FINALISTS = 6


@dataclass(frozen=True, slots=True)
class RequestSlo:
    """A limit that a single request keeps or misses; goodput counts those that keep all."""

    metric: str
    """``ttft_s``, ``tpot_s`` or ``e2e_latency_s``."""
    limit_s: float

    def __str__(self) -> str:
        return f"{self.metric} <= {self.limit_s:g}"


class Condition(StrEnum):
    """Circumstances of a measurement: rows that differ in one are not compared by default."""

    ENGINE_VERSION = "engine_version"
    IMAGE_ID = "image_id"
    """What the name of a container's image meant: a tag can be moved, on one node before others."""
    GPU_MODEL = "gpu_model"
    NICE = "nice"
    NEIGHBOURS = "neighbours"
    """Whether other attempts of the study ran on the node under load."""
    BENCH_VERSION = "bench_version"


@dataclass(frozen=True, slots=True)
class Judging:
    """Everything that decides about results once they are measured.

    A change of it needs no new measurement, but for those that settle what was decided before.
    """

    objective: Objective
    constraints: tuple[Constraint, ...] = ()
    request_slos: tuple[RequestSlo, ...] = ()
    usd_per_gpu_hour: float | None = None
    minimal_effect: float = 0.02
    """A difference below this fraction does not matter to the user."""
    finalist_servers: int = 5
    """On so many fresh servers, at most, a finalist is measured."""
    max_repeats: int | None = None
    """So many fresh servers, at most, for all finalists together; None: see `most_repeats`."""
    compare_across: frozenset[Condition] | None = None
    """Circumstances that may differ between rows that are compared. None: neighbours of servers
    that have reserved GPUs, and nothing else."""

    def most_repeats(self, experiments: int) -> int:
        """Repeats of finalists in a study of so many experiments, at most.

        By default enough to measure six finalists as often as they may be, if the search itself
        took as much; and always enough to tell two apart.
        """
        if self.max_repeats is not None:
            return self.max_repeats
        again = self.finalist_servers - 1
        return max(min(experiments, _FINALISTS * again), 2 * again)

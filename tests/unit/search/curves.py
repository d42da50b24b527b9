"""Problems whose curves are known, for the tests of what models them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autotuner.results.limits import LevelRow
from autotuner.search.base import Candidate, Problem
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Constraint, Direction, Objective, Over
from autotuner.spec.searching import LevelChoice, Searching
from autotuner.spec.server import Value
from autotuner.spec.workload import Level

LEVELS = tuple(Level("chat", "D(100,100)", concurrency) for concurrency in (1, 4, 16, 64, 256))
THROUGHPUT = Objective(
    "throughput", "output_throughput_tok_s_per_gpu", Direction.MAXIMIZE, over=Over.BEST
)
TPOT = Objective("tpot", "tpot_s", Direction.MINIMIZE, statistic="mean", over=Over.WORST)


def row(level: Level, speed: float = 100.0, knee: float = 32.0, gpus: int = 1) -> LevelRow:
    """A closed loop: tokens per second and user fall from ``speed`` on an idle server."""
    tpot_s = (1 + level.concurrency / gpus / knee) / speed
    throughput = level.concurrency / tpot_s
    return {
        "concurrency": level.concurrency,
        "output_throughput_tok_s": throughput,
        "output_throughput_tok_s_per_gpu": throughput / gpus,
        "tpot_s_mean": tpot_s,
        "ttft_s_mean": 10 * tpot_s,
    }


def rows(
    speed: float = 100.0, gpus: int = 1, of: Sequence[Level] = LEVELS
) -> Mapping[Level, LevelRow]:
    return {level: row(level, speed, gpus=gpus) for level in of}


def candidate(name: str, gpus: int = 1, **parameters: Value) -> Candidate:
    return Candidate(name, {"name": name, **parameters}, gpus, LEVELS)


def problem(
    *candidates: Candidate,
    objective: Objective = THROUGHPUT,
    floor_tok_s: float | None = None,
    levels: LevelChoice = LevelChoice.ADAPTIVE,
    searching: Searching | None = None,
) -> Problem:
    """``floor_tok_s``: tokens per second that each user is to get."""
    limits = () if floor_tok_s is None else (Constraint("tpot_s", "mean", 1 / floor_tok_s),)
    asked = searching or Searching(strategy="adaptive", levels=levels)
    return Problem(candidates, Judging(objective, limits), asked)

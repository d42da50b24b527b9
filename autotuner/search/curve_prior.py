"""What is expected of a server before any is measured: an estimator's word, else the usual shape.

The usual shape is that of batching: with u requests in flight per GPU, a user's tokens come at a
speed in proportion to ``G ** 0.3 / (1 + u / 64)`` on G GPUs. So throughput rises with the load and
saturates, latency rises with it, and a wide server is quicker for a user and makes less of each
GPU. Only ratios are expected of it, no absolute number; measurements bring those, and correct
the shape. Where an estimator gives ratios, they are believed no more than those of the usual shape:
it is quick to say that a server cannot be the best, and where it errs, nobody would measure it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from autotuner.search.base import Candidate, Problem
from autotuner.search.estimators.base import Estimate
from autotuner.search.targets import Targets
from autotuner.search.yardstick import Floats, Kind
from autotuner.spec.objective import STATISTICS

__all__ = ["KNEE", "Prior", "prior_of"]

KNEE = 64.0
"""Requests in flight per GPU at which a user's speed is half that of an idle server."""
_WIDER = 0.3
"""Power of the number of GPUs with which a user's speed grows."""
_SPOKEN_OF = {
    "ttft_s",
    "tpot_s",
    "itl_s",
    "output_throughput_tok_s",
    "output_throughput_tok_s_per_gpu",
}
"""Metrics that estimates give in their own units."""


@dataclass(frozen=True, slots=True)
class Prior:
    mean: Floats
    """Candidates x places x columns, logarithms; finite, of levels that do not exist too."""
    absolute: bool
    """Whether numbers are expected, not only their ratios."""


def prior_of(problem: Problem, targets: Targets) -> Prior:
    """Asks the estimator, if there is one, for every candidate and level."""
    gpus = targets.gpus[:, None]
    concurrency = np.array([level.concurrency for level in targets.levels], dtype=np.float64)
    load = concurrency / gpus
    speed = _WIDER * np.log(gpus) - np.log1p(load / KNEE)
    kinds = targets.yardstick.kinds
    usual = np.stack([_usual(kind, speed, load, gpus) for kind in kinds], axis=-1)
    if problem.estimate is None:
        return Prior(targets.reduced(usual), absolute=False)
    estimated = _estimated(problem, targets)
    known = ~np.isnan(estimated)
    if not known[..., 0].any():
        return Prior(targets.reduced(usual), absolute=False)
    # Where the estimator is silent: the usual shape, at the height of what it says elsewhere.
    for column in range(len(kinds)):
        said = known[..., column]
        if said.any():
            usual[..., column] += (estimated - usual)[said, column].mean()
    mean = np.where(known, estimated, usual)
    absolute = all(_metric(column) in _SPOKEN_OF for column in targets.yardstick.columns)
    return Prior(targets.reduced(mean), absolute)


def _usual(kind: Kind, speed: Floats, load: Floats, gpus: Floats) -> Floats:
    if kind.never_falls:
        return -speed
    if kind.is_load:
        return np.log(load * gpus)
    if kind.rises:
        found: Floats = np.log(load) + speed + (0.0 if kind.per_gpu else np.log(gpus))
        return found
    return np.zeros_like(speed)


def _estimated(problem: Problem, targets: Targets) -> Floats:
    """Logarithms, NaN where it does not know."""
    columns = targets.yardstick.columns
    found = np.full((len(targets.candidates), len(targets.levels), len(columns)), math.nan)
    for i, candidate in enumerate(targets.candidates):
        words = _words(problem, candidate, targets)
        for place, word in words.items():
            values = [_column(column, word, max(candidate.gpus, 1)) for column in columns]
            found[i, place] = [math.nan if not value else math.log(value) for value in values]
    return found


def _words(problem: Problem, candidate: Candidate, targets: Targets) -> dict[int, Estimate]:
    """Place of a level -> what the estimator says; nothing unless it knows all of its levels.

    A curve that comes from two sources would have a step where there is none.
    """
    if problem.estimate is None:
        return {}
    places = [j for j, level in enumerate(targets.levels) if level in candidate.levels]
    words: dict[int, Estimate] = {}
    for place in places:
        word = problem.estimate(candidate, targets.levels[place])
        if word is None:
            return {}
        words[place] = word
    return words


def _column(column: str, word: Estimate, gpus: int) -> float | None:
    """The estimate of a column; None where it says nothing of it."""
    throughput = word.output_throughput_tok_s
    return {
        "ttft_s": word.ttft_s,
        "tpot_s": word.tpot_s,
        "itl_s": word.tpot_s,
        "output_throughput_tok_s": throughput,
        "output_throughput_tok_s_per_gpu": throughput / gpus,
        # In other units: for ratios only.
        "total_throughput_tok_s": throughput,
        "requests_per_s": throughput,
        "output_tokens_per_usd": throughput / gpus,
    }.get(_metric(column))


def _metric(column: str) -> str:
    for statistic in STATISTICS:
        column = column.removesuffix(f"_{statistic}")
    return column

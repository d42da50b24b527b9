"""Estimates as the rows that a measurement would have left, for the product's own judging.

An estimate knows means. They stand for every percentile of a latency, too, so that a limit on a
p99 is judged too kindly; and for the gaps between tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from autotuner.results.goodput import tokens_per_usd
from autotuner.results.limits import LevelRow, number
from autotuner.search.estimators.base import Estimate, Load
from autotuner.spec.objective import STATISTICS, Constraint, column_of

__all__ = ["chance_to_keep", "expected_row"]

_NORMAL = NormalDist()
_NOT_ESTIMATED = frozenset({"error_rate", "concurrency"})


def expected_row(
    estimate: Estimate, load: Load, gpus: int, usd_per_gpu_hour: float | None = None
) -> LevelRow:
    """The columns of a level row that an estimate says something of."""
    throughput = estimate.output_throughput_tok_s
    e2e_s = estimate.ttft_s + estimate.tpot_s * max(0, load.output_tokens - 1)
    latencies = {
        "ttft_s": estimate.ttft_s,
        "tpot_s": estimate.tpot_s,
        "itl_s": estimate.tpot_s,
        "e2e_latency_s": e2e_s,
    }
    row: dict[str, object] = {
        column_of(metric, statistic): value
        for metric, value in latencies.items()
        for statistic in STATISTICS
    }
    per_request = throughput / load.output_tokens
    row["output_throughput_tok_s"] = throughput
    row["total_throughput_tok_s"] = throughput + per_request * load.input_tokens
    row["requests_per_s"] = per_request
    row["error_rate"] = 0.0
    row["concurrency"] = load.concurrency
    if gpus:
        row["output_throughput_tok_s_per_gpu"] = throughput / gpus
        row["output_tokens_per_usd"] = tokens_per_usd(throughput / gpus, usd_per_gpu_hour)
    return row


def chance_to_keep(
    constraints: Sequence[Constraint], row: LevelRow, estimate: Estimate
) -> float | None:
    """Probability that the level keeps the hard limits; None: nothing is estimated of one.

    The limits are taken for independent, which understates it where they go together.
    """
    chance = 1.0
    for constraint in constraints:
        value = number(row, constraint.column)
        if value is None:
            return None
        if constraint.penalty is None:
            chance *= _chance(constraint, value, _sigma(constraint.metric, estimate))
    return chance


def _chance(constraint: Constraint, value: float, sigma: float | None) -> float:
    kept = value <= constraint.limit if constraint.upper else value >= constraint.limit
    if sigma is None or value <= 0 or constraint.limit <= 0:
        return float(kept)
    distance = math.log(constraint.limit / value) / sigma
    return _NORMAL.cdf(distance if constraint.upper else -distance)


def _sigma(metric: str, estimate: Estimate) -> float | None:
    """How far off the metric's logarithm may be; None: it is not estimated but assumed."""
    if metric == "ttft_s":
        return estimate.ttft_sigma
    if metric in ("tpot_s", "itl_s"):
        return estimate.tpot_sigma
    return None if metric in _NOT_ESTIMATED else estimate.throughput_sigma

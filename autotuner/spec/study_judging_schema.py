"""The sections of a study file that say how its results are judged, as written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from autotuner.spec.study_problems import unknown_name
from autotuner.spec.study_schema import Section, Text, example, fault

__all__ = [
    "OBJECTIVES",
    "LevelSection",
    "LimitSection",
    "ObjectiveSection",
    "ThresholdSection",
    "WeightSection",
]

OBJECTIVES = {
    "minimize_latency": "e2e_latency_s",
    "maximize_throughput": "output_throughput_tok_s",
    "minimize_ttft": "ttft_s",
    "minimize_tpot": "tpot_s",
    "minimize_itl": "itl_s",
    "maximize_goodput": "goodput_requests_per_s",
    "maximize_tokens_per_dollar": "output_tokens_per_usd",
    "maximize_load": "concurrency",
}
"""Name of an objective -> its metric."""
OVER = ("best", "worst", "seed_mean")


def _objective(value: str) -> str:
    if value not in OBJECTIVES:
        raise fault(unknown_name(value, OBJECTIVES, "objective"))
    return value


def _over(value: str) -> str:
    if value in ("mean", "average"):
        raise fault(
            "a mean over concurrencies hides where the server saturates; write best, worst, or "
            "seed_mean to have it all the same"
        )
    if value == "weighted":
        raise fault("instead of `over` give the weights: `weights: [{concurrency: 8, weight: 1}]`")
    if value not in OVER:
        raise fault(unknown_name(value, OVER, "choice"))
    return value


class LevelSection(Section):
    concurrency: int | None = example(8, default=None, ge=1)
    workload: Text | None = example("chat", default=None)


class ObjectiveSection(Section):
    name: Annotated[str, AfterValidator(_objective)] = example("maximize_throughput")
    statistic: Text | None = example("mean", default=None)
    per_gpu: bool = example(False, default=False)
    at: LevelSection | None = example("{concurrency: 8}", default=None)
    over: Annotated[str, AfterValidator(_over)] | None = example("best", default=None)
    weights: list[Any] | None = example(
        "[{concurrency: 1, weight: 0.3}, {concurrency: 8, weight: 0.7}]",
        default=None,
        min_length=1,
    )

    hints: ClassVar[Mapping[str, str]] = {
        "weight": "unknown key; did you mean `weights`?",
        "concurrency": "unknown key here; write `at: {concurrency: 8}`",
        "workload": "unknown key here; write `at: {workload: chat}`",
        "metric": "unknown key; the objective's `name` says which metric it is",
    }


class WeightSection(Section):
    """An item of ``objective.weights``."""

    weight: Annotated[float, Field(gt=0)] = example(0.5)
    workload: Text | None = example("chat", default=None)
    concurrency: int | None = example(8, default=None, ge=1)


class LimitSection(Section):
    """A limit in long; which of the first three it may have depends on the metric."""

    limit: Any = None
    at_most: Any = None
    at_least: Any = None
    soft: bool = example(True, default=False)
    weight: float | None = example(1.0, default=None, ge=0)
    steepness: float | None = example(0.1, default=None, gt=0)
    fail_ratio: float | None = example(0.5, default=None, ge=0)

    hints: ClassVar[Mapping[str, str]] = {
        "hard": "unknown key; a limit is hard unless it says `soft: true`",
        "penalty": "unknown key; did you mean `weight`?",
    }


class ThresholdSection(Section):
    """A limit as the first autotuner wrote it: soft, unless it says otherwise."""

    threshold: Any = example(0.5)
    weight: float = example(1.0, default=1.0, ge=0)
    steepness: float | None = example(0.1, default=None, gt=0)
    hard_fail: bool = example(False, default=False)
    fail_ratio: float = example(0.5, default=0.5, ge=0)

    hints: ClassVar[Mapping[str, str]] = {
        "soft": "remove this key: a `threshold` is soft; `limit` is hard unless `soft: true`",
        "limit": "this repeats `threshold`; keep one of them",
        "at_most": "this repeats `threshold`; keep one of them",
        "at_least": "this repeats `threshold`; keep one of them",
    }

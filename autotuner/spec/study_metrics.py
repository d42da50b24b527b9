"""Metrics as a study file names them, and what a study must say before it can have one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autotuner.spec.objective import METRICS
from autotuner.spec.study_problems import did_you_mean, unknown_name

__all__ = [
    "HIGHER_IS_BETTER",
    "PER_GPU",
    "MetricNeeds",
    "metric_named",
    "unknown_metric",
]

PER_GPU = "output_throughput_tok_s_per_gpu"
HIGHER_IS_BETTER = frozenset(
    {
        "output_throughput_tok_s",
        "total_throughput_tok_s",
        PER_GPU,
        "output_tokens_per_usd",
        "requests_per_s",
        "goodput_requests_per_s",
        "goodput_share",
        "concurrency",
    }
)
LIMITED = tuple(metric for metric in METRICS if metric != "concurrency")
"""Metrics that a limit can be about: the load is what is asked for, and no answer to it."""
_ALIASES = {
    "ttft": "ttft_s",
    "tpot": "tpot_s",
    "itl": "itl_s",
    "latency": "e2e_latency_s",
    "e2e_latency": "e2e_latency_s",
}


def metric_named(name: str) -> str | None:
    """The metric that a file means by ``name``; None where there is none."""
    metric = _ALIASES.get(name, name)
    return metric if metric in LIMITED else None


def unknown_metric(name: str, metrics: Sequence[str] = LIMITED) -> str:
    """What to write instead of ``name``, which is no metric."""
    if name.endswith("_ms") and (meant := metric_named(name.removesuffix("_ms"))) in metrics:
        return f"unknown metric; did you mean `{meant}`? It is in seconds: 200 ms is 0.2"
    if name.partition("_")[0] in ("latency", "e2e") and did_you_mean(name, metrics) is None:
        return "unknown metric; did you mean `e2e_latency_s`?"
    return unknown_name(name, metrics, "metric")


@dataclass(frozen=True, slots=True)
class MetricNeeds:
    """What the file says of the things that some metrics are computed from."""

    gpus: int | None
    """``resources.gpus``; None: derived from the parallel sizes."""
    has_goodput: bool
    """Whether the file has a ``goodput``, right or wrong."""
    has_price: bool
    """Whether it has a ``usd_per_gpu_hour``."""

    def fault(self, metric: str) -> str | None:
        """Why this study cannot have the metric, and what would help."""
        if metric == PER_GPU and self.gpus == 0:
            return "a value per GPU needs GPUs, and `resources.gpus` is 0"
        if metric.startswith("goodput_") and not self.has_goodput:
            return (
                "goodput counts the requests that keep all limits of `goodput`; "
                "say which: `goodput: {ttft_s: 0.5, tpot_s: 0.05}`"
            )
        if metric == "output_tokens_per_usd":
            if self.gpus == 0:
                return "tokens per dollar need GPUs to pay for, and `resources.gpus` is 0"
            if not self.has_price:
                return (
                    "tokens per dollar need the price of a GPU; "
                    "say it at the top level: `usd_per_gpu_hour: 2.5`"
                )
        return None

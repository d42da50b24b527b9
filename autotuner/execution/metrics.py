"""Numbers about a running study, for whoever draws them over time; values, made without Ray."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Metric", "Sample"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One number, or one for each combination of its tags' values."""

    name: str
    """With its unit; Ray puts ``ray_`` before it."""
    description: str
    tags: tuple[str, ...]
    """Names. Their values must be few: each combination is a series that is kept for weeks."""
    cumulative: bool = False
    """Whether it only grows. Its name ends with ``_total`` then, as Prometheus has it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a metric is now."""

    metric: Metric
    tags: tuple[str, ...]
    """Values, in the order of ``metric.tags``."""
    value: float

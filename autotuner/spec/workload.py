"""How a server is loaded: traffic, concurrency levels and when a level ends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Dataset", "Level", "StopRule", "Workload"]

_UNKNOWN_TOKENS = 64
"""Stands for the length of a dataset's prompts and answers where only their order matters."""


@dataclass(frozen=True, slots=True)
class StopRule:
    """A level ends with whichever comes first."""

    seconds: float
    requests: int | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """Prompts to draw from, in genai-bench's terms."""

    path: str | None = None
    config: str | None = None
    prompt_column: str | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of traffic at one or more concurrency levels."""

    name: str
    scenario: str
    """Traffic scenario as genai-bench writes it, e.g. ``D(100,100)``, or ``dataset``."""
    concurrency: tuple[int, ...]
    """Requests in flight at once, one level each."""
    stop: StopRule
    task: str = "text-to-text"
    dataset: Dataset | None = None
    request: Mapping[str, object] = field(default_factory=dict)
    """Parameters sent with each request, e.g. ``{"temperature": 0.0}``."""
    warmup_requests: int | None = None
    """Requests sent and discarded before the first level; None means the highest concurrency."""
    repeats: int = 1
    """How often each level is measured on the same server."""
    max_error_rate: float = 0.0
    """Share of failed requests up to which a level counts as measured; the plan takes it from
    the study's constraint on ``error_rate``."""

    @property
    def levels(self) -> tuple[Level, ...]:
        return tuple(
            Level(self.name, self.scenario, concurrency, repeat)
            for repeat in range(self.repeats)
            for concurrency in self.concurrency
        )

    @property
    def typical_tokens(self) -> tuple[int, int]:
        """About how many input and output tokens a request has, for warm-up and estimates."""
        numbers = [int(number) for number in re.findall(r"\d+", self.scenario)]
        match self.scenario[:1], numbers:
            case "D", [tokens_in, tokens_out]:
                return tokens_in, tokens_out
            case "N", [mean_in, _, mean_out, _]:
                return mean_in, mean_out
            case "U", [min_in, max_in, min_out, max_out]:
                return (min_in + max_in) // 2, (min_out + max_out) // 2
            case "U", [max_in, max_out]:
                return max_in // 2, max_out // 2
        return _UNKNOWN_TOKENS, _UNKNOWN_TOKENS


@dataclass(frozen=True, slots=True, order=True)
class Level:
    """One (workload, scenario, concurrency, repeat): the unit of measurement."""

    workload: str
    scenario: str
    concurrency: int
    repeat: int = 0

    def __str__(self) -> str:
        again = f" repeat {self.repeat + 1}" if self.repeat else ""
        return f"{self.workload} {self.scenario} c={self.concurrency}{again}"

    @property
    def of_all_repeats(self) -> Level:
        """The level that stands for all of its repeats."""
        return Level(self.workload, self.scenario, self.concurrency)

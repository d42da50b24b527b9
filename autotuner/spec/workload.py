"""How a server is loaded: traffic, concurrency levels and when a level ends."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

__all__ = ["Dataset", "Level", "LoadRange", "StopRule", "Workload"]

_UNKNOWN_TOKENS = 64
"""Stands for the length of a dataset's prompts and answers where only their order matters."""
_WARMED_LOAD = 32
"""Of a load that is to be found: servers differ in what they can take, and this warms them all."""
_TIMES = 3
_MORE = 4


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
class LoadRange:
    """The largest concurrency that keeps the study's hard limits is to be found, within these."""

    least: int = 1
    most: int = 512
    within: float = 0.1
    """The answer may be off by this fraction, or by one request."""
    times: int = _TIMES
    """A level that is as near to a limit as its noise reaches is measured so often, at most."""

    @property
    def steps(self) -> tuple[int, ...]:
        """The concurrencies that may be measured, each at most ``within`` above the one before."""
        found = [self.least]
        while found[-1] < self.most:
            further = math.floor(found[-1] * (1 + self.within) + 1e-9)
            found.append(min(self.most, max(found[-1] + 1, further)))
        return tuple(found)

    @property
    def most_levels(self) -> int:
        """So many levels are measured on one server, at most."""
        doublings = math.ceil(math.log2(self.most / self.least)) if self.most > self.least else 0
        return doublings + 1 + self._halvings + _MORE

    @property
    def expected_levels(self) -> int:
        """About so many are."""
        doublings = math.log2(self.most / self.least)
        return min(self.most_levels, round(doublings / 2) + 2 + self._halvings)

    @property
    def _halvings(self) -> int:
        """Steps of a bisection between a load and its double."""
        steps = self.steps
        between = (sum(low < step <= 2 * low for step in steps) for low in steps)
        return math.ceil(math.log2(max(1, *between, 1)))


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of traffic at one or more concurrency levels."""

    name: str
    scenario: str
    """Traffic scenario as genai-bench writes it, e.g. ``D(100,100)``, or ``dataset``."""
    concurrency: tuple[int, ...]
    """Requests in flight at once, one level each; with ``find``, all that may be measured."""
    stop: StopRule
    task: str = "text-to-text"
    dataset: Dataset | None = None
    request: Mapping[str, object] = field(default_factory=dict)
    """Parameters sent with each request, e.g. ``{"temperature": 0.0}``."""
    warmup_requests: int | None = None
    """Requests sent and discarded before the first level; None: see `warmed_concurrency`."""
    repeats: int = 1
    """How often each level is measured on the same server; with ``find``, at most."""
    max_error_rate: float = 0.0
    """Share of failed requests up to which a level counts as measured; the plan takes it from
    the study's constraint on ``error_rate``."""
    find: LoadRange | None = None
    """Within what the load is to be found; None: every level is measured."""

    def content(self) -> dict[str, object]:
        """All that decides what is measured; equal content, same levels."""
        content = asdict(self)
        # What it was before a load could be found: results folders are known by its hash.
        if self.find is None:
            del content["find"]
        return content

    @property
    def expected_levels(self) -> int:
        """How many levels a server is measured at, each repeat by itself; of ``find``, about."""
        return len(self.levels) if self.find is None else self.find.expected_levels

    @property
    def warmed_concurrency(self) -> int:
        """So many requests at once warm a server up."""
        highest = max(self.concurrency)
        return highest if self.find is None else min(highest, _WARMED_LOAD)

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

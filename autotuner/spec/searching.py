"""Which experiments of a space are measured, in which order, and when that is enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Budget", "LevelChoice", "Searching", "StopWhen"]

_CANDIDATES = 10_000


class LevelChoice(StrEnum):
    """Which levels of an experiment are measured."""

    ALL = "all"
    """Those of its workloads, every one."""
    ADAPTIVE = "adaptive"
    """Where the best so far is strong first, then as far as it is worth while."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What the search may cost, at most; None: no limit.

    Nothing new is started beyond it, and what runs is measured to its end. The servers that
    confirm the finalists come on top.
    """

    experiments: int | None = None
    gpu_hours: float | None = None
    """Of GPU time that attempts have reserved, failed ones included."""
    wall_hours: float | None = None
    """Since the study's first start; a resumed study counts the time in which it ran."""


@dataclass(frozen=True, slots=True)
class StopWhen:
    """When a search has found enough; None: never for this reason."""

    no_improvement: int | None = None
    """So many experiments in a row have not bettered the best by the minimal effect."""
    expected_gain_below: float | None = None
    """No candidate is expected to better the best by this fraction."""


@dataclass(frozen=True, slots=True)
class Searching:
    """A study's search. The default measures everything."""

    strategy: str = "grid"
    """A name of `search.registry`, or one that an installed package adds."""
    seed: int = 0
    first: int | None = None
    """So many experiments are spread over the space before a model chooses; None: its own."""
    levels: LevelChoice = LevelChoice.ALL
    estimator: str | None = None
    """A name of `search.estimators.registry`, or a folder of earlier results; None: none."""
    budget: Budget = field(default_factory=Budget)
    stop_when: StopWhen = field(default_factory=StopWhen)
    most_candidates: int = _CANDIDATES
    """Of a larger space so many points, drawn evenly, are its candidates."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Of a strategy that a package adds: what it alone knows."""

    @property
    def measures_everything(self) -> bool:
        """Whether there is nothing to decide: every level of every experiment is measured.

        With an estimator there is: what it shows not to fit is not.
        """
        return (
            self.strategy == "grid"
            and self.estimator is None
            and self.levels is LevelChoice.ALL
            and self.budget == Budget()
            and self.stop_when == StopWhen()
        )

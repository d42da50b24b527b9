"""What the product asks of a search strategy: ask and tell.

A strategy knows candidates and what was measured of them, no driver, no Ray and no clock. The
driver asks when a slot is free, and tells each level as it arrives and each end. A study that is
resumed tells a new strategy everything that the store holds, then asks on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from autotuner.results.limits import LevelRow
from autotuner.search.estimators.base import Estimate
from autotuner.search.level_plans import LevelPlan
from autotuner.spec.judging import Judging
from autotuner.spec.searching import Searching
from autotuner.spec.server import Value
from autotuner.spec.workload import Level

__all__ = ["Ask", "Candidate", "Ended", "Problem", "Strategy", "Told"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An experiment that may be measured."""

    id: str
    """Of the experiment."""
    parameters: Mapping[str, Value]
    gpus: int
    """That it reserves, on all its nodes; 0 for a server that takes none."""
    levels: tuple[Level, ...]
    """All that may be measured of it, repeats as one, in rising concurrency per workload."""
    start_s: float = 60.0
    """Expected until the server is warm."""
    level_s: float = 60.0
    """Expected of one level."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What a strategy searches, and how its findings are judged.

    Candidates are all there are: what the study excludes, and what starts the same server as
    another, is not among them.
    """

    candidates: tuple[Candidate, ...]
    judging: Judging
    searching: Searching
    baseline: str | None = None
    """Id of the candidate that is measured first, whatever the strategy would do."""
    estimate: Callable[[Candidate, Level], Estimate | None] | None = None
    """What an estimator thinks, None where it does not know; None: there is no estimator."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Measure this one next."""

    candidate: str
    """Id; each is asked for once."""
    levels: LevelPlan
    why: str = ""
    """A few words for the user, e.g. ``predicted 12 % better than the best so far``."""


class Ended(StrEnum):
    """How an experiment has ended, all its attempts taken together."""

    COMPLETED = "completed"
    """Its level plan came to its end."""
    PRUNED = "pruned"
    """Its levels showed that it cannot win, and the rest was not measured."""
    FAILED = "failed"
    """It has no complete result, and is not tried again: the configuration is infeasible."""
    LOST = "lost"
    """It has no result for a reason that says nothing of the configuration."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of an experiment that was asked for, or measured by an earlier run."""

    candidate: str
    rows: Mapping[Level, LevelRow] = field(default_factory=dict)
    """All levels so far that are valid measurements, repeats and attempts pooled."""
    ended: Ended | None = None
    """None while it runs."""


class Strategy(ABC):
    """Decides which candidate is measured next. Made anew for each run of a study.

    The same problem, and the same calls, give the same answers: whatever is drawn comes from
    `Searching.seed`.
    """

    tells_expected_gain: ClassVar[bool] = False
    """Whether it can tell what the next experiment may gain: only then does
    `StopWhen.expected_gain_below` mean anything to it."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    @abstractmethod
    def ask(self, most: int) -> Sequence[Ask]:
        """Up to so many candidates to start now, the most promising first.

        Those that were asked for and have not ended are pending, and are taken into account.
        Fewer, or none, where it is better to wait for these, or where `finished` says why.
        """

    @abstractmethod
    def tell(self, told: Told) -> None:
        """A level has been measured, or the experiment has ended. Later calls replace earlier.

        Also of candidates that were not asked for: an earlier run has measured them, or, where
        they have not ended, they are measured now all the same, and are pending.
        """

    @property
    @abstractmethod
    def finished(self) -> str | None:
        """Why nothing more will be asked for, in a sentence for the user; None: more may be.

        `StopWhen` is for the strategy to keep (`search.stopping` does it for one that has points);
        what still runs may better the best, and make it None again. Budgets are the driver's.
        """

    def expected_experiments(self) -> int | None:
        """About how many experiments the search will take in all, for estimates of its cost.

        None: it cannot tell, up to all of them.
        """
        return None

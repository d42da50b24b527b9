"""What estimators say of the published measurements, without having seen those of the family.

For `search.base.Problem.estimate` in a replay::

    estimators = ReplayEstimators(read_points(path))
    estimate = estimators.problem_estimate("both", scenario, {candidate.id: arm, ...})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Literal

from model_facts import facts_of
from replay_points import Arm, Point, Scenario, subject_of

from autotuner.search.base import Candidate
from autotuner.search.estimators.aiconfigurator import AiConfigurator
from autotuner.search.estimators.architecture import Architecture, ArchitectureError
from autotuner.search.estimators.base import Estimate, Estimator, Load
from autotuner.search.estimators.combining import Combined
from autotuner.search.estimators.earlier_results import EarlierResults
from autotuner.search.estimators.roofline import Roofline
from autotuner.spec.workload import Level

Kind = Literal["roofline", "earlier", "both", "aiconfigurator"]
KINDS: tuple[Kind, ...] = ("roofline", "earlier", "both")
"""Those that need nothing but this repository."""


def public_architecture(model: str) -> Architecture:
    """The sizes of a model by its name; the hub's files are not at hand."""
    if (found := facts_of(model)) is None:
        raise ArchitectureError(f"the sizes of {model} are not among the bench's facts")
    return found


class ReplayEstimators:
    """Estimators for the scenarios of a file of measurements."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._points = tuple(points)
        self._roofline = Roofline(public_architecture)
        self._earlier: dict[str, EarlierResults] = {}
        self._aiconfigurator: AiConfigurator | None = None

    def of(self, kind: Kind, family: str) -> Estimator:
        """The estimator for models of a family; it has seen only the others' measurements."""
        if kind == "roofline":
            return self._roofline
        if kind == "aiconfigurator":
            self._aiconfigurator = self._aiconfigurator or AiConfigurator()
            return self._aiconfigurator
        if family not in self._earlier:
            others = [p.measured for p in self._points if p.scenario.family != family]
            self._earlier[family] = EarlierResults(others)
        if kind == "earlier":
            return self._earlier[family]
        return Combined([self._roofline, self._earlier[family]])

    def problem_estimate(
        self, kind: Kind, scenario: Scenario, arms: Mapping[str, Arm]
    ) -> Callable[[Candidate, Level], Estimate | None]:
        """What `Problem.estimate` is asked; None for a model that nothing is known of.

        Args:
            arms: Id of each candidate -> its server.
        """
        estimator = self.of(kind, scenario.family)

        @cache
        def estimated(candidate: str, concurrency: int) -> Estimate | None:
            subject = subject_of(scenario, arms[candidate])
            said = estimator.estimate(subject, Load(scenario.isl, scenario.osl, concurrency))
            return said if isinstance(said, Estimate) else None

        return lambda candidate, level: estimated(candidate.id, level.concurrency)

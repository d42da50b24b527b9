"""What a task file's reader has to say: mistakes, and conversions that changed a meaning."""

from __future__ import annotations

from autotuner.spec.source_lines import Loc, dotted
from autotuner.spec.study_problems import Problems

__all__ = ["NOT_APPLICABLE", "Notes"]

NOT_APPLICABLE = "not applicable here, and left out"


class Notes:
    """Collects warnings beside the problems; neither ever holds a secret's value."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self._warnings: dict[str, int] = {}

    def warn(self, loc: Loc, text: str) -> None:
        """Note that the value at ``loc`` now means something else, or nothing."""
        self._warnings.setdefault(f"{dotted(loc)}: {text}", self.problems.source.line(loc))

    def warnings(self) -> tuple[str, ...]:
        """One sentence each, in the order of the file."""
        return tuple(sorted(self._warnings, key=lambda text: self._warnings[text]))

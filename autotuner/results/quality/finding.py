"""One doubt about a study's numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Severity"]


class Severity(StrEnum):
    """How much a finding says about the verdict."""

    NOTE = "note"
    """Good to know; the verdict stands."""
    WARNING = "warning"
    """Some numbers mean less than they seem to."""
    SERIOUS = "serious"
    """The verdict may be wrong."""

    @property
    def weight(self) -> int:
        """Larger is worse."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Finding:
    """A doubt, about one or many experiments at once."""

    kind: str
    """One of those in ``docs/quality.md``, e.g. ``early_end``."""
    severity: Severity
    experiment_ids: tuple[str, ...]
    """In plan order; empty where it concerns the study as a whole."""
    message: str
    """What was seen, with numbers."""
    consequence: str
    """What could be wrong with the verdict."""
    remedy: str
    """What to do: where a key of the study file helps, the key and its value."""

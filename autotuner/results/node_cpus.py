"""Who used the CPUs of a node while a level was under load, as a value and as columns."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NodeCpus"]

_COLUMNS = ("node_cpus", "own_cpus", "foreign_cpus", "foreign_cpus_unknown")


@dataclass(frozen=True, slots=True)
class NodeCpus:
    """CPUs in use on one node, as means over a level's time; in CPUs: 1.0 is one of them."""

    cpus: int | None = None
    """How many the node has, as its kernel counts them: hyperthreads, not cores."""
    own: float | None = None
    """Used by the attempt: its server, its load generator, and the process that carries it out."""
    foreign: float | None = None
    """Used by all others, other attempts of the same study among them."""
    unknown: str | None = None
    """Why the rest is None; None where it is known."""

    @property
    def columns(self) -> dict[str, object]:
        """Their columns of the level rows."""
        values = (self.cpus, self.own, self.foreign, self.unknown)
        return dict(zip(_COLUMNS, values, strict=True))

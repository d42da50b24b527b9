"""Load generators by name."""

from __future__ import annotations

from autotuner.bench.base import LoadGenerator

__all__ = ["load_generator"]


def load_generator(name: str) -> LoadGenerator:
    """The load generator of this name; the study file has already refused unknown ones."""
    from autotuner.bench.closed_loop import ClosedLoop
    from autotuner.bench.genai_bench import GenaiBench

    known: dict[str, type[LoadGenerator]] = {
        GenaiBench.name: GenaiBench,
        ClosedLoop.name: ClosedLoop,
    }
    return known[name]()

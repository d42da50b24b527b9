"""Load generators by name."""

from __future__ import annotations

from importlib import import_module

from autotuner.bench.base import LoadGenerator

__all__ = ["load_generator"]

_PLACES = {
    "genai-bench": "autotuner.bench.genai_bench:GenaiBench",
    "closed-loop": "autotuner.bench.closed_loop:ClosedLoop",
    "ome-benchmarkjob": "autotuner.bench.benchmark_job.generator:OmeBenchmarkJob",
}
"""Imported when one is wanted: a client of Kubernetes, for one, takes a second."""


def load_generator(name: str) -> LoadGenerator:
    """The load generator of this name; the study file has already refused unknown ones."""
    module, _, of_module = _PLACES[name].partition(":")
    generator: type[LoadGenerator] = getattr(import_module(module), of_module)
    return generator()

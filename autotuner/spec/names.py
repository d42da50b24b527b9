"""Names that a study may use, so that a wrong one is refused with its line in the file.

What stands behind a name is known above: each has a registry, which takes its names from here.
"""

from __future__ import annotations

from importlib.metadata import entry_points

__all__ = [
    "ENGINES",
    "ENGINE_ENTRY_POINTS",
    "LAUNCHERS",
    "LOAD_GENERATORS",
    "added_engines",
    "engine_names",
]

ENGINES = ("vllm", "sglang", "custom", "sim")
ENGINE_ENTRY_POINTS = "autotuner.engines"
"""Entry points ``name = "package.module:Class"`` of this group become engines."""
LAUNCHERS = ("process", "docker", "kubernetes", "ome")
LOAD_GENERATORS = ("genai-bench", "closed-loop", "ome-benchmarkjob")


def added_engines() -> dict[str, str]:
    """Engines of other packages: name -> ``module:Class``. None can take over a name of ours."""
    points = entry_points(group=ENGINE_ENTRY_POINTS)
    return {point.name: point.value for point in points if point.name not in ENGINES}


def engine_names() -> tuple[str, ...]:
    """All engines on this machine, ours first."""
    return (*ENGINES, *added_engines())

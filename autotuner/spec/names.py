"""Names that a study may use, so that a wrong one is refused with its line in the file.

What stands behind a name is known above: each has a registry, which takes its names from here.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import entry_points

__all__ = [
    "ENGINES",
    "ENGINE_ENTRY_POINTS",
    "ESTIMATORS",
    "ESTIMATORS_TOGETHER",
    "ESTIMATOR_ENTRY_POINTS",
    "LAUNCHERS",
    "LOAD_GENERATORS",
    "STRATEGIES",
    "STRATEGY_ALIASES",
    "STRATEGY_ENTRY_POINTS",
    "added_engines",
    "added_estimators",
    "added_strategies",
    "engine_names",
    "estimator_names",
    "strategy_names",
]

ENGINES = ("vllm", "sglang", "custom", "sim")
ENGINE_ENTRY_POINTS = "autotuner.engines"
"""Entry points ``name = "package.module:Class"`` of this group become engines."""
LAUNCHERS = ("process", "docker", "kubernetes", "ome")
LOAD_GENERATORS = ("genai-bench", "closed-loop", "ome-benchmarkjob")
ESTIMATORS = ("roofline", "aiconfigurator")
ESTIMATORS_TOGETHER = "+"
"""Between the names of estimators that are to be combined."""
ESTIMATOR_ENTRY_POINTS = "autotuner.estimators"
"""Entry points ``name = "package.module:Class"`` of this group become estimators."""
STRATEGIES = ("grid", "random", "sobol", "tpe", "nsga2", "adaptive")
STRATEGY_ALIASES = {"bayesian": "tpe"}
"""Other names of strategies: what files of the first autotuner call them."""
STRATEGY_ENTRY_POINTS = "autotuner.strategies"
"""Entry points ``name = "package.module:Class"`` of this group become search strategies."""


def added_engines() -> dict[str, str]:
    """Engines of other packages: name -> ``module:Class``. None can take over a name of ours."""
    return _added(ENGINE_ENTRY_POINTS, ENGINES)


def engine_names() -> tuple[str, ...]:
    """All engines on this machine, ours first."""
    return (*ENGINES, *added_engines())


def added_estimators() -> dict[str, str]:
    """Estimators of other packages: name -> ``module:Class``. None can take over one of ours."""
    return _added(ESTIMATOR_ENTRY_POINTS, ESTIMATORS)


def estimator_names() -> tuple[str, ...]:
    """All estimators on this machine, ours first."""
    return (*ESTIMATORS, *added_estimators())


def added_strategies() -> dict[str, str]:
    """Strategies of other packages: name -> ``module:Class``. None can take over one of ours."""
    return _added(STRATEGY_ENTRY_POINTS, (*STRATEGIES, *STRATEGY_ALIASES))


def strategy_names() -> tuple[str, ...]:
    """All search strategies on this machine, ours first, then their aliases."""
    return (*STRATEGIES, *STRATEGY_ALIASES, *added_strategies())


def _added(group: str, ours: Collection[str]) -> dict[str, str]:
    return {
        point.name: point.value for point in entry_points(group=group) if point.name not in ours
    }

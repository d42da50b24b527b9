"""Finds the best configuration of an LLM inference server by measuring it.

import autotuner

spec = autotuner.StudySpec.from_file("study.yaml")
results = autotuner.run(spec)
print(results.ranking().winner)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autotuner.errors import AutotunerError, StudyFileError, UserError
    from autotuner.planning import Plan, plan
    from autotuner.results.load import StudyResults, load_results
    from autotuner.spec.study import StudySpec
    from autotuner.study import run
    from autotuner.version import __version__

__all__ = [
    "AutotunerError",
    "Plan",
    "StudyFileError",
    "StudyResults",
    "StudySpec",
    "UserError",
    "__version__",
    "load_results",
    "plan",
    "run",
]

_HOMES = {
    "AutotunerError": "errors",
    "Plan": "planning",
    "StudyFileError": "errors",
    "StudyResults": "results.load",
    "StudySpec": "spec.study",
    "UserError": "errors",
    "__version__": "version",
    "load_results": "results.load",
    "plan": "planning",
    "run": "study",
}


def __getattr__(name: str) -> object:
    # At first use: the simulated server and `autotuner --help` would wait a second for pandas.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

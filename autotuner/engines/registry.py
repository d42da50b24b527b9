"""Engines by name. Only the one asked for is imported; other packages can add their own."""

from __future__ import annotations

import difflib
import importlib

from autotuner.engines.base import Engine
from autotuner.errors import PlanError
from autotuner.spec.names import added_engines

__all__ = ["load_engine"]

_BUILT_IN = {
    "vllm": "autotuner.engines.vllm:VllmEngine",
    "sglang": "autotuner.engines.sglang:SglangEngine",
    "custom": "autotuner.engines.custom:CustomEngine",
    "sim": "autotuner.engines.sim:SimEngine",
}


def load_engine(name: str) -> Engine:
    """The engine of this name.

    Raises:
        PlanError: there is none, or the package that adds it cannot be imported.
    """
    # Looked for among ours first: to list the others, every installed package is read.
    targets = _BUILT_IN if name in _BUILT_IN else {**_BUILT_IN, **added_engines()}
    if name not in targets:
        close = difflib.get_close_matches(name, targets, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(targets)}"
        raise PlanError(f"no engine called {name!r}; {hint}")
    module, _, attribute = targets[name].partition(":")
    try:
        engine = getattr(importlib.import_module(module), attribute)()
    except (ImportError, AttributeError) as error:
        raise PlanError(f"engine {name!r} ({targets[name]}) cannot be loaded: {error}") from error
    if not isinstance(engine, Engine):
        raise PlanError(f"engine {name!r}: {targets[name]} is not an autotuner Engine")
    return engine

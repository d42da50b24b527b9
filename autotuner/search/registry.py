"""Search strategies by name. Only the one asked for is imported; other packages can add theirs."""

from __future__ import annotations

import difflib
import importlib

from autotuner.errors import PlanError
from autotuner.search.base import Strategy
from autotuner.spec.names import STRATEGY_ALIASES, added_strategies

__all__ = ["load_strategy"]

_BUILT_IN = {
    "grid": "autotuner.search.grid:GridStrategy",
    "random": "autotuner.search.random_order:RandomStrategy",
    "sobol": "autotuner.search.sobol:SobolStrategy",
    "tpe": "autotuner.search.tpe:TpeStrategy",
    "nsga2": "autotuner.search.nsga2:Nsga2Strategy",
    "adaptive": "autotuner.search.adaptive:AdaptiveStrategy",
}


def load_strategy(name: str) -> type[Strategy]:
    """The strategy of this name, to be made with a `Problem`.

    Raises:
        PlanError: there is none, or the package that adds it cannot be imported.
    """
    known = STRATEGY_ALIASES.get(name, name)
    # Looked for among ours first: to list the others, every installed package is read.
    targets = _BUILT_IN if known in _BUILT_IN else {**_BUILT_IN, **added_strategies()}
    if known not in targets:
        close = difflib.get_close_matches(name, [*targets, *STRATEGY_ALIASES], n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(targets)}"
        raise PlanError(f"no search strategy called {name!r}; {hint}")
    module, _, attribute = targets[known].partition(":")
    try:
        strategy = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        where = f"search strategy {name!r} ({targets[known]})"
        raise PlanError(f"{where} cannot be loaded: {error}") from error
    if not (isinstance(strategy, type) and issubclass(strategy, Strategy)):
        raise PlanError(f"search strategy {name!r}: {targets[known]} is not an autotuner Strategy")
    return strategy

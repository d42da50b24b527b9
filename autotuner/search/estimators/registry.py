"""Estimators by name, or by a folder of earlier results. Only the one asked for is imported."""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path

from autotuner.errors import PlanError
from autotuner.search.estimators.base import Estimator
from autotuner.spec.names import ESTIMATORS_TOGETHER, added_estimators
from autotuner.spec.output_address import is_address

__all__ = ["load_estimator"]

_BUILT_IN = {
    "roofline": "autotuner.search.estimators.roofline:Roofline",
    "aiconfigurator": "autotuner.search.estimators.aiconfigurator:AiConfigurator",
}


def load_estimator(name: str) -> Estimator:
    """The estimator of this name.

    Args:
        name: One of ours or of an installed package; a results folder or ``s3://BUCKET/PREFIX``;
            or several of these with `` + `` between them, whose estimates are combined.

    Raises:
        PlanError: there is none, or the package that adds it cannot be imported.
        OutputError: a results folder cannot be read.
    """
    if _is_place(name):
        from autotuner.search.estimators.earlier_studies import read_earlier_results

        return read_earlier_results(name)
    if ESTIMATORS_TOGETHER in name:
        from autotuner.search.estimators.combining import Combined

        return Combined([load_estimator(part.strip()) for part in name.split(ESTIMATORS_TOGETHER)])
    return _by_name(name)


def _is_place(name: str) -> bool:
    """Whether it is an address or a folder; these win over names with a ``+`` between them."""
    path = Path(name)
    return (
        is_address(name)
        or path.is_dir()
        or (ESTIMATORS_TOGETHER not in name and len(path.parts) > 1)
    )


def _by_name(name: str) -> Estimator:
    # Looked for among ours first: to list the others, every installed package is read.
    targets = _BUILT_IN if name in _BUILT_IN else {**_BUILT_IN, **added_estimators()}
    if name not in targets:
        close = difflib.get_close_matches(name, targets, n=1)
        known = f"known: {', '.join(targets)}, or a folder of earlier results"
        hint = f"did you mean {close[0]!r}?" if close else known
        raise PlanError(f"no estimator called {name!r}; {hint}")
    module, _, attribute = targets[name].partition(":")
    try:
        estimator = getattr(importlib.import_module(module), attribute)()
    except (ImportError, AttributeError) as error:
        raise PlanError(
            f"estimator {name!r} ({targets[name]}) cannot be loaded: {error}"
        ) from error
    if not isinstance(estimator, Estimator):
        raise PlanError(f"estimator {name!r}: {targets[name]} is not an autotuner Estimator")
    return estimator

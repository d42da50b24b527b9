"""The point that all others are compared with: ``baseline`` of a study file."""

from __future__ import annotations

from collections.abc import Mapping

from autotuner.spec.server import Value
from autotuner.spec.source_lines import Loc
from autotuner.spec.study import ENVIRONMENT_PREFIX
from autotuner.spec.study_parameters import SearchSpace, canonical, literal
from autotuner.spec.study_problems import Problems
from autotuner.spec.study_values import (
    flag_name_fault,
    flag_value_fault,
    parallel_size_fault,
    variable_name_fault,
)

__all__ = ["read_baseline"]


def read_baseline(
    content: object, problems: Problems, space: SearchSpace, engine: str | None
) -> Mapping[str, Value] | None:
    """The values of the baseline; empty: the engine's defaults. None: there is none.

    Args:
        content: what the file holds under the key; None means that it has no such key.
        problems: takes what is wrong.
        space: the parameters, whose spelling the baseline must use.
        engine: name of the engine, None where it could not be read.
    """
    if content is False:
        return None
    if content is None:
        return {}
    if not isinstance(content, dict):
        fix = (
            "write the values that differ from the engine's defaults, such as "
            "`baseline: {max-num-seqs: 64}`; to measure the defaults leave this key out, "
            "for no baseline write false"
        )
        problems.add(("baseline",), fix)
        return {}
    spellings = {canonical(name): name for name in space.values}
    point: dict[str, Value] = {}
    for name, value in content.items():
        loc: Loc = ("baseline", name)
        if (fault := _name_fault(name, space, spellings, engine)) is not None:
            problems.add(loc, fault, show=False)
        elif isinstance(value, list):
            problems.add(loc, "the baseline is one point, so write a single value")
        elif (fault := flag_value_fault(value) or parallel_size_fault(name, value, engine)) is None:
            point[name] = literal(problems.source, loc, name, value)
        else:
            problems.add(loc, fault)
    return point


def _name_fault(
    name: str, space: SearchSpace, spellings: dict[str, str], engine: str | None
) -> str | None:
    if name in space.tied and name not in space.values:
        inner = ", ".join(space.tied[name])
        return f"this is the name of tied parameters; set theirs: {inner}"
    if name.startswith(ENVIRONMENT_PREFIX):
        fault = variable_name_fault(name.removeprefix(ENVIRONMENT_PREFIX))
    else:
        fault = flag_name_fault(name, engine)
    # A first spelling in the baseline itself binds the ones after it.
    spelling = spellings.setdefault(canonical(name), name)
    if fault is None and spelling != name:
        return f"elsewhere in this file the flag is called `{spelling}`; write it so"
    return fault

"""The engine and the model of a study file: ``engine`` and ``model``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from autotuner.spec.names import engine_names
from autotuner.spec.server import Model, Value
from autotuner.spec.source_lines import Loc
from autotuner.spec.study import ENVIRONMENT_PREFIX, EngineConfig
from autotuner.spec.study_parameters import text_of
from autotuner.spec.study_paths import StudyPaths
from autotuner.spec.study_problems import Problems, unknown_name
from autotuner.spec.study_schema import EngineSection, ModelSection
from autotuner.spec.study_values import (
    flag_name_fault,
    parallel_size_fault,
    placeholder_fault,
    variable_name_fault,
)

__all__ = ["engine_name", "fixed_flags", "fixed_places", "read_engine", "read_model"]


def read_engine(content: object, problems: Problems, paths: StudyPaths) -> EngineConfig | None:
    """The file's ``engine``; None where it has problems that keep it from being read."""
    if isinstance(content, str):
        problems.add(("engine",), f"write a mapping: `engine: {{name: {content}}}`")
        return None
    _check_names(problems)
    section = problems.validated(EngineSection, content, ("engine",))
    if section is None:
        return None
    if section.name not in (known := engine_names()):
        problems.add(("engine", "name"), unknown_name(section.name, known, "engine"))
    loc: Loc = ("engine", "environment")
    environment = {
        name: text_of(problems.source, (*loc, name), value)
        for name, value in (section.environment or {}).items()
    }
    return EngineConfig(
        section.name,
        paths.program(section.executable, ("engine", "executable")),
        section.flags or {},
        environment,
        _command(section, problems, paths),
        section.version,
        section.check_flags,
    )


def read_model(content: object, problems: Problems, paths: StudyPaths) -> Model | None:
    """The file's ``model``; None where it has problems."""
    content = {"path": content} if isinstance(content, str) else content
    section = problems.validated(ModelSection, content, ("model",))
    if section is None:
        return None
    path = paths.path_or_hub_id(section.path, ("model", "path"))
    if section.tokenizer is None:
        return Model(path, path)
    return Model(path, paths.path_or_hub_id(section.tokenizer, ("model", "tokenizer")))


def engine_name(problems: Problems) -> str | None:
    """Name of the engine, as far as the file holds one."""
    engine = problems.source.data.get("engine")
    name = engine.get("name") if isinstance(engine, dict) else None
    return name if isinstance(name, str) else None


def fixed_places(problems: Problems) -> dict[str, Loc]:
    """Flags and variables (``env.NAME``) of all experiments -> where they stand, valid or not."""
    places: dict[str, Loc] = {
        name: ("engine", "flags", name) for name in _entries(problems, "flags")
    }
    for name in _entries(problems, "environment"):
        places[f"{ENVIRONMENT_PREFIX}{name}"] = ("engine", "environment", name)
    return places


def fixed_flags(problems: Problems) -> dict[str, tuple[Value, ...] | None]:
    """The single value of each flag of all experiments; None where it is not valid."""
    values: dict[str, tuple[Value, ...] | None] = {}
    for name, value in _entries(problems, "flags").items():
        is_value = value is None or isinstance(value, bool | int | float | str)
        values[name] = (cast(Value, value),) if is_value else None
    return values


def _entries(problems: Problems, key: str) -> Mapping[str, object]:
    engine = problems.source.data.get("engine")
    content = engine.get(key) if isinstance(engine, dict) else None
    return content if isinstance(content, dict) else {}


def _check_names(problems: Problems) -> None:
    for name, value in _entries(problems, "flags").items():
        loc: Loc = ("engine", "flags", name)
        if (fault := parallel_size_fault(name, value, engine_name(problems))) is not None:
            problems.add(loc, fault)
        if name.startswith(ENVIRONMENT_PREFIX):
            variable = name.removeprefix(ENVIRONMENT_PREFIX)
            fix = f"write an environment variable under engine.environment: {variable}"
            problems.add(loc, fix, show=False)
        elif (fault := flag_name_fault(name, engine_name(problems))) is not None:
            problems.add(loc, fault, show=False)
    for name in _entries(problems, "environment"):
        if (fault := variable_name_fault(name)) is not None:
            problems.add(("engine", "environment", name), fault, show=False)


def _command(section: EngineSection, problems: Problems, paths: StudyPaths) -> tuple[str, ...]:
    loc: Loc = ("engine", "command")
    if section.name != "custom":
        if section.command is not None:
            fix = "only the engine `custom` takes a command; use `executable` and `flags`"
            problems.add(loc, fix, show=False)
        return ()
    if section.executable is not None:
        fix = "the program of the engine `custom` is the first word of `command`; remove this key"
        problems.add(("engine", "executable"), fix)
    if not section.command:
        fix = 'the engine `custom` needs one: command: [python, serve.py, --port, "{port}"]'
        problems.add(loc, fix, show=False)
        return ()
    if (fault := placeholder_fault(section.command)) is not None:
        problems.add(loc, fault)
    program = paths.program(section.command[0], (*loc, 0)) or ""
    return (program, *section.command[1:])

"""Collects what is wrong with a study file and says it in plain words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from autotuner.errors import StudyFileError, StudyProblem
from autotuner.spec.source_lines import Loc, Source, dotted

__all__ = ["Problems", "did_you_mean", "flow_text", "unknown_name"]

M = TypeVar("M", bound=BaseModel)

_SHOWN_CHARACTERS = 60
# What is shorter hides nothing, and blanking it out would garble every message.
_SECRET_CHARACTERS = 6
_SECRET = re.compile(r"key|token|secret|password", re.IGNORECASE)
_SECRET_WORDS = frozenset({"key", "apikey", "token", "secret", "password"})
_SECRET_ARGUMENT = re.compile(r"(-[\w-]*(?:key|token|secret|password)[\"',=\s]+)[^\s\"',\]]+", re.I)
_PLAIN = re.compile(r"[A-Za-z0-9_./~][A-Za-z0-9_./~()+-]*")
_NOT_PLAIN = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n", "~"})


class Problems:
    """All problems of one source. A value that could not even be read is reported once."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._unreadable = {problem.loc for problem in source.problems}
        self._secrets = {
            text.strip("'\"")
            for loc, text in source.written.items()
            if _is_secret(loc) and len(text) >= _SECRET_CHARACTERS
        }
        self._found: list[StudyProblem] = []
        for problem in source.problems:
            hidden = problem.written and _is_secret(problem.loc)
            written = "***" if hidden else problem.written
            fix = problem.fix.replace(problem.written, "***") if hidden else problem.fix
            self._found.append(StudyProblem(dotted(problem.loc), written, fix, problem.line))

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, loc: Loc, fix: str, *, show: bool = True) -> None:
        """Note that the value at ``loc`` needs ``fix``; ``show`` False leaves the value out."""
        if loc in self._unreadable:
            return
        value = self._scrubbed(self._shown(loc)) if show else ""
        line = self.source.line(loc)
        problem = StudyProblem(dotted(loc), value, self._scrubbed(fix), line)
        if problem not in self._found:
            self._found.append(problem)

    def validated(self, model: type[M], content: object, loc: Loc) -> M | None:
        """``content`` as a ``model``, or None with its problems noted."""
        try:
            return model.model_validate(content)
        except ValidationError as error:
            for details in error.errors(include_url=False, include_context=True):
                inner = details["loc"]
                fix = _fix_of(details, model, inner)
                self.add((*loc, *inner), fix, show=details["type"] != "missing")
            return None

    def error(self) -> StudyFileError:
        """Everything found, in the order of the file."""
        found = sorted(self._found, key=lambda problem: problem.line or 0)
        return StudyFileError(str(self.source.path), found)

    def _scrubbed(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _shown(self, loc: Loc) -> str:
        if loc in self.source.written:
            text = "***" if _is_secret(loc) else self.source.written[loc]
        elif loc in self.source.lines:
            value: Any = self.source.data
            for part in loc:
                value = value[part]
            text = flow_text(_masked(value, loc))
        else:
            return ""
        text = _SECRET_ARGUMENT.sub(r"\1***", " ".join(text.split()))
        return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def _is_secret(loc: Loc) -> bool:
    """True where a part of the path names a secret.

    Environment variables count by substring; other names by whole words, because flags such
    as ``max-num-batched-tokens`` are no secrets.
    """
    environment = False
    for part in loc:
        if not isinstance(part, str):
            continue
        name = part.removeprefix("env.")
        is_variable = environment or name != part or name.isupper()
        if is_variable and _SECRET.search(name):
            return True
        if _SECRET_WORDS & set(re.split(r"[^a-z]+", name.lower())):
            return True
        environment = part == "environment"
    return environment


def _masked(value: object, loc: Loc) -> object:
    if isinstance(value, Mapping):
        return {key: _masked(item, (*loc, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, (*loc, index)) for index, item in enumerate(value)]
    return "***" if _is_secret(loc) else value


def flow_text(value: object) -> str:
    """The value in one line of YAML, e.g. ``{concurrency: 8, workload: chat}``."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{flow_text(key)}: {flow_text(item)}" for key, item in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(flow_text(item) for item in value)}]"
    if isinstance(value, str):
        is_text = _PLAIN.fullmatch(value) and value.lower() not in _NOT_PLAIN
        plain = value == "***" or (is_text and not _is_number(value))
        return value if plain else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, default=str)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def did_you_mean(word: str, options: Iterable[str]) -> str | None:
    """The option that ``word`` is probably a misspelling of."""
    folded = {option.lower().replace("_", "-"): option for option in options}
    matches = get_close_matches(word.lower().replace("_", "-"), list(folded), n=1)
    return folded[matches[0]] if matches else None


def unknown_name(word: str, options: Iterable[str], what: str = "key") -> str:
    """``unknown key; did you mean `x`?``, or the allowed names where none is near."""
    options = list(options)
    near = did_you_mean(word, options)
    if near is not None:
        return f"unknown {what}; did you mean `{near}`?"
    return f"unknown {what}; allowed: {', '.join(options)}"


def _fix_of(details: ErrorDetails, model: type[BaseModel], inner: Loc) -> str:
    """Pydantic's error in the words of someone who writes a study file."""
    kind = details["type"]
    context = details.get("ctx", {})
    owner, field = _field_at(model, inner)
    example = field.examples[0] if field is not None and field.examples else None
    such_as = f", such as `{inner[-1]}: {example}`" if example is not None and inner else ""
    match kind:
        case "study":
            return details["msg"]
        case "missing":
            return f"this key is missing; add it{such_as}"
        case "extra_forbidden":
            hint = getattr(owner, "hints", {}).get(inner[-1])
            return hint or unknown_name(str(inner[-1]), owner.model_fields)
        case "string_type" | "bool_type" | "list_type" | "dict_type" | "model_type" | "tuple_type":
            return _wrong_type(kind, details["input"]) + such_as
        case "int_type" | "int_from_float" | "float_type":
            return _not_a_number(kind, details["input"]) + such_as
        case "greater_than":
            return f"write a number above {context['gt']:g}{such_as}"
        case "greater_than_equal":
            return f"write a number of at least {context['ge']:g}{such_as}"
        case "string_too_short" | "too_short":
            return f"this must not be empty{such_as}"
        case _:
            return details["msg"]


def _wrong_type(kind: str, value: object) -> str:
    if kind == "string_type":
        if value is None or isinstance(value, dict | list):
            return "write text here"
        return "write this as text, in quotes"
    if kind == "bool_type":
        return "write true or false, without quotes"
    if kind == "list_type":
        return "write a list in brackets"
    return "write a mapping, that is `{key: value}`, here"


def _not_a_number(kind: str, value: object) -> str:
    number = "number" if kind == "float_type" else "whole number"
    if isinstance(value, bool):
        return f"write a {number}; true and false do not stand for 1 and 0"
    if isinstance(value, str) and _is_number(value):
        return f"write a {number} without quotes"
    return f"write a {number}"


def _field_at(model: type[BaseModel], inner: Loc) -> tuple[type[BaseModel], FieldInfo | None]:
    """The model that holds the key at the end of ``inner``, and the key's field if it has one."""
    owner, field = model, None
    for depth, part in enumerate(inner):
        field = owner.model_fields.get(part) if isinstance(part, str) else None
        if depth == len(inner) - 1 or field is None:
            break
        nested = [
            kind
            for kind in (field.annotation, *get_args(field.annotation))
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        ]
        if not nested:
            return owner, None
        owner = nested[0]
    return owner, field

"""Reads a YAML or JSON file and remembers on which line each key stands.

YAML is composed into nodes first, because only nodes know their line. The values are built
here, rather than by PyYAML, so that its surprises (``on`` as a boolean, ``1:30`` as 90) are
reported where they stand instead of reaching the study.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import yaml

from autotuner.errors import StudyFileError, StudyProblem

__all__ = ["Loc", "Source", "SourceProblem", "dotted", "read_source"]

Loc = tuple[str | int, ...]
"""Place of a value: mapping keys and list indices from the top of the file."""

_MAX_VALUES = 100_000
_TAG = "tag:yaml.org,2002:"
_OCTAL = re.compile(r"[-+]?0[0-7_]+")
# A number in JSON and in YAML 1.2, which PyYAML (YAML 1.1) would read as text.
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def dotted(loc: Loc) -> str:
    """``("workloads", 0, "stop")`` as ``workloads[0].stop``."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@dataclass(frozen=True, slots=True)
class SourceProblem:
    """A value or key that cannot be taken as it is written."""

    loc: Loc
    line: int
    written: str
    fix: str


@dataclass(frozen=True, slots=True)
class Source:
    """A file's content as plain values, with the line and the spelling of each."""

    path: Path
    data: Mapping[str, object]
    lines: Mapping[Loc, int]
    """1-based line of a key, or of an item of a list."""
    written: Mapping[Loc, str]
    """Scalars as they stand in the file, quotes included."""
    problems: tuple[SourceProblem, ...]

    def line(self, loc: Loc) -> int:
        """Line of the value, or of the innermost part of its path that the file holds."""
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return self.lines.get(loc, 1)


def read_source(path: Path) -> Source:
    """Read a file whose top level is a mapping; ``.json`` is read as JSON, all else as YAML.

    Raises:
        StudyFileError: with a single problem, where the file cannot be read at all.
    """
    text = _read_text(path)
    is_json = path.suffix.lower() == ".json"
    try:
        root = _compose_json(path, text) if is_json else _compose_yaml(path, text)
        if root is None:
            raise _refused(path, "the file is empty; see docs/study-file.md for an example")
        if not isinstance(root, yaml.MappingNode):
            fix = "the top level must be a mapping: lines of `key: value`, such as `study: name`"
            raise _refused(path, fix, root.start_mark.line + 1)
        reader = _NodeReader(is_json)
        data = reader.mapping(root, ())
    except RecursionError:
        raise _refused(path, "the values are nested too deeply, or contain themselves") from None
    except _TooManyValuesError:
        fix = f"the aliases expand to more than {_MAX_VALUES} values; use fewer of them"
        raise _refused(path, fix) from None
    return Source(path, data, reader.lines, reader.written, tuple(reader.problems))


def _refused(path: Path, fix: str, line: int | None = None) -> StudyFileError:
    return StudyFileError(str(path), [StudyProblem("", "", fix, line)])


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise _refused(path, "there is no such file; check the path") from None
    except IsADirectoryError:
        raise _refused(path, "this is a folder; give the study file in it") from None
    except UnicodeDecodeError as error:
        fix = f"the file is not UTF-8 text (byte {error.start}); save it as UTF-8"
        raise _refused(path, fix) from None
    except OSError as error:
        raise _refused(path, f"the file cannot be read: {error.strerror or error}") from None


def _compose_yaml(path: Path, text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.context, error.problem) if part)
        hint = ""
        if error.problem and "\\t" in error.problem:
            hint = "; indent with spaces, not with tabs"
        elif error.problem and "mapping values are not allowed" in error.problem:
            hint = "; put text that contains `: ` in quotes, and check the indentation"
        line = mark.line + 1 if mark else None
        raise _refused(path, f"this is not valid YAML: {said}{hint}", line) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        fix = "the file holds a control character, which YAML does not allow; remove it"
        raise _refused(path, fix, line) from None


def _compose_json(path: Path, text: str) -> yaml.Node | None:
    if not text.strip():
        return None
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise _refused(path, f"this is not valid JSON: {error.msg}", error.lineno) from None
    # Inside JSON strings a raw tab is invalid, so this only touches the layout, where YAML
    # does not accept tabs.
    return _compose_yaml(path, text.replace("\t", " "))


class _TooManyValuesError(Exception):
    """Nested aliases have multiplied the content."""


class _NodeReader:
    """Turns nodes into plain values, noting lines, spellings and problems on the way."""

    def __init__(self, is_json: bool) -> None:
        self.lines: dict[Loc, int] = {}
        self.written: dict[Loc, str] = {}
        self.problems: list[SourceProblem] = []
        self._is_json = is_json
        self._scalars = yaml.SafeLoader("")
        self._count = 0

    def mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, object]:
        self._count_one()
        content: dict[str, object] = {}
        # The first merged mapping has precedence over the others, and own keys over all.
        for source in reversed(list(self._merged(node, loc))):
            content |= self.mapping(source, loc)
        own: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, loc)
            if key is None:
                continue
            line = key_node.start_mark.line + 1
            if key in own:
                fix = f"this key stands here twice, first on line {own[key]}; keep one of them"
                self._problem((*loc, key), key_node, "", fix)
                continue
            own[key] = line
            self.lines[*loc, key] = line
            content[key] = self._value(value_node, (*loc, key))
        return content

    def _merged(self, node: yaml.MappingNode, loc: Loc) -> Iterator[yaml.MappingNode]:
        for key_node, value_node in node.value:
            if key_node.tag != _TAG + "merge":
                continue
            many = isinstance(value_node, yaml.SequenceNode)
            for source in value_node.value if many else [value_node]:
                if isinstance(source, yaml.MappingNode):
                    yield source
                else:
                    fix = "`<<` merges a mapping, so write an alias of one: `<<: *name`"
                    self._problem((*loc, "<<"), key_node, "", fix)

    def _key(self, node: yaml.Node, loc: Loc) -> str | None:
        if node.tag == _TAG + "merge":
            return None
        if node.tag == _TAG + "str":
            return self._text(node)
        if not isinstance(node, yaml.ScalarNode):
            fix = "a key must be text, not a list or a mapping; put braces and brackets in quotes"
            self._problem(loc, node, "", fix)
            return None
        kind = {"bool": "true or false", "int": "a number", "float": "a number"}
        read_as = kind.get(node.tag.removeprefix(_TAG), "something other than text")
        fix = f'YAML reads the key `{node.value}` as {read_as}; put it in quotes: "{node.value}"'
        self._problem((*loc, node.value), node, "", fix)
        return None

    def _value(self, node: yaml.Node, loc: Loc) -> object:
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, loc)
        if isinstance(node, yaml.SequenceNode):
            items: list[object] = []
            for index, item in enumerate(node.value):
                self.lines[*loc, index] = item.start_mark.line + 1
                items.append(self._value(item, (*loc, index)))
            return items
        return self._scalar(cast(yaml.ScalarNode, node), loc)

    def _scalar(self, node: yaml.ScalarNode, loc: Loc) -> object:
        self._count_one()
        quote = node.style if node.style in ("'", '"') else ""
        self.written[loc] = f"{quote}{node.value}{quote}"
        text = self._text(node)
        value: object
        kind = node.tag.removeprefix(_TAG)
        if self._is_json:
            value = json.loads(text) if node.style is None else text
        elif kind == "str":
            value = float(text) if node.style is None and _EXPONENT.fullmatch(text) else text
        elif kind == "null":
            value = None
        elif kind in ("bool", "int", "float"):
            value = self._plain(node, loc, kind)
        else:
            # Dates (`timestamp`), `!!binary`, `=`, and tags of other programs.
            what = "a date" if kind == "timestamp" else f"a value of type `{kind}`"
            fix = f'YAML reads this as {what}; put it in quotes: "{text}"'
            self._problem(loc, node, text, fix)
            return text
        if isinstance(value, float) and not math.isfinite(value):
            self._problem(loc, node, text, "write a finite number; NaN and infinity are refused")
        return value

    def _plain(self, node: yaml.ScalarNode, loc: Loc, kind: str) -> object:
        try:
            if kind == "bool":
                return self._scalars.construct_yaml_bool(node)
            number = (
                self._scalars.construct_yaml_int(node)
                if kind == "int"
                else self._scalars.construct_yaml_float(node)
            )
        except (ValueError, KeyError):
            fix = f'this is not a valid {kind}; put it in quotes if it is text: "{node.value}"'
            self._problem(loc, node, node.value, fix)
            return str(node.value)
        if ":" in node.value or (kind == "int" and _OCTAL.fullmatch(node.value)):
            base = 60 if ":" in node.value else 8
            fix = (
                f"YAML reads this as {number} (base {base}); write that number, or put it in "
                f'quotes if it is text: "{node.value}"'
            )
            self._problem(loc, node, node.value, fix)
        return number

    def _count_one(self) -> None:
        self._count += 1
        if self._count > _MAX_VALUES:
            raise _TooManyValuesError

    def _text(self, node: yaml.Node) -> str:
        text = str(node.value)
        if self._is_json:
            # JSON writes characters beyond the basic plane as two escapes, which YAML keeps apart.
            return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text

    def _problem(self, loc: Loc, node: yaml.Node, written: str, fix: str) -> None:
        self.problems.append(SourceProblem(loc, node.start_mark.line + 1, written, fix))

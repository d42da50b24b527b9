"""YAML that every parser reads as the same strings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import yaml

__all__ = ["yaml_text"]

# Parsers differ about 1e3, 0o17, 12:30, y and on: what is not plainly a word is quoted.
_PLAIN = re.compile(r"(--?)?[A-Za-z][A-Za-z0-9_/.-]*|/[A-Za-z0-9_/.-]+")
_READ_AS_SOMETHING_ELSE = frozenset(
    {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}
)
_NO_FOLDING = 2**31


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        """Anchors are legal, and nobody wants to read them in a manifest."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _READ_AS_SOMETHING_ELSE
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _text)


def yaml_text(header: Sequence[str], *documents: Mapping[str, object]) -> str:
    """The documents under a comment of one-line ``header`` lines."""
    comment = "".join(f"# {line}\n" for line in header)
    bodies = [
        yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_NO_FOLDING)
        for document in documents
    ]
    return comment + "---\n".join(bodies)

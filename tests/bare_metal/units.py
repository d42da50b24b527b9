"""Reads systemd units as systemd does, as far as ours go."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

__all__ = ["FOLDER", "environment_file", "read_unit", "start_words"]

FOLDER = Path(__file__).parents[2] / "cluster" / "bare-metal"


def read_unit(path: Path) -> dict[str, str]:
    """Settings of all sections; none of ours is set twice."""
    settings: dict[str, str] = {}
    for line in path.read_text().replace("\\\n", " ").splitlines():
        if line and line[0] not in "#;[":
            name, _, value = line.partition("=")
            assert name not in settings, f"{path.name}: {name} is set twice"
            settings[name] = value
    return settings


def environment_file(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and line[0] not in "#;"]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def start_words(unit: Mapping[str, str], environment: Mapping[str, str]) -> list[str]:
    """ExecStart with its variables: ``${NAME}`` within a word, ``$NAME`` as words of its own."""
    words = []
    for word in shlex.split(unit["ExecStart"]):
        if re.fullmatch(r"\$\w+", word):
            words += environment[word[1:]].split()
        else:
            words.append(re.sub(r"\$\{(\w+)\}", lambda match: environment[match[1]], word))
    return words

"""Paths in a study file: relative ones start at the folder of the file."""

from __future__ import annotations

import os
import re
from pathlib import Path

from autotuner.spec.source_lines import Loc
from autotuner.spec.study_problems import Problems

__all__ = ["StudyPaths"]

_LOCAL = re.compile(r"/|\.{1,2}/|~|\.{1,2}$")
_DATA_SUFFIXES = frozenset({".txt", ".csv", ".json", ".jsonl"})


class StudyPaths:
    """Makes the paths of one study file absolute."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._folder = problems.source.path.absolute().parent

    def absolute(self, text: str, loc: Loc) -> str:
        """A path, absolute and without ``..``; symbolic links stay.

        A virtual environment's ``bin/python`` is such a link, and would be another program
        if it were followed.
        """
        try:
            return os.path.normpath(self._folder / Path(text).expanduser())
        except RuntimeError:
            fix = "the home folder that `~` stands for is not known; write the path in full"
            self._problems.add(loc, fix)
            return text

    def program(self, text: str | None, loc: Loc) -> str | None:
        """A program: a bare name stays, and is looked up on the node; all else is a path."""
        if text is None or "/" not in text:
            return text
        return self.absolute(text, loc)

    def path_or_hub_id(self, text: str, loc: Loc) -> str:
        """A path, made absolute, or a hub id, kept as it is."""
        is_path = _LOCAL.match(text) is not None or self._exists(text)
        return self.absolute(text, loc) if is_path else text

    def prompts(self, text: str, loc: Loc) -> str:
        """As `path_or_hub_id`, but a name that ends like a data file is no hub id."""
        is_file = Path(text).suffix.lower() in _DATA_SUFFIXES
        return self.absolute(text, loc) if is_file else self.path_or_hub_id(text, loc)

    def _exists(self, text: str) -> bool:
        try:
            return (self._folder / text).exists()
        except OSError:
            return False

"""Commands that take down what a dead attempt has left outside of its node's process table.

A container or a cluster object does not end with the process that wanted it. Before one is made,
the command that removes it is put beside the attempt's lease as ``*.will.json``; the sweep that
finds the attempt dead carries it out.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Will", "wills_in"]

_PATIENCE_S = 60.0
_TOLD_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Will:
    """A command whose success means that nothing is left. Can be carried out any number of times.

    Its words and variables hold no secrets.
    """

    command: tuple[str, ...]
    token: str
    """Of the attempt's lease."""
    environment: Mapping[str, str]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    def carry_out(self, timeout_s: float = _PATIENCE_S) -> str | None:
        """Run the command; why something may be left, or None where nothing is."""
        try:
            done = subprocess.run(
                self.command,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return f"{type(error).__name__}: {error}"
        if done.returncode == 0:
            return None
        lines = (done.stderr or done.stdout).strip().splitlines()
        return (lines[-1] if lines else f"exit status {done.returncode}")[:_TOLD_CHARACTERS]


def wills_in(folder: Path) -> list[Will]:
    """The wills of an attempt's folder; one that was not written to its end is none."""
    found = []
    for path in sorted(folder.glob("*.will.json")):
        try:
            content = json.loads(path.read_text())
            found.append(
                Will(tuple(content["command"]), content["token"], dict(content["environment"]))
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue  # torn: the keeper that it was for has not been started yet
    return found

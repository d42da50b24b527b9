"""Which flags the engine of this node knows: it is asked once, and its answer is kept.

Asking takes as long as the engine's imports do, tens of seconds. What was kept is believed where it
knows all flags of a study; before a flag is called unknown, the engine is asked again, for its
version at least: an engine can change under a program that does not.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from autotuner.engines.base import Engine
from autotuner.engines.flag_help import FlagHelp
from autotuner.engines.registry import load_engine
from autotuner.errors import PlanError
from autotuner.launchers.base import Launcher
from autotuner.launchers.registry import load_launcher
from autotuner.node.compile_cache import own_cache_folder
from autotuner.spec.experiment import content_id
from autotuner.spec.launching import DockerSettings
from autotuner.spec.secret_flags import is_secret_flag
from autotuner.spec.server import ServerConfig, Value

__all__ = ["ASK_S", "FlagFault", "FlagLook", "FlagUses", "look_at_flags"]

FlagUses = Mapping[str, Sequence[Value]]
"""Every flag of a study -> its values."""

ASK_S = 90.0
"""For all that an engine is asked."""
_FOLDER = "flags"
# As wide as it takes: a name that is cut at a hyphen is not found.
_PLAIN = {"COLUMNS": "1000", "NO_COLOR": "1", "PYTHON_COLORS": "0"}


@dataclass(frozen=True, slots=True)
class FlagFault:
    """A flag, or one of its values, that the engine is certain to refuse."""

    flag: str
    value: str | None
    """As it stands on the command line; None where the flag itself is wrong."""
    words: str
    """What the engine does not know, with what was probably meant."""


@dataclass(frozen=True, slots=True)
class FlagLook:
    """What the engine of a node says to the flags of a study."""

    engine: str
    """Its name and version, e.g. ``vllm 0.32.0``."""
    faults: tuple[FlagFault, ...] = ()
    unchecked: str | None = None
    """Why nothing could be looked at."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What an engine printed."""

    version: str
    help: str


def look_at_flags(server: ServerConfig, uses: FlagUses) -> FlagLook:
    """Hold the flags of a study against those that its engine knows on this node.

    Args:
        server: Says which engine, program and launcher; its flags are not looked at.
    """
    try:
        engine, launcher = load_engine(server.engine), load_launcher(server.launcher)
    except PlanError as error:
        return FlagLook(server.engine, unchecked=str(error))
    commands = engine.help_commands(server)
    if not commands:
        return FlagLook(server.engine, unchecked="it has no list of its flags")
    if not launcher.runs_programs:
        return FlagLook(server.engine, unchecked=f"launcher {launcher.name} starts only servers")
    environment = {**engine.environment(server), **server.environment}
    identity = launcher.identity(server, commands[0][0], environment)
    if identity is None:
        image = server.launch.image if isinstance(server.launch, DockerSettings) else None
        missing = commands[0][0] if image is None else f"image {image}"
        return FlagLook(server.engine, unchecked=f"{missing} is not on this node")
    kept = _kept_in(content_id([identity, server.engine, commands, sorted(environment.items())]))
    asked = _Asked(engine, launcher, server, environment, time.monotonic() + ASK_S)
    answer = _read(kept)
    if answer is None or (_faults(engine, answer, uses) and not asked.is_as_it_was(answer)):
        answer = asked.answer()
        if answer is None:
            return FlagLook(server.engine, unchecked="its --help does not list its flags")
        _keep(kept, answer)
    name = f"{server.engine} {answer.version}".strip()
    return FlagLook(name, _faults(engine, answer, uses))


@dataclass(frozen=True, slots=True)
class _Asked:
    """An engine to ask, until the deadline."""

    engine: Engine
    launcher: Launcher
    server: ServerConfig
    environment: Mapping[str, str]
    deadline: float

    def answer(self) -> _Answer | None:
        """None where it does not tell its flags, or not in time."""
        for command in self.engine.help_commands(self.server):
            text = self._printed(command)
            if self.engine.read_help(text) is not None:
                return _Answer(self.version(), text)
        return None

    def version(self) -> str:
        """Empty where it does not tell."""
        command = self.engine.version_command(self.server)
        return "" if command is None else self._printed(command).partition("\n")[0].strip()

    def is_as_it_was(self, answer: _Answer) -> bool:
        """Whether the engine is certain to be the one that gave the answer."""
        # While someone works on it, its flags change and its version does not.
        worked_on = self.engine.simulated or "dev" in answer.version
        return not worked_on and bool(answer.version) and self.version() == answer.version

    def _printed(self, command: Sequence[str]) -> str:
        left_s = self.deadline - time.monotonic()
        if left_s <= 0:
            return ""
        variables = {**self.environment, **_PLAIN}
        return self.launcher.printed_by(self.server, command, variables, timeout_s=left_s) or ""


def _faults(engine: Engine, answer: _Answer, uses: FlagUses) -> tuple[FlagFault, ...]:
    known = engine.read_help(answer.help)
    return () if known is None else tuple(_each_fault(known, uses))


def _each_fault(known: FlagHelp, uses: FlagUses) -> Iterator[FlagFault]:
    for flag, values in uses.items():
        if (words := known.name_fault(flag)) is not None:
            yield FlagFault(flag, None, words)
            continue
        if is_secret_flag(flag):
            continue
        for value in values:
            if (words := known.value_fault(flag, value)) is not None:
                yield FlagFault(flag, str(value), words)


def _kept_in(key: str) -> Path | None:
    root = own_cache_folder()
    return None if root is None else root / _FOLDER / f"{key}.json"


def _read(path: Path | None) -> _Answer | None:
    try:
        content = json.loads(path.read_text()) if path is not None else None
        return None if content is None else _Answer(content["version"], content["help"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(path: Path | None, answer: _Answer) -> None:
    if path is None:
        return
    content = json.dumps({"version": answer.version, "help": answer.help})
    half = path.with_suffix(f".{os.getpid()}")
    with suppress(OSError):  # then it is asked again next time
        path.parent.mkdir(mode=0o700, exist_ok=True)
        half.write_text(content)
        half.replace(path)

"""What the product asks of an engine: a command line, its variables, its size, its last words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import ClassVar

from autotuner.engines.flag_help import FlagHelp, normal_name, read_flag_help, value_text
from autotuner.engines.symptoms import Symptom, read_log
from autotuner.errors import PlanError
from autotuner.spec.experiment import FailureKind
from autotuner.spec.server import ServerConfig, Value

__all__ = [
    "Diagnosis",
    "Engine",
    "Rank",
    "flag_arguments",
    "is_python",
    "normal_name",
    "parallel_size",
    "refuse_flags",
]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why a server ended, as its own log tells it."""

    kind: FailureKind
    message: str
    """One sentence for the user."""
    evidence: str
    """The log line, or lines, that say so."""


@dataclass(frozen=True, slots=True)
class Rank:
    """One node's part of a server that spans several."""

    number: int
    """0 is the node whose part answers requests."""
    nodes: int
    master_address: str
    """Rank 0's node, as the others reach it."""
    master_port: int | str
    """Free on rank 0's node; may be a placeholder in a printed plan."""


class Engine(ABC):
    """How one kind of inference server starts. Stateless: no process, no file, no network."""

    name: ClassVar[str]
    bench_backend: ClassVar[str]
    """genai-bench's ``--api-backend``: "vllm" or "sglang", as "openai" drops ``ignore_eos``."""
    simulated: ClassVar[bool] = False
    """True where the measurements say nothing about real hardware."""
    api_key_variable: ClassVar[str | None] = None
    """Variable of the server's environment that makes it ask for a key; clients then send it."""
    version_path: ClassVar[str | None] = None
    """Path that answers with ``{"version": ...}``, where the server has one."""
    compile_caches: ClassVar[Mapping[str, str]] = {}
    """Variables that say where it keeps what it compiles -> a folder's name for each."""
    symptoms: ClassVar[Sequence[Symptom]]
    """What the engine's log is searched for, the most telling first."""
    help_lists: ClassVar[frozenset[str]] = frozenset({"host", "port"})
    """Flags by which a help that lists all of them is told from a short one."""
    takes_underscores: ClassVar[bool] = True
    """Whether ``--a_b`` is ``--a-b`` to it; of an engine of which nobody knows, it may be."""

    @abstractmethod
    def command(
        self, server: ServerConfig, *, host: str, port: int | str, served_name: str
    ) -> list[str]:
        """Argument list that starts the server; ``port`` may be a placeholder in a printed plan.

        Raises:
            PlanError: the configuration says something that this engine cannot take.
        """

    def rank_command(
        self, server: ServerConfig, rank: Rank, *, host: str, port: int | str, served_name: str
    ) -> list[str]:
        """As `command`, for one node of a server that spans several.

        Every rank gets a host and a port that are free on its own node; requests go to rank 0.

        Raises:
            PlanError: the engine, or this configuration of it, cannot span nodes.
        """
        raise PlanError(f"engine {self.name!r} cannot span nodes: {_ONE_NODE}")

    def rank_environment(self, server: ServerConfig, address: str) -> dict[str, str]:
        """Variables that a rank needs beside `environment`; ``address`` is its own node's.

        Never one that the user has set.
        """
        return {}

    @abstractmethod
    def gpus(self, flags: Mapping[str, Value]) -> int:
        """GPUs that the parallel sizes among ``flags`` take, at least 1.

        Raises:
            PlanError: a size is no positive whole number, or is given in two spellings.
        """

    @abstractmethod
    def version_command(self, server: ServerConfig) -> list[str] | None:
        """Argument list that prints the engine's version on one line, or None where none can."""

    def help_commands(self, server: ServerConfig) -> Sequence[list[str]]:
        """Argument lists of which one prints all flags, the likeliest first; empty: none does."""
        return ()

    def read_help(self, text: str) -> FlagHelp | None:
        """The flags that a help text lists; None where it does not list all of them."""
        found = read_flag_help(text, exact=not self.takes_underscores)
        return found if found.lists(self.help_lists) else None

    def environment(self, server: ServerConfig) -> dict[str, str]:
        """Variables to add to ``server.environment``; never one that the user has set there."""
        return {}

    def diagnose(self, log: str, *, ready: bool) -> Diagnosis | None:
        """Read the end of a server's log.

        Args:
            log: The log, or its tail.
            ready: Whether the server had become ready. It turns a lack of memory at load into
                one under load, and rules out what can only go wrong at start.

        Returns:
            The most telling thing found, or None where the log says nothing known.
        """
        found = read_log(log, self.symptoms, ready=ready)
        return None if found is None else Diagnosis(*found)

    def refuse_command(self, server: ServerConfig) -> None:
        """For engines that build their own command: a template would be silently ignored."""
        if server.command:
            raise PlanError(
                f"engine {self.name!r} builds its own command: remove 'command', "
                "or set the engine to 'custom'"
            )


_ONE_NODE = (
    "raise resources.gpus_per_node, lower the parallel sizes, or exclude the wide ones under "
    "'exclude'"
)


def refuse_flags(engine: str, flags: Mapping[str, Value], names: Collection[str], why: str) -> None:
    """Refuse those of the names that are set, in whatever spelling.

    Raises:
        PlanError: one of them is.
    """
    for name, value in flags.items():
        if normal_name(name) in names and value is not None and value is not False:
            raise PlanError(
                f"engine {engine!r}: {name} = {value!r} cannot be set for a server that spans "
                f"nodes (resources.gpus_per_node): {why}"
            )


def flag_arguments(flags: Mapping[str, Value]) -> list[str]:
    """Command-line arguments for ``flags``, in the given order.

    ``True`` gives ``--flag``; ``False`` and ``None`` give nothing; other values give
    ``--flag value`` as two arguments, or ``--flag=value`` where the value starts with a dash
    and would be taken for a flag. A name that has dashes already keeps them (``-tp``).
    """
    arguments: list[str] = []
    for name, value in flags.items():
        if value is None or value is False:
            continue
        flag = name if name.startswith("-") else f"--{name}"
        if value is True:
            arguments.append(flag)
            continue
        text = value_text(value)
        if text.startswith("-"):
            arguments.append(f"{flag}={text}")
        else:
            arguments += [flag, text]
    return arguments


def parallel_size(flags: Mapping[str, Value], *spellings: str) -> int:
    """The size that ``flags`` give under one of its spellings; 1 where they give none.

    Spellings are compared without leading dashes and with ``_`` read as ``-``.

    Raises:
        PlanError: the value is no positive whole number, or two spellings are used.
    """
    given = {
        name: value
        for name, value in flags.items()
        if normal_name(name) in spellings
        if value is not None and value is not False
    }
    if not given:
        return 1
    if len(given) > 1:
        raise PlanError(f"{' and '.join(given)} set the same size: keep one of them")
    ((name, value),) = given.items()
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise PlanError(f"{name} = {value!r}: a parallel size is a whole number of at least 1")
    return value


def is_python(executable: str) -> bool:
    """Whether the program is a Python interpreter, by its name (``python``, ``python3.11``)."""
    return PurePath(executable).name.startswith("python")

"""The server's command line and environment, with its secrets as references."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from autotuner.engines.registry import load_engine
from autotuner.errors import UserError
from autotuner.spec.secret_flags import is_secret_flag
from autotuner.spec.server import ServerConfig, Value
from autotuner.spec.study import ENVIRONMENT_PREFIX
from autotuner.supervision.environment import MASK, is_secret_name

__all__ = [
    "SecretRef",
    "Word",
    "command_words",
    "environment_of",
    "masked_flags",
    "masked_parameters",
    "one_line",
    "secrets_of",
]

_MARK = "autotuner-secret:"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class SecretRef:
    """A secret by the name of the variable that holds it where the server is deployed."""

    name: str


Word = str | SecretRef


def command_words(
    server: ServerConfig, *, host: str, port: int, served_name: str
) -> tuple[Word, ...]:
    """The argument list that starts the server.

    Raises:
        UserError: an argument that no process can be given.
    """
    marked = {
        name: f"{_MARK}{_variable_of(name)}" if _is_secret_flag(name, value) else value
        for name, value in server.flags.items()
    }
    words = load_engine(server.engine).command(
        replace(server, flags=marked), host=host, port=port, served_name=served_name
    )
    for word in words:
        if "\0" in word:
            raise UserError(f"the argument {word!r} holds a zero byte, which no process can take")
    return tuple(
        SecretRef(word.removeprefix(_MARK)) if word.startswith(_MARK) else word for word in words
    )


def environment_of(server: ServerConfig) -> dict[str, Word]:
    """Every variable that the server needs, those of its engine included.

    Raises:
        UserError: a name that shells and clusters refuse, or a value that no process can take.
    """
    given = {**load_engine(server.engine).environment(server), **server.environment}
    for name, value in given.items():
        if not _VARIABLE.fullmatch(name):
            raise UserError(f"the environment variable {name!r} has no name that can be exported")
        if "\0" in value:
            raise UserError(f"the value of {name} holds a zero byte, which no process can take")
    return {n: SecretRef(n) if _is_secret(n, v) else v for n, v in given.items()}


def secrets_of(words: Sequence[Word]) -> tuple[str, ...]:
    """Names of the secrets among the words, each once."""
    return tuple(dict.fromkeys(word.name for word in words if isinstance(word, SecretRef)))


def masked_flags(server: ServerConfig) -> dict[str, Value]:
    return {n: MASK if _is_secret_flag(n, v) else v for n, v in server.flags.items()}


def masked_parameters(parameters: Mapping[str, Value]) -> dict[str, Value]:
    return {n: MASK if _is_secret_parameter(n) else v for n, v in parameters.items()}


def one_line(text: str) -> str:
    """Text for a comment: one line, whatever a value of the study holds."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def _is_secret(name: str, value: str) -> bool:
    return value == MASK or is_secret_name(name)


def _is_secret_flag(name: str, value: Value) -> bool:
    return value == MASK or is_secret_flag(name)


def _is_secret_parameter(name: str) -> bool:
    if name.startswith(ENVIRONMENT_PREFIX):
        return is_secret_name(name.removeprefix(ENVIRONMENT_PREFIX))
    return _is_secret_flag(name, None)


def _variable_of(flag: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", flag.lstrip("-").upper())

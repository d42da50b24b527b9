"""The server's command and variables as Kubernetes takes them, with secrets by reference only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from autotuner.launchers.base import LaunchRequest
from autotuner.spec.secret_flags import is_secret_flag
from autotuner.spec.server import ServerConfig
from autotuner.supervision.environment import is_secret_name

__all__ = ["HOST", "PORT", "ServerWords", "literal", "server_words"]

HOST = "0.0.0.0"  # noqa: S104 - of the pod, which has an address of its own
PORT = 8000

# GPUs are given to the pod and not chosen in it; of those it has, it may see all.
_GPU_CHOICES = frozenset({"CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"})
_SHORTEST_SECRET = 6
"""A shorter value is looked for as a whole argument only: as part of one it is a common word."""


@dataclass(frozen=True, slots=True)
class ServerWords:
    """What is run; only ``secrets`` holds secrets."""

    command: tuple[str, ...]
    """Program and arguments; ``$(NAME)`` is filled in by Kubernetes."""
    variables: Mapping[str, str]
    """Name -> value as Kubernetes takes it."""
    secrets: Mapping[str, str]
    """Name of a variable -> its value."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """The command without what starts the program: from its first flag on."""
        first = next(
            (at for at, word in enumerate(self.command) if word.startswith("--")),
            len(self.command),
        )
        return self.command[first:]


def server_words(request: LaunchRequest, server: ServerConfig) -> ServerWords:
    """What is run of ``server``, which is that of the request, perhaps with its model elsewhere."""
    variables = {n: v for n, v in request.variables.items() if n not in _GPU_CHOICES}
    secrets = {n: v for n, v in variables.items() if v and is_secret_name(n)}
    for name, value in server.flags.items():
        if is_secret_flag(name) and value not in (None, True, False, *secrets.values()):
            secrets[_variable(name, {*variables, *secrets})] = str(value)
    command = request.command(server, HOST, PORT)
    return ServerWords(
        command=tuple(_without_secrets(word, secrets) for word in command),
        variables={
            n: _without_secrets(v, secrets) for n, v in variables.items() if n not in secrets
        },
        secrets=secrets,
    )


def literal(text: str) -> str:
    """Kubernetes fills in $(NAME) in commands and variables; $$ stands for one dollar sign."""
    return text.replace("$", "$$")


def _without_secrets(text: str, secrets: Mapping[str, str]) -> str:
    """The text with references to the variables whose values it holds."""
    by_value = {value: name for name, value in secrets.items()}
    if text in by_value:
        return f"$({by_value[text]})"
    long = sorted((v for v in by_value if len(v) >= _SHORTEST_SECRET), key=len, reverse=True)
    if not long:
        return literal(text)
    pieces = re.split("(" + "|".join(map(re.escape, long)) + ")", text)
    return "".join(
        f"$({by_value[piece]})" if piece in by_value and at % 2 else literal(piece)
        for at, piece in enumerate(pieces)
    )


def _variable(flag: str, taken: set[str]) -> str:
    """A variable for the value of a secret flag; the server itself looks for none of this name."""
    name = "AUTOTUNER_FLAG_" + re.sub(r"\W", "_", flag.lstrip("-")).upper()
    while name in taken:
        name += "_"
    return name

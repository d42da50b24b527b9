"""A shell script that starts the server on a machine with its engine."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from autotuner.export.deployment import Deployment
from autotuner.export.words import SecretRef, Word

__all__ = ["shell_lines", "shell_script", "shell_top", "shell_word"]


def shell_script(deployment: Deployment) -> str:
    """``bash`` script: variables, then the server in place of the shell."""
    notes = [*_devices_note(deployment), *_container_note(deployment)]
    variables = [
        f"export {name}={shell_word(word)}"
        for name, word in deployment.environment.items()
        if not isinstance(word, SecretRef)
    ]
    command = shell_lines(deployment.command_on_host)
    return "\n".join([shell_top(deployment, notes), *variables, f"exec {command}", ""])


def shell_top(deployment: Deployment, notes: Sequence[str] = ()) -> str:
    """Everything above the first variable: the comment, and what must be set by the caller."""
    lines = ["#!/usr/bin/env bash", *(f"# {line}" for line in (*deployment.header, *notes))]
    lines.append("set -euo pipefail")
    for name in deployment.secrets:
        lines += [f': "${{{name}:?set it}}"']
        if name in deployment.environment:
            lines += [f"export {name}"]
    return "\n".join(lines)


def shell_word(word: Word) -> str:
    """The word as bash reads it back unchanged; a secret is read from its variable."""
    return f'"${{{word.name}}}"' if isinstance(word, SecretRef) else shlex.quote(word)


def shell_lines(words: Sequence[Word]) -> str:
    """One flag and its value per line."""
    text = ""
    for index, word in enumerate(words):
        starts_flag = isinstance(word, str) and word.startswith("--")
        separator = " \\\n  " if starts_flag else " "
        text += (separator if index else "") + shell_word(word)
    return text


def _container_note(deployment: Deployment) -> list[str]:
    launch = deployment.server.launch
    if launch is None:
        return []
    inside = f"the image {launch.image}" if launch.image is not None else "a container"
    return [f"Measured in {inside}: the engine must be installed here as it is there."]


def _devices_note(deployment: Deployment) -> list[str]:
    if not deployment.gpus:
        return []
    noun = "GPU" if deployment.gpus == 1 else "GPUs"
    return [
        f"It takes {deployment.gpus} {noun}; choose them with CUDA_VISIBLE_DEVICES "
        "where the machine has more."
    ]

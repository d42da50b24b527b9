"""What a row must say about where it was measured."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping

from autotuner.engines.base import Engine
from autotuner.spec.server import ServerConfig

__all__ = ["engine_version", "host_name"]

_ANSWER_S = 60.0


def host_name() -> str:
    return socket.gethostname()


def engine_version(
    engine: Engine, server: ServerConfig, environment: Mapping[str, str]
) -> str | None:
    """What the engine's own version command prints; None where it has none or fails."""
    command = engine.version_command(server)
    if command is None:
        return None
    try:
        answer = subprocess.run(
            command,
            env=dict(environment),
            cwd=os.sep,
            capture_output=True,
            text=True,
            timeout=_ANSWER_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = answer.stdout.split("\n")
    return lines[0].strip() or None

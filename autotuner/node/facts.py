"""What a row must say about where it was measured."""

from __future__ import annotations

import socket

from autotuner.bench.base import Target
from autotuner.bench.chat_client import answer_of
from autotuner.engines.base import Engine

__all__ = ["host_name", "served_version"]

_ANSWER_S = 10.0


def host_name() -> str:
    return socket.gethostname()


def served_version(engine: Engine, target: Target) -> str | None:
    """The engine's version by its own server's word; None where it does not tell it."""
    if engine.version_path is None:
        return None
    try:
        answer = answer_of(
            target.url, engine.version_path, timeout_s=_ANSWER_S, api_key=target.api_key
        )
    except OSError:
        return None
    version = answer.get("version") if isinstance(answer, dict) else None
    return version if isinstance(version, str) and version else None

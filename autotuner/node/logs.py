"""The logs of an attempt on their way to the results folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from autotuner.supervision.environment import mask_secrets

__all__ = ["collect_logs"]

_KEPT_BYTES = 2_000_000


def collect_logs(folder: Path, secrets: Iterable[str]) -> dict[str, str]:
    """The ``*.log`` files of ``folder``: name -> text, long ones without their middle."""
    hidden = tuple(secrets)
    return {
        path.name: _read(path, hidden)
        for path in sorted(folder.glob("*.log"))
        if path.stat().st_size > 0
    }


def _read(path: Path, secrets: Sequence[str]) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _KEPT_BYTES:
            return _masked(file.read(), secrets)
        head = _masked(file.read(_KEPT_BYTES // 2), secrets)
        file.seek(-_KEPT_BYTES // 2, os.SEEK_END)
        tail = _masked(file.read(), secrets)
    # A secret that the cut has gone through is not recognised; it lies within this of the cut.
    edge = max((len(secret.encode()) for secret in secrets), default=0)
    head, tail = head[: len(head) - edge], tail[edge:]
    return f"{head}\n[... {size - _KEPT_BYTES + 2 * edge} bytes left out ...]\n{tail}"


def _masked(raw: bytes, secrets: Sequence[str]) -> str:
    return mask_secrets(raw.decode(errors="replace"), secrets)

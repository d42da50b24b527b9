"""The logs of an attempt on their way to the results folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from autotuner.supervision.environment import mask_secrets

__all__ = ["collect_logs"]

_KEPT_BYTES = 2_000_000


def collect_logs(folder: Path, secrets: Iterable[str]) -> dict[str, str]:
    """The ``*.log`` files of ``folder``: name -> text, long ones without their middle."""
    hidden = tuple(secrets)
    return {
        path.name: mask_secrets(_read(path), hidden)
        for path in sorted(folder.glob("*.log"))
        if path.stat().st_size > 0
    }


def _read(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _KEPT_BYTES:
            return file.read().decode(errors="replace")
        head = file.read(_KEPT_BYTES // 2).decode(errors="replace")
        file.seek(-_KEPT_BYTES // 2, os.SEEK_END)
        tail = file.read().decode(errors="replace")
    return f"{head}\n[... {size - _KEPT_BYTES} bytes left out ...]\n{tail}"

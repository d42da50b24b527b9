"""Where Ray's dashboard, `ray logs` and its state API look for log files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray

__all__ = ["session_log_folder"]


def session_log_folder() -> Path | None:
    """The log folder of this node's Ray session; None where this Ray does not tell.

    Ray has no public way to it.
    """
    try:
        worker: Any = ray._private.worker
        folder = Path(worker.global_worker.node.get_logs_dir_path())
    except (AttributeError, TypeError):
        return None
    return folder if folder.is_dir() else None

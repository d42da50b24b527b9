"""Labels of our containers: whose they are, and whether their owner lives."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path

from autotuner.supervision.lease import Lease, boot_id, lease_lives

__all__ = ["LEASE_LABEL", "is_left_behind", "labels_of"]

LEASE_LABEL = "autotuner.lease"
"""The token of the attempt's lease: no other container has the same."""


def labels_of(lease: Lease) -> dict[str, str]:
    """Labels of the container of an attempt."""
    return {
        LEASE_LABEL: lease.token,
        "autotuner.study": lease.study_id,
        "autotuner.experiment": lease.attempt_id.rpartition("-a")[0],
        "autotuner.attempt": lease.attempt_id,
        "autotuner.host": platform.node(),
        "autotuner.boot": lease.boot_id,
        "autotuner.folder": str(lease.folder),
        "autotuner.leases": _identity(lease.folder.parent),
    }


def is_left_behind(labels: Mapping[str, str], root: Path) -> bool:
    """Whether the attempt of a container with these labels is certainly dead.

    Args:
        root: The folder of leases that we can look into. One daemon may serve several of them, of
            other users or of Ray in containers, and of those we know nothing.
    """
    if LEASE_LABEL not in labels or labels.get("autotuner.host") != platform.node():
        return False
    if labels.get("autotuner.boot") != boot_id():
        return True  # the node was started anew since
    if labels.get("autotuner.leases") != _identity(root):
        return False
    folder = root / Path(labels.get("autotuner.folder", "")).name
    return not lease_lives(folder, labels[LEASE_LABEL])


def _identity(folder: Path) -> str:
    """Which folder it is, whatever path leads to it from here."""
    state = folder.stat()
    return f"{state.st_dev}:{state.st_ino}"

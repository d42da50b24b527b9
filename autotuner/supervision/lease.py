"""The scratch folder of an attempt on its node, which says who owns it for as long as he lives.

An attempt that is killed leaves its folder behind, and where even the supervisors were killed,
processes too. The folder is therefore a lease: it names the attempt, every process of the
attempt carries its token, and a lock that the kernel drops with the owner tells the living
from the dead. `autotuner.supervision.sweep` ends what belongs to the dead.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from autotuner.errors import LaunchError

__all__ = [
    "LEASE_FILE",
    "Lease",
    "boot_id",
    "held_lease",
    "lease_lives",
    "lease_root",
    "pid_namespace",
    "root_lock",
]

LEASE_FILE = "lease.json"
_ROOT_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Lease:
    """An attempt's claim on its node, from before its first process to after its last."""

    attempt_id: str
    study_id: str
    token: str
    """Random; in the environment of every process of the attempt."""
    boot_id: str
    """Of the kernel that runs them: after a reboot none can be left."""
    pid_namespace: str
    """Containers may share the temporary folder; process ids mean something in one of them."""
    folder: Path
    """Scratch folder of the attempt, private to its user."""


def lease_root() -> Path:
    """The folder of all leases of this user on this node; made where it is missing.

    Raises:
        LaunchError: it cannot be made, or belongs to somebody else.
    """
    root = Path(tempfile.gettempdir()) / f"autotuner-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    # Anyone can make a folder of this name in a shared temporary folder.
    if root.is_symlink() or root.stat().st_uid != os.getuid():
        raise LaunchError(f"{root} belongs to another user: remove it, or set TMPDIR on the node")
    return root


@contextmanager
def held_lease(attempt_id: str, study_id: str, mark: str | None = None) -> Iterator[Lease]:
    """A new lease, held until the end of the block; its folder is removed then.

    Args:
        mark: What its folder's name begins with; None: the attempt's id.

    Raises:
        LaunchError: there is no place for the folder that is ours.
        OSError: the folder cannot be written.
    """
    root = lease_root()
    with root_lock(root):  # or a sweep could take the folder before it is locked
        folder = Path(tempfile.mkdtemp(prefix=f"{mark or attempt_id}-", dir=root))
        lease = Lease(attempt_id, study_id, uuid.uuid4().hex, boot_id(), pid_namespace(), folder)
        handle = os.open(folder / LEASE_FILE, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        content = {name: str(value) for name, value in asdict(lease).items()}
        os.write(handle, json.dumps(content).encode())
        yield lease
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def lease_lives(folder: Path, token: str) -> bool:
    """Whether the lease of this folder is held, or in a sweep's hands; False where it is gone."""
    try:
        with root_lock(folder.parent), (folder / LEASE_FILE).open() as file:
            # Asked for and let go at once: nobody can hold what the root's lock keeps us from.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return _token(folder) == token
    return False


def _token(folder: Path) -> str | None:
    try:
        content = json.loads((folder / LEASE_FILE).read_text())
        return str(content["token"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def root_lock(root: Path) -> Iterator[None]:
    """Nobody else makes or claims a lease meanwhile."""
    handle = os.open(root / _ROOT_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def boot_id() -> str:
    """Identity of this start of the kernel."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def pid_namespace() -> str:
    """Identity of the namespace that our process ids belong to."""
    return str(Path("/proc/self/ns/pid").readlink())

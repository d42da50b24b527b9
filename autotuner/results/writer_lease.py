"""Who writes results where the kernel has no lock to give: an object that its writer renews.

No clock of another machine is trusted: a lease has run out when whoever wants it has seen no
renewal for `EXPIRY_S` by its own clock. The store cannot refuse the second of two writers that
begin in the same moment, so each looks again after `_SETTLE_S` whether its own lease has stayed.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from autotuner.errors import OutputError
from autotuner.results.place import Place

__all__ = ["EXPIRY_S", "Holder", "WriterLease", "holder_of", "is_held", "new_holder"]

EXPIRY_S = 60.0
RENEWAL_S = 10.0
_SETTLE_S = 3.0
_POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Holder:
    """What a lease says."""

    host: str
    pid: int
    token: str
    """Random, of one driver."""
    renewals: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def new_holder() -> Holder:
    """This process."""
    return Holder(socket.gethostname(), os.getpid(), uuid.uuid4().hex)


def holder_of(place: Place) -> Holder | None:
    """Who holds the lease, alive or not; None where there is none. Raises OSError."""
    try:
        content = json.loads(place.read_bytes())
        return Holder(**content) if isinstance(content, dict) else None
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):  # of a lock file, or torn on a file system without renaming
        return None


def is_held(place: Place, patience_s: float = EXPIRY_S) -> bool:
    """Whether the lease's holder lives: it is renewed while we look. Raises OSError."""
    seen = holder_of(place)
    deadline = time.monotonic() + patience_s
    while seen is not None and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        if (now := holder_of(place)) is not None and now != seen:
            return True
        seen = now
    return False


class WriterLease:
    """A lease that is held, renewed by a thread until `release`. Made by `take`.

    Args:
        place: The lease's object.
        write: Puts its content there, whole.
    """

    def __init__(self, place: Place, holder: Holder, write: Callable[[Place, bytes], None]) -> None:
        self._place, self._holder, self._write = place, holder, write
        self._closing = threading.Event()
        self._lost_to: Holder | None = None
        self._renewed_at = time.monotonic()
        self._thread = threading.Thread(target=self._renew, name="writer's lease", daemon=True)

    @classmethod
    def take(
        cls,
        place: Place,
        holder: Holder,
        write: Callable[[Place, bytes], None],
        *,
        dead: str | None = None,
        on_note: Callable[[str], None] = lambda note: None,
    ) -> WriterLease:
        """Wait until a dead holder's lease has run out, and take it.

        Args:
            dead: Token of a holder that is known to have died: there is nothing to wait for.
            on_note: Told why it waits.

        Raises:
            OutputError: somebody else holds it, and lives.
            OSError: the store cannot be reached.
        """
        before = holder_of(place)
        if before is not None and before.token != dead:
            on_note(
                f"{place.parent} was last written by {before}, which may still run: waiting up to "
                f"{EXPIRY_S:.0f} s for a sign of life"
            )
            if is_held(place, EXPIRY_S):
                raise OutputError(_held_text(place, holder_of(place) or before))
        lease = cls(place, holder, write)
        lease._put(holder)
        time.sleep(_SETTLE_S)
        now = holder_of(place)
        if now is None or now.token != holder.token:
            raise OutputError(_held_text(place, now))
        lease._renewed_at = time.monotonic()
        lease._thread.start()
        return lease

    @property
    def is_sure(self) -> bool:
        """Whether nobody else can have taken it: it was renewed not long ago."""
        sure_s = EXPIRY_S - 2 * RENEWAL_S
        return self._lost_to is None and time.monotonic() - self._renewed_at < sure_s

    def check(self) -> None:
        """Raises:
        OutputError: another driver has taken the lease.
        """
        if self._lost_to is not None:
            raise OutputError(
                f"{self._place.parent} is now written by {self._lost_to}, since this driver's "
                f"lease was not renewed for {EXPIRY_S:.0f} s; this driver stops. What it had "
                "written is kept"
            )

    def release(self) -> bool:
        """Let go of it at once; False where the store cannot be reached, so that it runs out."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            now = holder_of(self._place)
            if now is not None and now.token == self._holder.token:
                self._place.unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def abandon(self) -> None:
        """Stop renewing, and leave it: what its holder wrote is not all there yet."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _put(self, holder: Holder) -> None:
        self._holder = holder
        self._write(self._place, json.dumps(asdict(holder)).encode())

    def _renew(self) -> None:
        while not self._closing.wait(RENEWAL_S):
            began = time.monotonic()
            try:
                now = holder_of(self._place)
                if now is not None and now.token != self._holder.token:
                    self._lost_to = now
                    return
                self._put(replace(self._holder, renewals=self._holder.renewals + 1))
            except (OSError, OutputError):
                continue  # the next time, perhaps
            self._renewed_at = began


def _held_text(place: Place, holder: Holder | None) -> str:
    return (
        f"{place.parent} is being written by {holder or 'another process'}; wait for its end, "
        "interrupt it, or choose another place with --output"
    )

"""Whether a server that just failed a level still answers."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

from autotuner.bench.base import Target
from autotuner.bench.chat_client import ask
from autotuner.engines.base import Engine
from autotuner.launchers.base import Server
from autotuner.node.failures import AttemptFailedError, log_end, server_ended, soon_ended
from autotuner.spec.experiment import Failed, FailureKind, Phase
from autotuner.spec.workload import Level

__all__ = ["answers"]

_PROBE_S = 30.0
"""A live server answers a one-token request within this time, however busy it just was."""
_POLL_S = 0.1


def answers(
    server: Server,
    target: Target,
    engine: Engine,
    *,
    after: Level,
    silent_s: float | None = None,
    no_token_s: float = _PROBE_S,
    check_cancelled: Callable[[], None] = lambda: None,
) -> bool:
    """Whether a request succeeds; False where the server answers it with an error.

    Args:
        silent_s: For how long the level had no token, where it was given up for that.
        no_token_s: Patience with the request, if it is less than the usual.
        check_cancelled: Asked while the request is out; raises to give it up.

    Raises:
        AttemptFailedError: the server has ended, or lives and does not answer.
    """
    patience_s = min(_PROBE_S, no_token_s)
    error = _Probe(target, patience_s).error(server, check_cancelled)
    if error is None:
        return True
    if soon_ended(server):
        raise AttemptFailedError(server_ended(server, engine, Phase.LOAD, ready=True)) from error
    if not isinstance(error, TimeoutError | ConnectionError):
        return False
    if silent_s is None:
        message = f"no request is answered after {after} ({error}), though the process lives"
    else:
        message = (
            f"no token for {silent_s:g} s under load (timeouts.no_token_s) at {after}, though the "
            f"process lives, nor for a request sent after it ({error})"
        )
    hung = Failed(FailureKind.SERVER_HUNG, Phase.LOAD, message, log_end(server.log_tail()))
    raise AttemptFailedError(hung) from error


class _Probe:
    """One small request, in a thread of its own: whoever waits for it can be called off."""

    def __init__(self, target: Target, patience_s: float) -> None:
        self._target, self._patience_s = target, patience_s
        self._socket: socket.socket | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def error(self, server: Server, check_cancelled: Callable[[], None]) -> OSError | None:
        """Send it, and wait for its end, the server's, or the end of patience."""
        deadline = time.monotonic() + self._patience_s
        self._thread.start()
        try:
            while self._thread.is_alive() and server.exit is None:
                check_cancelled()
                if time.monotonic() > deadline:
                    # An answer that drips, or stops after its first token, is none.
                    return TimeoutError(f"no whole answer within {self._patience_s:g} s")
                self._thread.join(_POLL_S)
            if self._thread.is_alive():
                return ConnectionError("the server has ended")
            if self._error is not None and not isinstance(self._error, OSError):
                raise self._error
            return self._error
        finally:
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _ask(self) -> None:
        try:
            ask(
                self._target,
                "Hello",
                max_tokens=1,
                timeout_s=self._patience_s,
                connected=self._connected,
            )
        except Exception as error:  # raised again where somebody sees it
            self._error = error

    def _connected(self, opened: socket.socket) -> None:
        self._socket = opened

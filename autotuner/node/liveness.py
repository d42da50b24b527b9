"""Whether a server that just failed a level still answers."""

from __future__ import annotations

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


def answers(server: Server, target: Target, engine: Engine, *, after: Level) -> bool:
    """Whether a request succeeds; False where the server answers it with an error.

    Raises:
        AttemptFailedError: the server has ended, or lives and does not answer.
    """
    try:
        ask(target, "Hello", max_tokens=1, timeout_s=_PROBE_S)
    except OSError as error:
        if soon_ended(server):
            ended = server_ended(server, engine, Phase.LOAD, ready=True)
            raise AttemptFailedError(ended) from error
        if not isinstance(error, TimeoutError | ConnectionError):
            return False
        message = f"no request is answered after {after} ({error}), though the process lives"
        evidence = log_end(server.log_tail())
        hung = Failed(FailureKind.SERVER_HUNG, Phase.LOAD, message, evidence)
        raise AttemptFailedError(hung) from error
    return True

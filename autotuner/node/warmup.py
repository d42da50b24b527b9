"""Requests that are sent and forgotten, in the shape of the traffic that follows.

The first batch after a start is slow (compilation, allocation, cold caches): measured, it
would blame the first level for it. It is also the first proof that the server generates.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any

from autotuner.bench.base import Target
from autotuner.bench.chat_client import ask, prompt_of
from autotuner.engines.base import Engine
from autotuner.launchers.base import Server
from autotuner.node.failures import AttemptFailedError, log_end, server_ended, soon_ended
from autotuner.spec.experiment import Failed, FailureKind, Phase
from autotuner.spec.workload import Workload

__all__ = ["warm_up"]

_POLL_S = 0.2
_MAX_THREADS = 128
_OUT_TOKENS = 64
"""Enough to batch decoding steps; the rest of a long answer would warm nothing more."""
_REFUSED = re.compile(r"HTTP 4\d\d")


def warm_up(
    server: Server,
    target: Target,
    engine: Engine,
    workload: Workload,
    *,
    timeout_s: float,
    check_cancelled: Callable[[], None],
) -> None:
    """Send the workload's warm-up requests, as many at once as its `warmed_concurrency`.

    Raises:
        AttemptFailedError: a request failed, the server ended, or the time is up.
    """
    count = workload.warmup_requests
    count = workload.warmed_concurrency if count is None else count
    if count == 0:
        return
    deadline = time.monotonic() + timeout_s
    pool = ThreadPoolExecutor(min(count, workload.warmed_concurrency, _MAX_THREADS))
    try:
        tokens_in, tokens_out = workload.typical_tokens
        prompt = pool.submit(prompt_of, target, tokens_in, timeout_s=timeout_s)
        _await([prompt], deadline, server, engine, check_cancelled)
        requests = [
            pool.submit(
                ask,
                target,
                prompt.result(),
                max_tokens=min(tokens_out, _OUT_TOKENS),
                timeout_s=timeout_s,
                request=workload.request,
            )
            for _ in range(count)
        ]
        _await(requests, deadline, server, engine, check_cancelled)
    finally:
        # Not waited for: a thread that hangs ends with the server's socket.
        pool.shutdown(wait=False, cancel_futures=True)


def _await(
    requests: Sequence[Future[Any]],
    deadline: float,
    server: Server,
    engine: Engine,
    check_cancelled: Callable[[], None],
) -> None:
    pending = set(requests)
    while pending:
        done, pending = wait(pending, timeout=_POLL_S, return_when=FIRST_EXCEPTION)
        check_cancelled()
        errors = [error for request in done if (error := request.exception()) is not None]
        if server.exit is not None or (errors and _may_be_dying(errors[0]) and soon_ended(server)):
            raise AttemptFailedError(server_ended(server, engine, Phase.WARMUP, ready=True))
        if errors:
            raise AttemptFailedError(_failed(errors[0], server))
        if pending and time.monotonic() > deadline:
            raise AttemptFailedError(_failed(TimeoutError(), server))


def _may_be_dying(error: BaseException) -> bool:
    return not isinstance(error, TimeoutError) and not _REFUSED.match(str(error))


def _failed(error: BaseException, server: Server) -> Failed:
    if isinstance(error, TimeoutError):
        kind, message = FailureKind.SERVER_HUNG, "warm-up requests were not answered in time"
    elif isinstance(error, OSError):
        kind, message = FailureKind.REQUESTS_FAILED, f"a warm-up request failed: {error}"
        if _REFUSED.match(str(error)):
            kind = FailureKind.CONFIG_REJECTED
            message = f"the server refuses the workload's requests: {error}"
    else:
        raise error
    return Failed(kind, Phase.WARMUP, message, log_end(server.log_tail()))

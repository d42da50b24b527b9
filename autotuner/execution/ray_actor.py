"""The Ray actor of one attempt: `run_attempt` behind a streaming method, and a way to stop it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import ray

from autotuner.execution.ray_logs import session_log_folder
from autotuner.node.events import AttemptEvent, AttemptOrder
from autotuner.node.experiment import run_attempt
from autotuner.spec.experiment import Timeouts

__all__ = ["ExperimentActor", "actor_class"]

_POLL_S = 1.0
_LAST_ACTS_S = 10.0
"""For an orderly end that nobody waits for any more."""


def actor_class() -> Any:
    """The class as Ray wants it.

    Ray never restarts it: a second try belongs on another slot, by the driver's decision.
    """
    remote: Any = ray.remote
    return remote(max_restarts=0, max_task_retries=0, concurrency_groups={"control": 1})(
        ExperimentActor
    )


class ExperimentActor:
    """Owns one attempt and its devices; dies with the driver. Made with `actor_class`.

    Ray ends it when the driver dies, but not where the node has lost the cluster: then neither
    side hears of the other, and the driver has the attempt repeated elsewhere. The driver
    therefore renews a lease; where it has run out, the attempt ends by itself.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._stop_reason: str | None = None
        self._renewed_at = time.monotonic()
        self._ended = threading.Event()

    def __repr__(self) -> str:
        return f"Experiment({self._label})"

    @ray.method(num_returns="streaming")
    def run(self, order: AttemptOrder) -> Iterator[AttemptEvent]:
        devices = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
        # Ray hands devices out in any order; sorted, equal sets mean equal topology.
        gpu_ids = sorted(devices, key=lambda device: (len(device), device))
        threading.Thread(target=self._watch_lease, args=(order.timeouts,), daemon=True).start()
        try:
            yield from run_attempt(
                order,
                gpu_ids=gpu_ids,
                should_stop=lambda: self._stop_reason,
                log_folder=session_log_folder(),
            )
        finally:
            self._ended.set()

    @ray.method(concurrency_group="control")
    def stop(self, reason: str) -> None:
        """End the attempt as cancelled within moments; ``run`` still yields its last events."""
        self._stop_reason = self._stop_reason or reason

    @ray.method(concurrency_group="control")
    def renew_lease(self) -> None:
        """The driver lives, and can be heard."""
        self._renewed_at = time.monotonic()

    def _watch_lease(self, timeouts: Timeouts) -> None:
        while time.monotonic() - self._renewed_at < timeouts.lease_s:
            time.sleep(_POLL_S)
        silent = f"the driver has been silent for {timeouts.lease_s:g} s (timeouts.lease_s)"
        self._stop_reason = self._stop_reason or silent
        self._ended.wait(_LAST_ACTS_S)
        # Whatever is left of the attempt goes with this process.
        os._exit(1)

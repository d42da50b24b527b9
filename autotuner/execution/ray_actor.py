"""The Ray actor of one attempt: `run_attempt` behind a streaming method, and a way to stop it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ray

from autotuner.node.events import AttemptEvent, AttemptOrder
from autotuner.node.experiment import run_attempt

__all__ = ["ExperimentActor", "actor_class"]


def actor_class() -> Any:
    """The class as Ray wants it.

    Ray never restarts it: a second try belongs on another slot, by the driver's decision.
    """
    remote: Any = ray.remote
    return remote(max_restarts=0, max_task_retries=0, concurrency_groups={"control": 1})(
        ExperimentActor
    )


class ExperimentActor:
    """Owns one attempt and its devices; dies with the driver. Made with `actor_class`."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._stop_reason: str | None = None

    def __repr__(self) -> str:
        return f"Experiment({self._label})"

    @ray.method(num_returns="streaming")
    def run(self, order: AttemptOrder) -> Iterator[AttemptEvent]:
        devices = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
        # Ray hands devices out in any order; sorted, equal sets mean equal topology.
        gpu_ids = sorted(devices, key=lambda device: (len(device), device))
        yield from run_attempt(order, gpu_ids=gpu_ids, should_stop=lambda: self._stop_reason)

    @ray.method(concurrency_group="control")
    def stop(self, reason: str) -> None:
        """End the attempt as cancelled within moments; ``run`` still yields its last events."""
        self._stop_reason = reason

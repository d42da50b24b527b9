"""The Ray actor of one attempt: `run_attempt` behind a streaming method, and a way to stop it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import ray

from autotuner.execution.base import Node
from autotuner.execution.ray_lease import DriverLease
from autotuner.execution.ray_logs import session_log_folder
from autotuner.execution.ray_ranks import own_address, own_devices, peers_of
from autotuner.node.events import AttemptEvent, AttemptOrder
from autotuner.node.experiment import run_attempt
from autotuner.node.spanning import Span

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
    """Owns one attempt and its devices; dies with the driver. Made with `actor_class`.

    Where the node has lost the cluster, the driver has the attempt repeated elsewhere. It
    therefore renews a lease; where that has run out, the attempt ends by itself.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._stop_reason: str | None = None
        self._lease = DriverLease(self._stop_for)

    def __repr__(self) -> str:
        return f"Experiment({self._label})"

    @ray.method(num_returns="streaming")
    def run(
        self, order: AttemptOrder, ranks: Sequence[tuple[Node, Any]] = ()
    ) -> Iterator[AttemptEvent]:
        """``ranks``: the attempt's further nodes and their actors, in order of rank."""
        self._lease.watch(order.timeouts.lease_s)
        span = Span(own_address(), peers_of(ranks)) if ranks else None
        try:
            yield from run_attempt(
                order,
                gpu_ids=own_devices(order),
                should_stop=lambda: self._stop_reason,
                log_folder=session_log_folder(),
                span=span,
            )
        finally:
            self._lease.end()

    @ray.method(concurrency_group="control")
    def stop(self, reason: str) -> None:
        """End the attempt as cancelled within moments; ``run`` still yields its last events."""
        self._stop_for(reason)

    @ray.method(concurrency_group="control")
    def renew_lease(self) -> None:
        """The driver lives, and can be heard."""
        self._lease.renew()

    def _stop_for(self, reason: str) -> None:
        self._stop_reason = self._stop_reason or reason

"""Clusters that grow and shrink by themselves: whether one does, and telling it what is needed.

Ray's autoscaler looks at what waits in Ray's queue, where nothing of ours ever does; so it is told
by a request, which stands until it is replaced. Ray knows one request for the whole cluster: of
several studies on one, the last to speak is heard until the next does.
"""

from __future__ import annotations

import importlib
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import ray
from ray.autoscaler.sdk import request_resources

from autotuner.spec.server import Footprint

__all__ = ["Growth", "bundles_of"]

_MOST_BUNDLES = 2000
"""More than any cluster holds; the autoscaler goes through all of them every few seconds."""
_A_LITTLE = 0.001
"""Of a resource that only says what a node is."""
_STATUS_KEY = b"__autoscaling_status"
_STATUS_S = 5
_LOOK_S = 60.0
_MADE_UP = re.compile("node_[0-9a-f]{40,}")


class Growth:
    """What the cluster is asked for by this process.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked_at = float("-inf")
        self._possible = False

    @property
    def possible(self) -> bool:
        """Whether an autoscaler looks after the cluster: what does not fit now may fit soon."""
        now = self._clock()
        if now - self._looked_at > _LOOK_S:
            self._looked_at = now
            self._possible = _has_first_autoscaler() or _has_second_autoscaler()
        return self._possible

    def request(self, demand: Mapping[Footprint, int]) -> None:
        """Ask for a cluster that could hold so many of each at once; empty: withdraw it.

        A hint that fails is no reason to end a study, whatever the reason.
        """
        if self.possible:
            with suppress(Exception):
                request_resources(bundles=bundles_of(demand))


def bundles_of(demand: Mapping[Footprint, int]) -> list[dict[str, float]]:
    """What the footprints take of single nodes, the widest first."""
    bundles: list[dict[str, float]] = []
    for need in sorted(demand, key=lambda footprint: -footprint.gpus):
        room = _MOST_BUNDLES - len(bundles)
        bundles += [_bundle(need) for _ in range(min(room, demand[need] * need.nodes))]
    return bundles


def _bundle(need: Footprint) -> dict[str, float]:
    bundle: dict[str, float] = {"CPU": need.cpus.reserve}
    if need.reserved_gpus:
        bundle["GPU"] = need.reserved_gpus
    if need.quota is not None:
        bundle[need.quota] = need.quota_share
    if need.gpu_type is not None:
        bundle[f"accelerator_type:{need.gpu_type}"] = _A_LITTLE
    return bundle


def _has_first_autoscaler() -> bool:
    """It writes what it does into the cluster's own store."""
    with suppress(Exception):
        store: Any = importlib.import_module("ray.experimental.internal_kv")
        report = json.loads(store._internal_kv_get(_STATUS_KEY))["autoscaler_report"]
        return _names_types(report["node_type_mapping"].values())
    return False


def _has_second_autoscaler() -> bool:
    """It counts the states that it has reported."""
    with suppress(Exception):
        raylet: Any = importlib.import_module("ray._raylet")
        messages: Any = importlib.import_module("ray.core.generated.autoscaler_pb2")
        client = raylet.GcsClient(ray.get_runtime_context().gcs_address)
        reply = messages.GetClusterStatusReply()
        reply.ParseFromString(client.get_cluster_status(timeout_s=_STATUS_S))
        reports = bool(reply.autoscaling_state.autoscaler_state_version)
        nodes = reply.cluster_resource_state.node_states
        return reports and _names_types(node.ray_node_type_name for node in nodes)
    return False


def _names_types(names: Iterable[str]) -> bool:
    """Whether nodes have types. One runs on every head, and where it may only look on, it makes
    up a type for each node."""
    return any(name and not _MADE_UP.fullmatch(name) for name in names)

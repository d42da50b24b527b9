"""Clusters that grow and shrink by themselves: whether one does, and telling it what is needed.

Ray's autoscaler looks at what waits in Ray's queue, where nothing of ours ever does; so it is told
by a request, which stands until it is replaced. Ray knows one request for the whole cluster: of
several studies on one, the last to speak is heard until the next does.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import ray
from ray.autoscaler.sdk import request_resources

from autotuner.spec.server import Footprint

__all__ = ["bundles_of", "can_grow", "request"]

_MOST_BUNDLES = 2000
"""More than any cluster holds; the autoscaler goes through all of them every few seconds."""
_A_LITTLE = 0.001
"""Of a resource that only says what a node is."""
_STATUS_KEY = b"__autoscaling_status"
_STATUS_S = 5


def can_grow() -> bool:
    """Whether an autoscaler looks after the cluster: what does not fit now may fit soon."""
    return _has_first_autoscaler() or _has_second_autoscaler()


def request(demand: Mapping[Footprint, int]) -> None:
    """Ask for a cluster that could hold so many of each at once; empty: withdraw it.

    A hint that fails is no reason to end a study, whatever the reason.
    """
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
        return store._internal_kv_get(_STATUS_KEY) is not None
    return False


def _has_second_autoscaler() -> bool:
    """It counts the states that it has reported."""
    with suppress(Exception):
        raylet: Any = importlib.import_module("ray._raylet")
        messages: Any = importlib.import_module("ray.core.generated.autoscaler_pb2")
        client = raylet.GcsClient(ray.get_runtime_context().gcs_address)
        reply = messages.GetClusterStatusReply()
        reply.ParseFromString(client.get_cluster_status(timeout_s=_STATUS_S))
        return bool(reply.autoscaling_state.autoscaler_state_version)
    return False

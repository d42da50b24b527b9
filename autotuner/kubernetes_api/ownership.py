"""Whose objects are whose: labels, the sign that their owner lives, and their removal.

A sign of life is a Lease of the attempt, which its owner renews by the API server's clock. It is an
object of its own because of OME: that copies a service's labels and annotations to its pods, so
that every change of one would start the server anew.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from autotuner.kubernetes_api.cluster import Cluster, Object
from autotuner.kubernetes_api.faults import (
    ConflictError,
    ForbiddenError,
    NotThereError,
)
from autotuner.kubernetes_api.kinds import (
    BENCHMARK_JOB,
    INFERENCE_SERVICE,
    LEASE,
    POD,
    SECRET,
    SERVICE,
    SERVING_RUNTIME,
    Kind,
)

__all__ = [
    "LEASE_LABEL",
    "MANAGED",
    "OME_KINDS",
    "POD_KINDS",
    "STALE_S",
    "labels_of",
    "owned_by_the_dead",
    "remove_left_behind",
    "remove_of_lease",
    "renew",
    "sign_of_life",
]

LEASE_LABEL = "autotuner/lease"
"""The token of the attempt's lease on its node: no other attempt has the same."""
MANAGED = {"app.kubernetes.io/managed-by": "autotuner"}
_KINDS_ANNOTATION = "autotuner/launcher"
STALE_S = 600.0
"""Objects whose owner has not renewed its sign of life for so long are nobody's."""

POD_KINDS = (POD, SERVICE)
"""What servers in pods are made of, in the order in which it is taken down."""
OME_KINDS = (BENCHMARK_JOB, INFERENCE_SERVICE, SERVING_RUNTIME, POD, SERVICE)
"""The same of OME's services; OME itself removes pods and services with theirs."""
_FOREGROUND = (INFERENCE_SERVICE, BENCHMARK_JOB)
_UNSEEN = (SECRET,)
"""Removed without looking: reading a namespace's secrets is no right that is needed for it."""
_POLL_S = 0.25
_ASK_AGAIN_S = 5.0


def labels_of(token: str, study_id: str, attempt_id: str) -> dict[str, str]:
    """Labels of everything that is made for an attempt."""
    named = {
        "autotuner/study": study_id,
        "autotuner/experiment": attempt_id.rpartition("-a")[0] or attempt_id,
        "autotuner/attempt": attempt_id,
    }
    return {**MANAGED, LEASE_LABEL: token, **{n: _label_value(v) for n, v in named.items()}}


def sign_of_life(
    name: str, labels: Mapping[str, str], launcher: str, holder: str, now: datetime
) -> Object:
    """The Lease of an attempt, to be made before anything else."""
    return {
        "apiVersion": LEASE.api_version,
        "kind": LEASE.name,
        "metadata": {
            "name": name,
            "labels": dict(labels),
            "annotations": {_KINDS_ANNOTATION: launcher},
        },
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": int(STALE_S),
            "renewTime": _micro_time(now),
        },
    }


def renew(cluster: Cluster, name: str) -> None:
    """Say that the owner lives.

    Raises:
        NotThereError: the Lease is gone.
        KubernetesError: the server cannot be reached, or refuses.
    """
    cluster.patch(LEASE, name, {"spec": {"renewTime": _micro_time(cluster.now())}})


def owned_by_the_dead(cluster: Cluster) -> dict[str, Object]:
    """Token -> Lease of the attempts of this namespace whose owner is certainly dead.

    Raises:
        KubernetesError: they cannot be listed.
    """
    leases = cluster.select(LEASE, labels=MANAGED)
    if not leases:
        return {}
    limit = cluster.now() - timedelta(seconds=STALE_S)
    return {
        lease["metadata"]["labels"][LEASE_LABEL]: lease
        for lease in leases
        if LEASE_LABEL in lease["metadata"]["labels"]
        if (renewed := _renewed_at(lease)) is not None and renewed < limit
    }


def remove_left_behind(cluster: Cluster, kinds: Sequence[Kind]) -> list[str]:
    """Have everything removed that dead attempts have left in this namespace, without waiting.

    Args:
        kinds: Those that this launcher makes; another's are left to it.

    Returns:
        Names of the attempts of which something was still there.

    Raises:
        KubernetesError: the server cannot be reached, or refuses.
    """
    removed = []
    for token, lease in owned_by_the_dead(cluster).items():
        made_by = lease["metadata"].get("annotations", {}).get(_KINDS_ANNOTATION)
        if made_by == "ome" and INFERENCE_SERVICE not in kinds:
            continue
        with contextlib.suppress(TimeoutError):
            remove_of_lease(cluster, token, kinds, grace_s=1, timeout_s=0.0)
        removed.append(str(lease["metadata"]["name"]))
    return removed


def remove_of_lease(
    cluster: Cluster,
    token: str,
    kinds: Sequence[Kind],
    *,
    grace_s: int | None,
    timeout_s: float,
) -> None:
    """Remove everything of an attempt and wait until it is gone, the sign of life last.

    Args:
        grace_s: Between the signals to a pod; None: what the pod itself says.

    Raises:
        TimeoutError: something is left.
        KubernetesError: the server cannot be reached, or refuses.
    """
    labels = {LEASE_LABEL: token}
    deadline = time.monotonic() + timeout_s
    for kind in _UNSEEN:
        cluster.delete_all(kind, labels)
    asked: dict[str, float] = {}
    while left := [each for kind in kinds for each in _found(cluster, kind, labels)]:
        for kind, found in left:
            _have_removed(cluster, kind, found, grace_s, asked)
        if time.monotonic() >= deadline:
            names = ", ".join(f"{kind.name} {found['metadata']['name']}" for kind, found in left)
            raise TimeoutError(f"left in namespace {cluster.namespace}: {names}")
        time.sleep(_POLL_S)
    cluster.delete_all(LEASE, labels)


def _found(
    cluster: Cluster, kind: Kind, labels: Mapping[str, str]
) -> Iterator[tuple[Kind, Object]]:
    try:
        found = cluster.select(kind, labels=labels)
    except NotThereError:  # no such kind in this cluster
        return
    except ForbiddenError:
        if kind is BENCHMARK_JOB:  # then none of ours was made
            return
        raise
    yield from ((kind, each) for each in found)


def _have_removed(
    cluster: Cluster, kind: Kind, found: Object, grace_s: int | None, asked: dict[str, float]
) -> None:
    """Ask for the end of an object, once and then every few seconds."""
    metadata = found["metadata"]
    uid = str(metadata["uid"])
    if time.monotonic() < asked.get(uid, 0.0):
        return
    asked[uid] = time.monotonic() + _ASK_AGAIN_S
    with contextlib.suppress(ConflictError):  # another object by now
        cluster.delete(
            kind,
            metadata["name"],
            uid=uid,
            grace_s=grace_s if kind is POD else None,
            foreground=kind in _FOREGROUND,
        )


def _renewed_at(lease: Mapping[str, Any]) -> datetime | None:
    try:
        moment = datetime.fromisoformat(lease["spec"]["renewTime"])
    except (KeyError, TypeError, ValueError):  # not one of ours
        return None
    return moment if moment.tzinfo is not None else None


def _label_value(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text)[:63].strip("-_.")


def _micro_time(moment: datetime) -> str:
    """As Kubernetes spells a MicroTime, with all six digits."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

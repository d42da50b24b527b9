"""Making an attempt's objects, in order, or saying why that cannot be."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autotuner.kubernetes_api.cluster import Cluster
from autotuner.kubernetes_api.faults import (
    ForbiddenError,
    KubernetesError,
    NotThereError,
    QuotaError,
)
from autotuner.kubernetes_api.kinds import LEASE, kind_named, kind_of
from autotuner.kubernetes_api.ownership import sign_of_life
from autotuner.launchers.base import LaunchFault
from autotuner.launchers.kubernetes.ome_manifests import fitted
from autotuner.launchers.kubernetes.refusals import fault_of_refusal
from autotuner.spec.experiment import FailureKind

__all__ = ["LaunchFaultError", "bring_up"]

_QUOTA_PAUSE_S = 5.0

Object = dict[str, Any]
Order = Mapping[str, Any]


class LaunchFaultError(Exception):
    """A server cannot be started, or has been lost; never leaves this package."""

    def __init__(self, fault: LaunchFault) -> None:
        super().__init__(fault)
        self.fault = fault


def bring_up(
    cluster: Cluster, order: Order, told: Callable[[], bool], tell: Callable[[str], None]
) -> None:
    """Make the sign of life, then everything of the order; stops where it is told to end.

    Raises:
        LaunchFaultError: the cluster does not take it, or cannot be reached.
    """
    holder = f"{platform.node()}: attempt {order['labels']['autotuner/attempt']}"
    try:
        alive = sign_of_life(
            order["name"], order["labels"], order["launcher"], holder, cluster.now()
        )
        cluster.apply(alive)
    except KubernetesError as error:
        raise LaunchFaultError(
            fault_of_refusal(error, "create", LEASE, cluster.namespace)
        ) from error
    made: list[Object] = []
    for content in _objects(cluster, order, tell):
        if told():
            return
        made.append(_applied(cluster, content, order["unschedulable_s"], told, tell))
    _give_to_one(cluster, made)


def _objects(cluster: Cluster, order: Order, tell: Callable[[str], None]) -> Sequence[Object]:
    """The order's objects, for the base model where there is one."""
    objects: Sequence[Object] = order["objects"]
    if order.get("base_model") is None:
        return objects
    kind, name = kind_named(order["base_model_kind"]), order["base_model"]
    try:
        found = cluster.get(kind, name)
    except ForbiddenError:
        tell(f"we may not read the {kind.name} {name}: the runtime is made for the usual format")
        return objects
    except NotThereError as error:
        message = (
            f"ome.base_model = {name}: the cluster has no {kind.name} of this name; "
            f"`kubectl get {kind.plural}` lists those it has"
        )
        fault = LaunchFault(FailureKind.MODEL_NOT_FOUND, message, str(error))
        raise LaunchFaultError(fault) from error
    except KubernetesError as error:
        raise LaunchFaultError(fault_of_refusal(error, "get", kind, cluster.namespace)) from error
    return fitted(objects, found["spec"], order["model_path"])


def _applied(
    cluster: Cluster,
    content: Object,
    unschedulable_s: float,
    told: Callable[[], bool],
    tell: Callable[[str], None],
) -> Object:
    """The object as the cluster has it; a quota that is used up may have room again in time."""
    deadline = time.monotonic() + unschedulable_s
    waited = False
    while True:
        try:
            return cluster.apply(content)
        except KubernetesError as error:
            hopeless = not isinstance(error, QuotaError) or time.monotonic() > deadline
            if hopeless or told():
                fault = fault_of_refusal(error, "create", kind_of(content), cluster.namespace)
                raise LaunchFaultError(fault) from error
            if not waited:
                tell(f"waiting for room in the namespace's quota: {error}")
            waited = True
        time.sleep(min(_QUOTA_PAUSE_S, unschedulable_s))


def _give_to_one(cluster: Cluster, made: Sequence[Object]) -> None:
    """Have everything go with the pod or the service, whoever deletes that."""
    (owner,) = (each for each in made if each["kind"] in ("Pod", "InferenceService"))
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    for each in made:
        if each is owner:
            continue
        kind = kind_of(each)
        change = {"metadata": {"ownerReferences": [reference]}}
        try:
            cluster.patch(kind, each["metadata"]["name"], change)
        except KubernetesError as error:
            fault = fault_of_refusal(error, "patch", kind, cluster.namespace)
            raise LaunchFaultError(fault) from error

"""What servers in a Kubernetes cluster need, looked at from a node without starting one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autotuner.errors import LaunchError
from autotuner.kubernetes_api.cluster import Cluster
from autotuner.kubernetes_api.connection import Access, connected
from autotuner.kubernetes_api.faults import ForbiddenError, KubernetesError
from autotuner.kubernetes_api.kinds import (
    EVENT,
    INFERENCE_SERVICE,
    LEASE,
    NODE,
    POD,
    SECRET,
    SERVICE,
    SERVING_RUNTIME,
    VOLUME_CLAIM,
    Kind,
    kind_named,
)
from autotuner.launchers.base import Readiness
from autotuner.launchers.kubernetes.manifests import pod_settings
from autotuner.launchers.kubernetes.ome_manifests import ome_settings
from autotuner.launchers.kubernetes.removal import access_of
from autotuner.spec.launching import OmeSettings, PodSettings
from autotuner.spec.server import Footprint, ServerConfig

__all__ = ["look", "needed_rights"]

_PATIENCE_S = 5.0
_OWN = ("create", "patch", "get", "list", "watch", "delete")
_READ = ("get", "list", "watch")
# Names of secrets are never listed, and what they hold never read.
_SECRET_RIGHTS = ("create", "patch", "deletecollection")
_LEASE_RIGHTS = ("create", "patch", "get", "list", "deletecollection")

_Right = tuple[str, Kind, str]


def look(server: ServerConfig, footprint: Footprint) -> Sequence[Readiness]:
    """Everything that was looked at; as in `Launcher.check`."""
    found: list[Readiness] = []
    try:
        ome = ome_settings(server) if server.launcher == "ome" else None
        settings = pod_settings(server) if ome is None else ome.pod
        with connected(Access(**access_of(settings)), patience_s=_PATIENCE_S) as cluster:
            found.append(Readiness("Kubernetes API", f"{cluster.version()} at {cluster.server}"))
            found.append(_rights(cluster, ome))
            found += _objects(cluster, settings, ome)
            if footprint.gpus:
                found.append(_gpus(cluster, settings, footprint))
    except LaunchError as error:
        found.append(Readiness("Kubernetes", "settings", str(error)))
    except KubernetesError as error:
        fix = f"{error}; see `kubectl version` on this node"
        found.append(Readiness("Kubernetes API", "no answer", fix))
    return tuple(found)


def _rights(cluster: Cluster, ome: OmeSettings | None) -> Readiness:
    check = f"rights in namespace {cluster.namespace}"
    missing = []
    for verb, kind, subresource in needed_rights(ome):
        allowed, _ = cluster.can_i(verb, kind, subresource=subresource)
        if not allowed:
            name = f"{kind.resource}/{subresource}" if subresource else kind.resource
            missing.append(f"{verb} {name}")
    if not missing:
        return Readiness(check, "all that are needed")
    fix = (
        f"the account may not: {', '.join(missing)}; have `kubectl apply` give it the role of "
        "cluster/ome/rbac.yaml in this namespace"
    )
    return Readiness(check, f"{len(missing)} missing", fix)


def needed_rights(ome: OmeSettings | None) -> Iterator[_Right]:
    """Verb, kind and subresource of all that the launcher does; ``ome``: of OME's services."""
    pods = _OWN if ome is None else (*_READ, "delete")
    for kind in (POD, SERVICE):
        yield from ((verb, kind, "") for verb in pods)
    yield "get", POD, "log"
    yield from ((verb, EVENT, "") for verb in _READ if verb != "get")
    yield from ((verb, SECRET, "") for verb in _SECRET_RIGHTS)
    yield from ((verb, LEASE, "") for verb in _LEASE_RIGHTS)
    if ome is not None:
        yield from ((verb, INFERENCE_SERVICE, "") for verb in _OWN)
        yield from ((verb, SERVING_RUNTIME, "") for verb in _OWN)


def _objects(
    cluster: Cluster, settings: PodSettings, ome: OmeSettings | None
) -> Iterator[Readiness]:
    """What the study names and does not make."""
    if settings.model_claim is not None:
        yield _there(cluster, VOLUME_CLAIM, settings.model_claim, "model_claim")
    if ome is not None:
        kind = kind_named(ome.base_model_kind)
        yield _there(cluster, kind, ome.base_model, "ome.base_model")
        if ome.runtime is not None:
            yield _there(cluster, kind_named(ome.runtime_kind), ome.runtime, "ome.runtime")


def _there(cluster: Cluster, kind: Kind, name: str, key: str) -> Readiness:
    check = f"{kind.name} {name}"
    try:
        if cluster.find(kind, name) is not None:
            return Readiness(check, "there")
    except ForbiddenError:
        return Readiness(check, "not for this account to see")
    where = f"namespace {cluster.namespace}" if kind.namespaced else "the cluster"
    fix = f"{key} = {name}: {where} has no {kind.name} of this name; make it, or correct the key"
    return Readiness(check, "missing", fix)


def _gpus(cluster: Cluster, settings: PodSettings, footprint: Footprint) -> Readiness:
    """Whether a node has as many GPUs at all; most accounts may not see nodes."""
    check = f"nodes with {settings.gpu_resource}"
    try:
        nodes = cluster.select(NODE, labels=settings.node_selector or None)
    except ForbiddenError:
        return Readiness(check, "not for this account to see")
    most = max((_amount(node, settings.gpu_resource) for node in nodes), default=0)
    if most >= footprint.gpus_per_node:
        return Readiness(check, f"up to {most} on one node")
    fix = (
        f"an experiment takes {footprint.gpus_per_node} GPUs of one node, and no node that "
        f"node_selector leaves has more than {most}; correct gpu_resource or node_selector, "
        "unless nodes are added when they are asked for"
    )
    return Readiness(check, f"at most {most} on one node", fix, blocks=False)


def _amount(node: dict[str, object], resource: str) -> int:
    status = node.get("status")
    allocatable = status.get("allocatable") if isinstance(status, dict) else None
    told = str((allocatable or {}).get(resource, "0"))
    return int(told) if told.isdigit() else 0

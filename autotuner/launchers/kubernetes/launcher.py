"""Servers as pods of a Kubernetes cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autotuner.launchers.base import Launcher, LaunchRequest, Readiness, Server
from autotuner.launchers.kept import KeptServer
from autotuner.launchers.kubernetes.manifests import pod_manifests, pod_settings
from autotuner.launchers.kubernetes.parts import object_name
from autotuner.launchers.kubernetes.readiness import look
from autotuner.launchers.kubernetes.removal import access_of, removal_will
from autotuner.spec.launching import PodSettings
from autotuner.spec.server import Footprint, ServerConfig

__all__ = ["KubernetesLauncher", "kept_server", "order_of"]

_KEEPER = "autotuner.launchers.kubernetes.keeper"


class KubernetesLauncher(Launcher):
    """Starts the engine's command in a pod."""

    name = "kubernetes"

    def start(self, request: LaunchRequest) -> Server:
        objects = pod_manifests(request)
        settings = pod_settings(request.server)
        return kept_server(request, order_of(request, settings, "pods", objects))

    def check(
        self, server: ServerConfig, footprint: Footprint, *, fetch: bool = False
    ) -> Sequence[Readiness]:
        return look(server, footprint)


def order_of(
    request: LaunchRequest, settings: PodSettings, launcher: str, objects: list[dict[str, Any]]
) -> dict[str, Any]:
    """What the keeper needs to bring the server up. Holds secrets.

    Args:
        launcher: A key of `autotuner.launchers.kubernetes.removal.KINDS`.
        objects: In the order in which they are made; all bear the labels of the last one.
    """
    return {
        "launcher": launcher,
        "access": access_of(settings),
        "token": request.lease.token,
        "name": object_name(request),
        "labels": objects[-1]["metadata"]["labels"],
        "objects": objects,
        "image": settings.image,
        "unschedulable_s": settings.unschedulable_s,
        "gpus": request.footprint.gpus,
        "gpu_resource": settings.gpu_resource,
        "claim": settings.model_claim,
        "secret": settings.secret,
        "service_account": settings.service_account,
    }


def kept_server(request: LaunchRequest, order: dict[str, Any]) -> Server:
    """The server of an order, behind its keeper."""
    will = removal_will(order["token"], order["launcher"], order["access"])
    return KeptServer(_KEEPER, order, request.folder, will, stop_s=request.stop_s)

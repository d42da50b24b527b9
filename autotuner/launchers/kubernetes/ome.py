"""Servers as InferenceServices of OME."""

from __future__ import annotations

from collections.abc import Sequence

from autotuner.launchers.base import Launcher, LaunchRequest, Readiness, Server
from autotuner.launchers.kubernetes.launcher import kept_server, order_of
from autotuner.launchers.kubernetes.ome_manifests import ome_manifests, ome_settings
from autotuner.launchers.kubernetes.readiness import look
from autotuner.spec.server import Footprint, ServerConfig

__all__ = ["OmeLauncher"]


class OmeLauncher(Launcher):
    """Has OME start the engine's command."""

    name = "ome"

    def start(self, request: LaunchRequest) -> Server:
        settings = ome_settings(request.server)
        order = order_of(request, settings.pod, "ome", ome_manifests(request))
        order |= {
            # The keeper fits the objects to the base model: to ask for it may take its time.
            "base_model": settings.base_model,
            "base_model_kind": settings.base_model_kind,
            "model_path": request.server.model.path,
            "runtime": settings.runtime,
        }
        return kept_server(request, order)

    def check(
        self, server: ServerConfig, footprint: Footprint, *, fetch: bool = False
    ) -> Sequence[Readiness]:
        return look(server, footprint)

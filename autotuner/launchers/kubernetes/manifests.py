"""A server in a pod of its own, and the service in front of it."""

from __future__ import annotations

from typing import Any

from autotuner.errors import LaunchError
from autotuner.kubernetes_api.ownership import LEASE_LABEL
from autotuner.launchers.base import LaunchRequest
from autotuner.launchers.kubernetes.parts import (
    PORT_NAME,
    container,
    metadata,
    object_name,
    pod_fields,
    resources,
    secret,
    volumes,
)
from autotuner.launchers.kubernetes.words import PORT, server_words
from autotuner.spec.launching import PodSettings
from autotuner.spec.server import ServerConfig

__all__ = ["CONTAINER", "pod_manifests", "pod_settings"]

CONTAINER = "server"


def pod_settings(server: ServerConfig) -> PodSettings:
    """The server's settings of this launcher.

    Raises:
        LaunchError: it has none, or no image.
    """
    settings = server.launch
    if not isinstance(settings, PodSettings):
        raise LaunchError("the launcher kubernetes got settings of another launcher")
    if settings.image is None:
        raise LaunchError("engine.image: the launcher kubernetes needs the name of an image")
    return settings


def pod_manifests(request: LaunchRequest) -> list[dict[str, Any]]:
    """Secret (where there are secrets), Pod and Service, in the order in which they are made.

    Raises:
        LaunchError: the settings are not this launcher's, or do not fit together.
    """
    settings = pod_settings(request.server)
    words = server_words(request, request.server)
    name = object_name(request)
    meta = metadata(request, settings, name)
    runner = container(CONTAINER, settings.image, words, settings, name)
    pod_volumes, mounts = volumes(settings, request.server)
    runner |= {"command": [words.command[0]], "args": list(words.command[1:])}
    runner["volumeMounts"] = mounts
    if amounts := resources(settings, request.footprint):
        runner["resources"] = amounts
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": {
            # A server that is started anew has empty caches: its end is the end.
            "restartPolicy": "Never",
            **pod_fields(settings, request.stop_s),
            # No probes: readiness is asked for by the attempt, and they would add to its load.
            "containers": [runner],
            "volumes": pod_volumes,
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": dict(meta["labels"])},
        "spec": {
            "type": "ClusterIP",
            "selector": {LEASE_LABEL: meta["labels"][LEASE_LABEL]},
            "ports": [
                {"name": PORT_NAME, "port": PORT, "targetPort": PORT_NAME, "protocol": "TCP"}
            ],
        },
    }
    hidden = secret(meta, words)
    return [*([hidden] if hidden is not None else []), pod, service]

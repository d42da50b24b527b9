"""What the objects of both launchers are made of: names, container, volumes, secrets."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from autotuner.errors import LaunchError
from autotuner.kubernetes_api.ownership import labels_of
from autotuner.launchers.base import LaunchRequest
from autotuner.launchers.kubernetes.words import PORT, ServerWords
from autotuner.spec.launching import PodSettings
from autotuner.spec.server import Footprint, ServerConfig

__all__ = [
    "PORT_NAME",
    "container",
    "metadata",
    "object_name",
    "pod_fields",
    "resources",
    "secret",
    "secret_name",
    "volumes",
]

PORT_NAME = "http"
_MOST_NAME_CHARACTERS = 50
"""OME puts ``-engine`` and a pod's suffix behind it, and a host's name ends at 63."""
_TOKEN_CHARACTERS = 8

Object = dict[str, Any]


def object_name(request: LaunchRequest) -> str:
    """Name of the attempt's objects: no other attempt has the same."""
    token = request.lease.token[:_TOKEN_CHARACTERS]
    words = re.sub(r"[^a-z0-9]+", "-", request.attempt_id.lower()).strip("-")
    room = _MOST_NAME_CHARACTERS - len(token) - len("at--")
    return f"at-{words[:room].strip('-')}-{token}"


def metadata(request: LaunchRequest, settings: PodSettings, name: str) -> Object:
    """Name, labels and annotations; the study's own labels never replace ours."""
    own = labels_of(request.lease.token, request.study_id, request.attempt_id)
    labels = {**settings.labels, **own}
    found: Object = {"name": name, "labels": labels}
    if settings.annotations:
        found["annotations"] = dict(settings.annotations)
    return found


def secret_name(name: str) -> str:
    """Name of the Secret of the attempt with this name."""
    return f"{name}-secrets"


def secret(meta: Mapping[str, Any], words: ServerWords) -> Object | None:
    """The attempt's Secret; None where there is nothing to hide."""
    if not words.secrets:
        return None
    hidden = {"name": secret_name(meta["name"]), "labels": dict(meta["labels"])}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": hidden,
        "type": "Opaque",
        "stringData": dict(words.secrets),
    }


def container(
    name: str, image: str | None, words: ServerWords, settings: PodSettings, owner: str
) -> Object:
    """The server's container, without its command and its volumes.

    Args:
        name: Of the container.
        image: None: that of a runtime.
        owner: Name of the attempt's objects.
    """
    content: Object = {
        "name": name,
        "env": _variables(words, owner),
        "ports": [{"name": PORT_NAME, "containerPort": PORT, "protocol": "TCP"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if image is not None:
        content["image"] = image
    if settings.secret is not None:
        content["envFrom"] = [{"secretRef": {"name": settings.secret}}]
    if not content["env"]:
        del content["env"]
    return content


def resources(settings: PodSettings, footprint: Footprint) -> Object:
    """Requests and limits, which are the same: nothing of a measurement is left to chance."""
    amounts = dict(settings.requests)
    if footprint.gpus:
        # As text: Kubernetes stores quantities so, and a round trip must not change them.
        amounts[settings.gpu_resource] = str(footprint.gpus)
    return {"requests": amounts, "limits": dict(amounts)} if amounts else {}


def pod_fields(settings: PodSettings, stop_s: float) -> Object:
    """What is said of the pod as a whole."""
    content: Object = {
        # Variables of services, such as VLLM_PORT of one called vllm, would configure the engine.
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": max(1, math.ceil(stop_s)),
        "imagePullSecrets": [{"name": name} for name in settings.image_pull_secrets],
        "nodeSelector": dict(settings.node_selector),
        "tolerations": [dict(toleration) for toleration in settings.tolerations],
        "affinity": dict(settings.affinity),
        "serviceAccountName": settings.service_account,
        "runtimeClassName": settings.runtime_class,
    }
    return {name: value for name, value in content.items() if value not in (None, [], {})}


def volumes(
    settings: PodSettings, server: ServerConfig, *, model_elsewhere: bool = False
) -> tuple[list[Object], list[Object]]:
    """Volumes of the pod, and where the container has them.

    Args:
        model_elsewhere: Whether something else brings the model where the study does not say how.

    Raises:
        LaunchError: the settings do not say where the model goes.
    """
    mib = max(1, round(settings.shm_gib * 1024))
    shm: Object = {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{mib}Mi"}}
    found: list[Object] = [shm]
    mounts: list[Object] = [{"name": "shm", "mountPath": "/dev/shm"}]  # noqa: S108
    for at, (source, target) in enumerate(_model_volumes(settings, server, model_elsewhere)):
        name = f"model-{at}" if at else "model"
        found.append({"name": name, **source})
        mounts.append({"name": name, "mountPath": target, "readOnly": True})
    return found, mounts


def _model_volumes(
    settings: PodSettings, server: ServerConfig, model_elsewhere: bool
) -> Iterator[tuple[Object, str]]:
    path = server.model.path
    if settings.model_claim is not None:
        target = settings.model_mount or path
        if not target.startswith("/"):
            raise LaunchError(
                f"model_claim = {settings.model_claim}: the model {path} is no folder, so "
                "`model_mount` must say where the claim is mounted"
            )
        claim = {"claimName": settings.model_claim, "readOnly": True}
        yield {"persistentVolumeClaim": claim}, target
    elif settings.model_on_nodes and not (model_elsewhere and not path.startswith("/")):
        if not path.startswith("/"):
            raise LaunchError(
                f"model_on_nodes: the model {path} is no folder of the nodes; write its absolute "
                "path, or remove this key"
            )
        for folder in _folders(server):
            yield {"hostPath": {"path": folder, "type": "Directory"}}, folder


def _folders(server: ServerConfig) -> list[str]:
    """Folders of the nodes that the server reads, none of them within another."""
    paths = [server.model.path]
    for name, value in server.flags.items():
        if name.lstrip("-").replace("_", "-") in ("tokenizer", "tokenizer-path"):
            paths.append(str(value))
    folders = [_whole(PurePosixPath(path)) for path in paths if path.startswith("/")]
    kept: list[PurePosixPath] = []
    for folder in sorted(set(folders), key=lambda each: len(each.parts)):
        if not any(folder.is_relative_to(other) for other in kept):
            kept.append(folder)
    return [str(folder) for folder in kept]


def _whole(folder: PurePosixPath) -> PurePosixPath:
    """A snapshot of the hub's cache is made of links to its neighbours."""
    if folder.parent.name == "snapshots":
        return folder.parent.parent
    return folder


def _variables(words: ServerWords, owner: str) -> list[Object]:
    """Secrets first: later variables may refer to them."""
    hidden: list[Object] = [
        {
            "name": name,
            "valueFrom": {"secretKeyRef": {"name": secret_name(owner), "key": name}},
        }
        for name in words.secrets
    ]
    return [*hidden, *({"name": n, "value": v} for n, v in words.variables.items())]

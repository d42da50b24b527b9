"""What Kubernetes and OME have in common: one container with GPUs, probes and shared memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autotuner.export.deployment import Deployment
from autotuner.export.words import SecretRef, Word

__all__ = ["container", "literal", "secret_name", "secret_notes", "volumes"]

_PORT_NAME = "http"
_POLL_S = 10
_START_POLLS = 180
"""Half an hour: a large model is read from a slow disk, and compiled for."""
_HEALTH_ENGINES = frozenset({"vllm", "sglang", "sim"})


def container(
    deployment: Deployment, name: str, words: Sequence[Word], *, model_elsewhere: bool = False
) -> dict[str, object]:
    """The server's container.

    Args:
        words: Its command line; what is to be filled in by Kubernetes is `literal` already.
        model_elsewhere: Whether something else mounts the model.
    """
    program, *arguments = (_argument(word) for word in words)
    content: dict[str, object] = {
        "name": name,
        "image": deployment.image,
        "command": [program],
        "args": arguments,
        "env": _variables(deployment),
        "ports": [{"name": _PORT_NAME, "containerPort": deployment.options.port}],
        "startupProbe": {**_probe(deployment), "failureThreshold": _START_POLLS},
        "readinessProbe": {**_probe(deployment), "failureThreshold": 3},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": _mounts(deployment, model_elsewhere),
    }
    if not content["env"]:
        del content["env"]
    if deployment.gpus:
        # As text: Kubernetes stores quantities so, and a round trip must not change them.
        devices = {deployment.gpu_resource: str(deployment.gpus)}
        content["resources"] = {"requests": devices, "limits": dict(devices)}
    return content


def volumes(deployment: Deployment, *, model_elsewhere: bool = False) -> list[dict[str, object]]:
    found: list[dict[str, object]] = [
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{deployment.shm_gib:g}Gi"}}
    ]
    if model_elsewhere:
        return found
    folder = deployment.model_folder
    if folder is None:
        return [*found, {"name": "model", "emptyDir": {}}]
    return [*found, {"name": "model", "hostPath": {"path": folder, "type": "Directory"}}]


def secret_name(deployment: Deployment) -> str:
    """Name of the Secret that holds every secret under its variable's name."""
    return f"{deployment.name}-secrets"


def secret_notes(deployment: Deployment) -> list[str]:
    if not deployment.secrets:
        return []
    name = secret_name(deployment)
    keys = " ".join(f'--from-literal={key}="${key}"' for key in deployment.secrets)
    return [f"Needs a Secret: kubectl create secret generic {name} {keys}"]


def literal(text: str) -> str:
    """Kubernetes fills in $(NAME) in commands and variables; $$ stands for one dollar sign."""
    return text.replace("$", "$$")


def _argument(word: Word) -> str:
    return f"$({word.name})" if isinstance(word, SecretRef) else word


def _variables(deployment: Deployment) -> list[dict[str, object]]:
    words: Mapping[str, Word] = {
        **deployment.environment,
        **{name: SecretRef(name) for name in deployment.flag_secrets},
    }
    return [
        {"name": name, "value": literal(word)}
        if isinstance(word, str)
        else {
            "name": name,
            "valueFrom": {"secretKeyRef": {"name": secret_name(deployment), "key": word.name}},
        }
        for name, word in words.items()
    ]


def _probe(deployment: Deployment) -> dict[str, object]:
    if deployment.server.engine in _HEALTH_ENGINES:
        asked: dict[str, object] = {"httpGet": {"path": "/health", "port": _PORT_NAME}}
    else:
        asked = {"tcpSocket": {"port": _PORT_NAME}}
    return {**asked, "periodSeconds": _POLL_S, "timeoutSeconds": 5}


def _mounts(deployment: Deployment, model_elsewhere: bool) -> list[dict[str, object]]:
    shm: dict[str, object] = {"name": "shm", "mountPath": "/dev/shm"}  # noqa: S108
    if model_elsewhere:
        return [shm]
    folder = deployment.model_folder
    if folder is None:
        return [shm, {"name": "model", "mountPath": deployment.hub_cache}]
    return [shm, {"name": "model", "mountPath": folder, "readOnly": True}]

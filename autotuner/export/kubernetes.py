"""A Kubernetes Deployment and the Service in front of it."""

from __future__ import annotations

from autotuner.export.deployment import Deployment
from autotuner.export.pods import container, literal, secret_notes, volumes
from autotuner.export.words import SecretRef
from autotuner.export.yaml_text import yaml_text

__all__ = ["kubernetes_manifests", "metadata"]

_NAME_LABEL = "app.kubernetes.io/name"


def kubernetes_manifests(deployment: Deployment) -> str:
    """Both objects in one file for ``kubectl apply -f``."""
    notes = [*deployment.container_notes, *secret_notes(deployment), _model_note(deployment)]
    return yaml_text([*deployment.header, *notes], _deployment(deployment), _service(deployment))


def metadata(deployment: Deployment) -> dict[str, object]:
    """Name, labels, and where the configuration comes from."""
    return {
        "name": deployment.name,
        "labels": {_NAME_LABEL: deployment.name},
        "annotations": {
            "autotuner/study": deployment.selection.study.study_id,
            "autotuner/experiment": deployment.selection.experiment.id,
        },
    }


def _deployment(deployment: Deployment) -> dict[str, object]:
    labels = {_NAME_LABEL: deployment.name}
    words = [
        word if isinstance(word, SecretRef) else literal(word)
        for word in deployment.command_in_container
    ]
    pod = {
        # Variables of services, such as VLLM_PORT of one called vllm, would configure the engine.
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "containers": [container(deployment, "server", words)],
        "volumes": volumes(deployment),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(deployment),
        "spec": {
            "replicas": 1,
            # A second pod beside the first would wait for GPUs that only the first can free.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _service(deployment: Deployment) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(deployment),
        "spec": {
            "selector": {_NAME_LABEL: deployment.name},
            "ports": [{"name": "http", "port": deployment.options.port, "targetPort": "http"}],
        },
    }


def _model_note(deployment: Deployment) -> str:
    if deployment.model_folder is None:
        return (
            "Each new pod fetches the model: put a PersistentVolumeClaim in place of the emptyDir "
            "'model' to keep it."
        )
    return (
        "The model is read from a folder of the node: put a PersistentVolumeClaim in place of the "
        "hostPath where not every node has it."
    )

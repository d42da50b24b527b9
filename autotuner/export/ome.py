"""OME: a ServingRuntime with the tuned command, and the InferenceService that uses it."""

from __future__ import annotations

from autotuner.export.deployment import Deployment
from autotuner.export.kubernetes import metadata
from autotuner.export.pods import container, literal, secret_notes, volumes
from autotuner.export.words import SecretRef, Word
from autotuner.export.yaml_text import yaml_text
from autotuner.spec.launching import OmeSettings

__all__ = ["ome_manifests"]

_API = "ome.io/v1beta1"
_CONTAINER = "ome-container"
"""By this name OME finds the engine's container when it merges and when it looks for its state."""
_MODEL_PATH = "$(MODEL_PATH)"
"""OME puts the folder of the base model into this variable."""


def ome_manifests(deployment: Deployment) -> str:
    """Both objects in one file for ``kubectl apply -f``."""
    notes = [
        *deployment.container_notes,
        *secret_notes(deployment),
        f"Needs the {_model_kind(deployment)} {deployment.model_name!r}, which says where the "
        "model lies. OME takes the runtime only where architecture, quantization and versions "
        "under supportedModelFormats are those of that object: copy them from it.",
    ]
    return yaml_text([*deployment.header, *notes], _runtime(deployment), _service(deployment))


def _runtime(deployment: Deployment) -> dict[str, object]:
    # The complete command is the runtime's: what a service adds to another's arguments can
    # override a value, but never take a flag away.
    runner = container(deployment, _CONTAINER, _command(deployment), model_elsewhere=True)
    return {
        "apiVersion": _API,
        "kind": "ServingRuntime",
        "metadata": metadata(deployment),
        "spec": {
            "supportedModelFormats": [
                {
                    "name": "safetensors",
                    "modelFormat": {"name": "safetensors"},
                    "modelFramework": {"name": "transformers"},
                    # Tuned for one model: no other may get it unasked.
                    "autoSelect": False,
                }
            ],
            "protocolVersions": ["openAI"],
            "engineConfig": {
                "runner": runner,
                "volumes": volumes(deployment, model_elsewhere=True),
            },
        },
    }


def _service(deployment: Deployment) -> dict[str, object]:
    engine: dict[str, object] = {"minReplicas": 1, "maxReplicas": 1}
    if deployment.gpus:
        devices = {deployment.gpu_resource: str(deployment.gpus)}
        resources = {"requests": devices, "limits": dict(devices)}
        # Repeated here, since a service without resources gets those of an accelerator class.
        engine["runner"] = {"name": _CONTAINER, "resources": resources}
    return {
        "apiVersion": _API,
        "kind": "InferenceService",
        "metadata": metadata(deployment),
        "spec": {
            "model": {"name": deployment.model_name, "kind": _model_kind(deployment)},
            "runtime": {"name": deployment.name, "kind": "ServingRuntime"},
            "engine": engine,
        },
    }


def _model_kind(deployment: Deployment) -> str:
    launch = deployment.server.launch
    kind = launch.base_model_kind if isinstance(launch, OmeSettings) else None
    return kind or "ClusterBaseModel"


def _command(deployment: Deployment) -> list[Word]:
    # The engine gets a stand-in that no value of a study can be, so that `literal` spares it.
    stand_in = "\x01model\x01"
    return [
        word if isinstance(word, SecretRef) else literal(word).replace(stand_in, _MODEL_PATH)
        for word in deployment.command_with_model_at(stand_in)
    ]

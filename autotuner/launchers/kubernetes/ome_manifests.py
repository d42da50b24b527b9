"""An OME InferenceService, and the ServingRuntime that holds its command."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from autotuner.errors import LaunchError
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
from autotuner.launchers.kubernetes.words import ServerWords, literal, server_words
from autotuner.spec.launching import OmeSettings
from autotuner.spec.server import ServerConfig

__all__ = [
    "CONTAINER",
    "MODEL_VARIABLE",
    "fitted",
    "model_formats",
    "ome_manifests",
    "ome_settings",
]

CONTAINER = "ome-container"
"""By this name OME finds the engine's container when it merges and when it looks for its state."""
MODEL_VARIABLE = "MODEL_PATH"
"""OME puts the folder of the base model into this variable."""

_API = "ome.io/v1beta1"
_MODEL = f"$({MODEL_VARIABLE})"
_DEPLOYMENT_MODE = {"ome.io/deploymentMode": "RawDeployment"}
_USUAL_MODEL: Mapping[str, Mapping[str, Any]] = {
    "modelFormat": {"name": "safetensors"},
    "modelFramework": {"name": "transformers"},
}
_COMPARED = ("modelArchitecture", "quantization", "diffusionPipeline")
"""What OME compares with the base model as it stands, beside format and framework."""

Object = dict[str, Any]


def ome_settings(server: ServerConfig) -> OmeSettings:
    """The server's settings of this launcher.

    Raises:
        LaunchError: it has none, or no image where no runtime has one.
    """
    settings = server.launch
    if not isinstance(settings, OmeSettings):
        raise LaunchError("the launcher ome got settings of another launcher")
    if settings.image is None and settings.runtime is None:
        raise LaunchError("engine.image: the launcher ome needs an image, or a runtime with one")
    return settings


def ome_manifests(request: LaunchRequest) -> list[Object]:
    """Secret, ServingRuntime (each where needed) and InferenceService, in order.

    The runtime is one for the usual kind of model until it is `fitted`.

    Raises:
        LaunchError: the settings are not this launcher's, or do not fit together.
    """
    settings = ome_settings(request.server)
    name = object_name(request)
    meta = metadata(request, settings.pod, name)
    words = _words(request)
    hidden = secret(meta, words)
    objects = [] if hidden is None else [hidden]
    if settings.runtime is None:
        objects.append(_runtime(settings, meta, words))
    return [*objects, _service(request, settings, meta, words)]


def fitted(
    objects: Sequence[Object], base_model: Mapping[str, Any], model_path: str
) -> list[Object]:
    """The objects for this base model: OME takes no runtime that does not name its kind.

    Args:
        base_model: Its ``spec``.
        model_path: The model's place by the study's word, for where the base model has none.
    """
    made = copy.deepcopy(list(objects))
    runtimes = [each["spec"] for each in made if each["kind"] == "ServingRuntime"]
    for spec in runtimes:
        spec["supportedModelFormats"] = model_formats(base_model)
    if not (base_model.get("storage") or {}).get("path"):
        (service,) = (each["spec"] for each in made if each["kind"] == "InferenceService")
        runner = runtimes[0]["engineConfig"]["runner"] if runtimes else service["engine"]["runner"]
        # Then OME says nothing of where the model lies, and the study does.
        path = {"name": MODEL_VARIABLE, "value": _unfilled(literal(model_path))}
        runner["env"] = [path, *runner.get("env", ())]
    return made


def model_formats(base_model: Mapping[str, Any]) -> list[Object]:
    """``supportedModelFormats`` of a runtime for this model."""
    found: Object = {n: base_model[n] for n in _COMPARED if base_model.get(n) is not None}
    for part, usual in _USUAL_MODEL.items():  # a runtime needs both
        content = base_model.get(part) or usual
        found[part] = {k: content[k] for k in ("name", "version") if content.get(k) is not None}
    name = found["modelFormat"]["name"]
    # Tuned for one model: no other may get it unasked.
    return [{"name": name, **found, "autoSelect": False}]


def _words(request: LaunchRequest) -> ServerWords:
    server = request.server
    elsewhere = replace(server, model=replace(server.model, path=_MODEL))
    words = server_words(request, elsewhere)
    return ServerWords(
        tuple(_unfilled(word.replace(literal(_MODEL), _MODEL)) for word in words.command),
        {name: _unfilled(value) for name, value in words.variables.items()},
        words.secrets,
    )


def _unfilled(text: str) -> str:
    """OME fills in the container as a template of Go, in which ``{{`` begins an action."""
    return text.replace("{{", "{{`{{`}}")


def _runtime(settings: OmeSettings, meta: Object, words: ServerWords) -> Object:
    # The complete command is the runtime's: what a service adds to another's arguments can
    # override a value, but never take a flag away.
    runner = container(CONTAINER, settings.image, words, settings.pod, meta["name"])
    runner |= {"command": [words.command[0]], "args": list(words.command[1:])}
    runner["readinessProbe"] = {
        "tcpSocket": {"port": PORT_NAME},
        "periodSeconds": 5,
        "timeoutSeconds": 5,
        # Once ready, always ready: a busy server must not be cut off from its requests.
        "failureThreshold": 1000,
    }
    return {
        "apiVersion": _API,
        "kind": "ServingRuntime",
        "metadata": {"name": meta["name"], "labels": dict(meta["labels"])},
        "spec": {
            "supportedModelFormats": model_formats(_USUAL_MODEL),
            "protocolVersions": ["openAI"],
            "engineConfig": {"runner": runner},
        },
    }


def _service(
    request: LaunchRequest, settings: OmeSettings, meta: Object, words: ServerWords
) -> Object:
    pod_volumes, mounts = volumes(settings.pod, request.server, model_elsewhere=True)
    runner: Object = {"name": CONTAINER, "volumeMounts": mounts}
    if settings.runtime is not None:
        runner = container(CONTAINER, settings.image, words, settings.pod, meta["name"])
        # The command stays the runtime's; of two values of a flag, engines take the last.
        runner |= {"args": list(words.arguments), "volumeMounts": mounts}
        del runner["ports"]
    if amounts := resources(settings.pod, request.footprint):
        # A service without resources gets those of an accelerator class.
        runner["resources"] = amounts
    runtime = {"name": meta["name"], "kind": "ServingRuntime"}
    if settings.runtime is not None:
        runtime = {"name": settings.runtime, "kind": settings.runtime_kind}
    return {
        "apiVersion": _API,
        "kind": "InferenceService",
        "metadata": {
            **meta,
            "annotations": {**_DEPLOYMENT_MODE, **meta.get("annotations", {})},
        },
        "spec": {
            "model": {"name": settings.base_model, "kind": settings.base_model_kind},
            "runtime": runtime,
            "engine": {
                # The default is up to three, of which the load would be shared.
                "minReplicas": 1,
                "maxReplicas": 1,
                **pod_fields(settings.pod, request.stop_s),
                "runner": runner,
                "volumes": pod_volumes,
            },
        },
    }

"""What OME makes of an InferenceService: the pod, and the status."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from kubernetes_double.double import KubernetesDouble
from kubernetes_double.objects import Object, now

__all__ = ["NotResolvedError", "failed_status", "pod_of", "status_of"]

_RUNNER = "ome-container"
_OF_SERVICE = ("minReplicas", "maxReplicas", "runner", "labels", "annotations", "timeoutSeconds")
"""Fields of an engine that are not its pod's."""


class NotResolvedError(Exception):
    """What the service refers to is not there; ``reason``: of the event that says so."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def pod_of(double: KubernetesDouble, service: Object) -> Object:
    """The one pod of its engine; raises NotResolvedError."""
    metadata, spec = service["metadata"], service["spec"]
    runtime = _runtime(double, service).get("engineConfig") or {}
    engine = spec.get("engine") or {}
    pod = {name: part for name, part in {**runtime, **engine}.items() if name not in _OF_SERVICE}
    runner = _merged(runtime.get("runner") or {}, engine.get("runner") or {})
    runner = _filled_in(runner)
    model = _model_path(double, service)
    given = {variable["name"] for variable in runner.get("env") or ()}
    if model is not None and "MODEL_PATH" not in given:
        runner["env"] = [{"name": "MODEL_PATH", "value": model}, *(runner.get("env") or ())]
    labels = {
        **(metadata.get("labels") or {}),
        "ome.io/inferenceservice": metadata["name"],
        "component": "engine",
    }
    owner = {
        "apiVersion": service["apiVersion"],
        "kind": service["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
    }
    return {
        "metadata": {
            "name": f"{metadata['name']}-engine-{metadata['uid'][:5]}",
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": dict(metadata.get("annotations") or {}),
            "ownerReferences": [owner],
        },
        "spec": {"restartPolicy": "Always", **copy.deepcopy(pod), "containers": [runner]},
        "status": {"phase": "Pending"},
    }


def _runtime(double: KubernetesDouble, service: Object) -> Mapping[str, Any]:
    asked = service["spec"].get("runtime")
    if asked is None:
        raise NotResolvedError("RuntimeSelectionError", "no runtime found that supports the model")
    own = asked.get("kind") == "ServingRuntime"
    plural = "servingruntimes" if own else "clusterservingruntimes"
    namespace = service["metadata"]["namespace"] if own else ""
    found = double.object(plural, namespace, asked["name"])
    if found is None:
        message = f"{asked.get('kind')} {asked['name']} not found"
        raise NotResolvedError("RuntimeValidationError", message)
    spec: Mapping[str, Any] = found["spec"]
    return spec


def _model_path(double: KubernetesDouble, service: Object) -> str | None:
    asked = service["spec"].get("model")
    if asked is None:
        raise NotResolvedError("ModelReconcileError", "the service names no model")
    own = asked.get("kind") == "BaseModel"
    namespace = service["metadata"]["namespace"] if own else ""
    found = double.object("basemodels" if own else "clusterbasemodels", namespace, asked["name"])
    if found is None:
        message = f"{asked.get('kind')} {asked['name']} not found"
        raise NotResolvedError("ModelReconcileError", message)
    path: str | None = found["spec"]["storage"].get("path")
    return path


def _merged(runtime: Mapping[str, Any], service: Mapping[str, Any]) -> Object:
    """Strategic: variables merge by name, and commands and arguments are replaced as a whole."""
    merged = {"name": _RUNNER, **runtime, **service}
    variables = {each["name"]: each for each in runtime.get("env") or ()}
    variables |= {each["name"]: each for each in service.get("env") or ()}
    if variables:
        merged["env"] = list(variables.values())
    return copy.deepcopy(merged)


def _filled_in(part: Any) -> Any:
    """OME reads a container as a template of Go: ``{{`` begins an action."""
    if isinstance(part, dict):
        return {name: _filled_in(each) for name, each in part.items()}
    if isinstance(part, list):
        return [_filled_in(each) for each in part]
    if not isinstance(part, str):
        return part
    pieces = part.split("{{`{{`}}")
    if any("{{" in piece for piece in pieces):
        raise NotResolvedError("InternalError", f"cannot read the template {part!r}")
    return "{{".join(pieces)


def status_of(service: Object, *, ready: bool, url: str) -> Object:
    """Of a service that is on its way, or there."""
    state = "Loaded" if ready else "Loading"
    status: Object = {
        "conditions": _conditions(ready),
        "observedGeneration": 1,
        "modelStatus": {
            "transitionStatus": "UpToDate" if ready else "InProgress",
            "modelRevisionStates": {
                "activeModelState": state if ready else "",
                "targetModelState": state,
            },
        },
    }
    return {**status, "url": url, "address": {"url": url}} if ready else status


def failed_status(transition: str, reason: str, message: str) -> Object:
    """``transition``: ``BlockedByFailedLoad`` or ``InvalidSpec``."""
    failure = {"reason": reason, "message": message, "exitCode": 1, "time": now()}
    return {
        "conditions": _conditions(False),
        "observedGeneration": 1,
        "modelStatus": {
            "transitionStatus": transition,
            "modelRevisionStates": {"activeModelState": "", "targetModelState": "FailedToLoad"},
            "lastFailureInfo": failure,
        },
    }


def _conditions(ready: bool) -> list[Object]:
    status = "True" if ready else "False"
    reason = {} if ready else {"reason": "MinimumReplicasUnavailable"}
    return [
        {"type": sort, "status": status, "lastTransitionTime": now(), **reason}
        for sort in ("EngineReady", "IngressReady", "Ready")
    ]

"""The real clients of the double, and small objects for them to make."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes_double.double import KubernetesDouble

__all__ = ["Clients", "pod", "refused", "service"]

Object = dict[str, Any]


class Clients:
    """The double, and the clients of it that the tests use."""

    def __init__(self, double: KubernetesDouble, folder: Path) -> None:
        self.double = double
        self.api = config.new_client_from_config(str(double.kubeconfig(folder / "kubeconfig")))
        self.core = client.CoreV1Api(self.api)
        self.custom = client.CustomObjectsApi(self.api)

    def where(self, plural: str = "inferenceservices", namespace: str = "default") -> Object:
        return {
            "group": "ome.io",
            "version": "v1beta1",
            "namespace": namespace,
            "plural": plural,
        }

    def create(self, body: Mapping[str, Any], **asked: Any) -> Object:
        found: Object = self.custom.create_namespaced_custom_object(
            **self.where(), body=dict(body), **asked
        )
        return found


def service(name: str = "tuned", **changes: Any) -> Object:
    return {
        "apiVersion": "ome.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, **changes.pop("metadata", {})},
        "spec": {
            "model": {"name": "tiny"},
            "engine": {"minReplicas": 1, "runner": {"name": "ome-container"}},
            **changes,
        },
    }


def pod(name: str = "server", **metadata: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **metadata},
        "spec": {"containers": [{"name": "engine", "image": "sim"}]},
    }


def refused(call: Any, *args: Any, **asked: Any) -> tuple[int, str]:
    with pytest.raises(client.ApiException) as caught:
        call(*args, **asked)
    return caught.value.status, str(caught.value.body)

"""What the double of an API server does as a real one does, seen through the real client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes_double.double import KubernetesDouble

Object = dict[str, Any]


class Cluster:
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


@pytest.fixture
def cluster(kubernetes_double: KubernetesDouble, tmp_path: Path) -> Cluster:
    return Cluster(kubernetes_double, tmp_path)


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


def test_what_is_created_can_be_read_with_the_schemas_defaults(cluster: Cluster) -> None:
    made = cluster.create(service())
    read = cluster.custom.get_namespaced_custom_object(**cluster.where(), name="tuned")
    assert read == made
    assert read["spec"]["model"]["kind"] == "ClusterBaseModel"
    assert read["metadata"]["generation"] == 1


def test_a_name_is_given_once(cluster: Cluster) -> None:
    cluster.create(service())
    status, body = refused(cluster.create, service())
    assert status == 409
    assert '"reason": "AlreadyExists"' in body


def test_a_namespace_that_is_not_there_is_not_found(cluster: Cluster) -> None:
    where = cluster.where(namespace="elsewhere")
    call = cluster.custom.create_namespaced_custom_object
    status, body = refused(call, **where, body=service())
    assert status == 404
    assert 'namespaces \\"elsewhere\\" not found' in body


def test_unknown_fields_are_dropped_unless_the_request_is_strict(cluster: Cluster) -> None:
    assert "bogus" not in cluster.create(service(bogus=1))["spec"]
    status, body = refused(cluster.create, service("other", bogus=1), field_validation="Strict")
    assert status == 400
    assert 'strict decoding error: unknown field \\"spec.bogus\\"' in body


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": {}}, "spec.model.name: Required value"),
        (
            {"engine": {"minReplicas": "1"}},
            "spec.engine.minReplicas in body must be of type integer",
        ),
        ({"metadata": {"name": "1st"}}, "metadata.name: Invalid value"),
        ({"metadata": {"labels": {"a": "no spaces"}}}, "metadata.labels: Invalid value"),
    ],
)
def test_what_the_schema_forbids_is_invalid(cluster: Cluster, changes: Object, told: str) -> None:
    status, body = refused(cluster.create, service(**changes))
    assert status == 422
    assert told in body


def test_a_trial_run_leaves_nothing(cluster: Cluster) -> None:
    assert cluster.create(service(), dry_run="All")["metadata"]["uid"]
    assert cluster.double.objects("inferenceservices") == []

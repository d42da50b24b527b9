"""What the double of an API server does as a real one does, seen through the real client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes_double.clients import Clients, pod, refused, service
from kubernetes_double.double import KubernetesDouble, kubernetes
from kubernetes_double.schemas import full_crds_folder

Object = dict[str, Any]


@pytest.fixture
def cluster(kubernetes_double: KubernetesDouble, tmp_path: Path) -> Clients:
    return Clients(kubernetes_double, tmp_path)


def test_what_is_created_can_be_read_with_the_schemas_defaults(cluster: Clients) -> None:
    made = cluster.create(service())
    read = cluster.custom.get_namespaced_custom_object(**cluster.where(), name="tuned")
    assert read == made
    assert read["spec"]["model"]["kind"] == "ClusterBaseModel"
    assert read["metadata"]["generation"] == 1


def test_a_name_is_given_once(cluster: Clients) -> None:
    cluster.create(service())
    status, body = refused(cluster.create, service())
    assert status == 409
    assert '"reason": "AlreadyExists"' in body


def test_a_namespace_that_is_not_there_is_not_found(cluster: Clients) -> None:
    where = cluster.where(namespace="elsewhere")
    call = cluster.custom.create_namespaced_custom_object
    status, body = refused(call, **where, body=service())
    assert status == 404
    assert 'namespaces \\"elsewhere\\" not found' in body


def test_unknown_fields_are_dropped_unless_the_request_is_strict(cluster: Clients) -> None:
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
def test_what_the_schema_forbids_is_invalid(cluster: Clients, changes: Object, told: str) -> None:
    status, body = refused(cluster.create, service(**changes))
    assert status == 422
    assert told in body


def test_a_trial_run_leaves_nothing(cluster: Clients) -> None:
    assert cluster.create(service(), dry_run="All")["metadata"]["uid"]
    assert cluster.double.objects("inferenceservices") == []


def test_a_stale_version_conflicts_and_a_current_one_does_not(cluster: Clients) -> None:
    first = cluster.create(service())
    replace = cluster.custom.replace_namespaced_custom_object
    first["spec"]["engine"]["minReplicas"] = 2
    second = replace(**cluster.where(), name="tuned", body=first)
    assert second["metadata"]["generation"] == 2
    status, body = refused(replace, **cluster.where(), name="tuned", body=first)
    assert status == 409
    assert "the object has been modified" in body


def test_a_status_changes_by_its_subresource_alone(cluster: Clients) -> None:
    made = cluster.create(service())
    said = {**made, "status": {"url": "http://here"}, "spec": {}}
    where = cluster.where()
    assert "status" not in cluster.custom.patch_namespaced_custom_object(
        **where, name="tuned", body={"status": {"url": "http://here"}}
    )
    told = cluster.custom.replace_namespaced_custom_object_status(**where, name="tuned", body=said)
    assert told["status"] == {"url": "http://here"}
    assert told["spec"] == made["spec"]
    assert told["metadata"]["generation"] == made["metadata"]["generation"]


def test_lists_choose_by_labels_and_fields(cluster: Clients) -> None:
    for name, lease in (("one", "a"), ("two", "b")):
        cluster.core.create_namespaced_pod("default", pod(name, labels={"lease": lease}))
    listed = cluster.core.list_namespaced_pod
    assert [each.metadata.name for each in listed("default", label_selector="lease=b").items] == [
        "two"
    ]
    assert [
        each.metadata.name for each in listed("default", field_selector="metadata.name=one").items
    ] == ["one"]
    assert listed("elsewhere").items == []


def test_an_object_with_finalizers_goes_when_the_last_one_does(cluster: Clients) -> None:
    cluster.create(service(metadata={"finalizers": ["inferenceservice.finalizers"]}))
    where = {**cluster.where(), "name": "tuned"}
    cluster.custom.delete_namespaced_custom_object(**where)
    assert cluster.custom.get_namespaced_custom_object(**where)["metadata"]["deletionTimestamp"]
    cluster.double.patch("inferenceservices", "default", "tuned", {"metadata": {"finalizers": []}})
    assert refused(cluster.custom.get_namespaced_custom_object, **where)[0] == 404


def test_what_belongs_to_an_object_goes_with_it(cluster: Clients) -> None:
    owner = cluster.create(service())
    reference = {
        **{name: owner[name] for name in ("apiVersion", "kind")},
        **{name: owner["metadata"][name] for name in ("name", "uid")},
    }
    cluster.core.create_namespaced_pod("default", pod(ownerReferences=[reference]))
    cluster.custom.delete_namespaced_custom_object(**cluster.where(), name="tuned")
    assert cluster.double.objects("pods") == []


def test_a_pod_on_a_node_is_there_until_its_kubelet_says_so(cluster: Clients) -> None:
    cluster.core.create_namespaced_pod("default", pod())
    cluster.double.patch("pods", "default", "server", {"spec": {"nodeName": "node-1"}})
    cluster.core.delete_namespaced_pod("server", "default")
    left = cluster.core.read_namespaced_pod("server", "default")
    assert left.metadata.deletion_grace_period_seconds == 30
    cluster.double.delete("pods", "default", "server", grace_s=0)
    assert cluster.double.objects("pods") == []


def test_a_collection_goes_as_it_is_chosen(cluster: Clients) -> None:
    for name, lease in (("one", "a"), ("two", "b")):
        cluster.core.create_namespaced_pod("default", pod(name, labels={"lease": lease}))
    cluster.core.delete_collection_namespaced_pod("default", label_selector="lease=a")
    assert [each["metadata"]["name"] for each in cluster.double.objects("pods")] == ["two"]


def test_a_secrets_text_is_kept_encoded(cluster: Clients) -> None:
    body = {"metadata": {"name": "hidden"}, "stringData": {"HF_TOKEN": "word"}}
    cluster.core.create_namespaced_secret("default", body)
    assert cluster.core.read_namespaced_secret("hidden", "default").data == {"HF_TOKEN": "d29yZA=="}


def test_a_wrong_token_is_not_let_in(cluster: Clients, tmp_path: Path) -> None:
    path = cluster.double.kubeconfig(tmp_path / "wrong", token="wrong")  # noqa: S106
    core = client.CoreV1Api(config.new_client_from_config(str(path)))
    assert refused(core.list_namespaced_pod, "default")[0] == 401


def test_upstreams_definitions_take_what_ours_take(tmp_path: Path) -> None:
    folder = full_crds_folder()
    if folder is None:
        pytest.skip("AUTOTUNER_TEST_CRDS names no folder with OME's definitions")
    with kubernetes(upstream=folder) as double:
        full = Clients(double, tmp_path)
        made = full.create(service(), field_validation="Strict")
        assert made["spec"]["model"]["kind"] == "ClusterBaseModel"
        status, body = refused(full.create, service("other", bogus=1), field_validation="Strict")
    assert status == 400
    assert 'unknown field \\"spec.bogus\\"' in body

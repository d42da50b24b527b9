"""What holds for custom objects on the API double, and on a real API server where there is one.

``AUTOTUNER_TEST_KUBECONFIG`` names the kubeconfig of a real one that has OME's definitions.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, watch
from kubernetes_double.double import KubernetesDouble, kubernetes
from kubernetes_double.schemas import full_crds_folder

Object = dict[str, Any]

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
PATIENCE_S = 60
"""An upper bound on watches that end once they have seen enough; no test takes it."""


@dataclass(frozen=True)
class Services:
    """The inference services of one namespace."""

    api: client.ApiClient
    namespace: str
    double: KubernetesDouble | None

    @property
    def custom(self) -> client.CustomObjectsApi:
        return client.CustomObjectsApi(self.api)

    @property
    def place(self) -> dict[str, str]:
        return {
            "group": "ome.io",
            "version": "v1beta1",
            "namespace": self.namespace,
            "plural": "inferenceservices",
        }

    def create(
        self, name: str = "a", metadata: Mapping[str, Any] | None = None, **spec: Any
    ) -> Any:
        body = service(name, metadata, **spec)
        return self.custom.create_namespaced_custom_object(**self.place, body=body)

    def get(self, name: str = "a") -> Any:
        return self.custom.get_namespaced_custom_object(**self.place, name=name)

    def list(self, **asked: Any) -> Any:
        return self.custom.list_namespaced_custom_object(**self.place, **asked)

    def names(self, **asked: Any) -> list[str]:
        return [item["metadata"]["name"] for item in self.list(**asked)["items"]]

    def replace(self, body: Object) -> Any:
        name = body["metadata"]["name"]
        return self.custom.replace_namespaced_custom_object(**self.place, name=name, body=body)

    def patch(self, body: Any, name: str = "a", sort: str = MERGE, **asked: Any) -> Any:
        return self.custom.patch_namespaced_custom_object(
            **self.place, name=name, body=body, _content_type=sort, **asked
        )

    def apply(self, manager: str, body: Object, **asked: Any) -> Any:
        return self.patch(body, sort=APPLY, field_manager=manager, **asked)

    def patch_status(self, status: Object, name: str = "a", **more: Any) -> Any:
        return self.custom.patch_namespaced_custom_object_status(
            **self.place, name=name, body={"status": status, **more}, _content_type=MERGE
        )

    def delete(self, name: str = "a", **options: Any) -> Any:
        return self.custom.delete_namespaced_custom_object(
            **self.place, name=name, body={"kind": "DeleteOptions", "apiVersion": "v1", **options}
        )

    def clear(self) -> None:
        for name in self.names():
            self.patch({"metadata": {"finalizers": None}}, name)
        self.custom.delete_collection_namespaced_custom_object(**self.place)


def service(name: str = "a", metadata: Mapping[str, Any] | None = None, **spec: Any) -> Object:
    runner = {"name": "ome-container", "env": [{"name": "A", "value": "1"}, {"name": "B"}]}
    full: Object = {"model": {"name": "tiny"}, "engine": {"minReplicas": 1, "runner": runner}}
    return {
        "apiVersion": "ome.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "labels": {"app": name}, **(metadata or {})},
        "spec": {**full, **spec},
    }


@pytest.fixture(params=["double", "double_of_upstream", "real"])
def services(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Services]:
    namespace = f"rules-{uuid.uuid4().hex[:8]}"
    with contextlib.ExitStack() as stack:
        double: KubernetesDouble | None = None
        if request.param == "real":
            if not (kubeconfig := os.environ.get("AUTOTUNER_TEST_KUBECONFIG", "")):
                pytest.skip("AUTOTUNER_TEST_KUBECONFIG names no real API server")
        else:
            upstream = full_crds_folder() if request.param == "double_of_upstream" else None
            if request.param == "double_of_upstream" and upstream is None:
                pytest.skip("AUTOTUNER_TEST_CRDS names no folder with OME's definitions")
            double = stack.enter_context(kubernetes(upstream=upstream))
            double.add_namespace(namespace)
            kubeconfig = str(double.kubeconfig(tmp_path / "kubeconfig"))
        api = stack.enter_context(config.new_client_from_config(kubeconfig))
        made = Services(api, namespace, double)
        yield made
        made.clear()


def refusal(call: Any, *args: Any, **asked: Any) -> tuple[int, str]:
    """Code and message of the answer."""
    with pytest.raises(client.ApiException) as caught:
        call(*args, **asked)
    body = str(caught.value.body)
    return caught.value.status, json.loads(body)["message"] if body.startswith("{") else body


def test_defaults_of_the_schema_are_filled_in(services: Services) -> None:
    made = services.create(runtime={"name": "r"})
    assert made["spec"]["model"]["kind"] == "ClusterBaseModel"
    assert made["spec"]["runtime"]["kind"] == "ClusterServingRuntime"
    assert made["metadata"]["generation"] == 1


def test_a_name_is_free_again_only_when_its_object_is_gone(services: Services) -> None:
    services.create(metadata={"finalizers": ["example.com/held"]})
    code, told = refusal(services.create)
    assert (code, "already exists" in told) == (409, True)
    services.delete()
    code, told = refusal(services.create)
    assert (code, told.split(":")[0]) == (409, "object is being deleted")
    services.patch({"metadata": {"finalizers": None}})
    assert services.create()["metadata"]["generation"] == 1


def test_unknown_fields_are_dropped_or_refused_as_it_was_asked(services: Services) -> None:
    body = service(bogus=1)
    create = services.custom.create_namespaced_custom_object
    code, told = refusal(create, **services.place, body=body, field_validation="Strict")
    assert code == 400
    assert told.endswith('strict decoding error: unknown field "spec.bogus"')
    assert "bogus" not in create(**services.place, body=body)["spec"]
    change = {"spec": {"bogus": 1}}
    assert "bogus" not in services.patch(change)["spec"]
    code, told = refusal(services.patch, change, field_validation="Strict")
    assert (code, told.split(": ", 2)[0]) == (422, ' "" is invalid')
    assert 'unknown field "spec.bogus"' in told


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ({"model": {"kind": "BaseModel"}}, "spec.model.name"),
        ({"engine": {"minReplicas": "three"}}, "spec.engine.minReplicas"),
        ({"engine": {"runner": {"name": "x", "env": [{"value": "1"}]}}}, "env[0].name"),
        (
            {"engine": {"runner": {"name": "x", "env": [{"name": "A"}, {"name": "A"}]}}},
            "spec.engine.runner.env[1]",
        ),
        (
            {"engine": {"runner": {"name": "x", "resources": {"limits": {"cpu": "much"}}}}},
            "spec.engine.runner.resources.limits.cpu",
        ),
    ],
)
def test_an_object_that_breaks_the_schema_is_invalid(
    services: Services, spec: Object, place: str
) -> None:
    code, told = refusal(services.create, **spec)
    assert (code, place in told) == (422, True)


def test_names_and_labels_have_rules(services: Services) -> None:
    assert refusal(services.create, "Bad_Name")[0] == 422
    assert refusal(services.create, metadata={"labels": {"app": "not good!"}})[0] == 422
    assert refusal(services.create, metadata={"labels": {"app": 5}})[0] == 400


def test_a_trial_run_leaves_nothing(services: Services) -> None:
    create = services.custom.create_namespaced_custom_object
    assert create(**services.place, body=service(), dry_run="All")["metadata"]["uid"]
    assert services.names() == []
    services.create()
    services.custom.delete_namespaced_custom_object(**services.place, name="a", dry_run="All")
    assert services.names() == ["a"]


def test_replacing_needs_the_current_version(services: Services) -> None:
    made = services.create()
    changed = service(metadata={"resourceVersion": made["metadata"]["resourceVersion"]})
    changed["spec"]["engine"]["minReplicas"] = 2
    assert refusal(services.replace, service())[0] == 422
    assert services.replace(changed)["metadata"]["generation"] == 2
    assert refusal(services.replace, changed)[0] == 409


def test_a_write_that_changes_nothing_makes_no_version(services: Services) -> None:
    made = services.create()
    assert services.replace(made) == made
    first = services.apply("one", service())
    again = services.apply("one", service())
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_a_status_changes_by_its_subresource_alone(services: Services) -> None:
    services.create()
    spec = services.get()["spec"]
    services.patch_status({"url": "http://server"}, spec={"model": {"name": "other"}})
    assert services.get()["spec"] == spec
    changed = services.patch({"status": {"url": "http://other"}, "spec": {"engine": None}})
    assert changed["status"] == {"url": "http://server"}
    assert changed["metadata"]["generation"] == 2


def test_a_status_of_another_shape_is_invalid(services: Services) -> None:
    services.create()
    assert refusal(services.patch_status, {"url": 5})[0] == 422
    bogus = {"modelStatus": {"transitionStatus": "Bogus"}}
    assert refusal(services.patch_status, bogus)[0] == 422


def test_lists_choose_by_labels_and_by_names(services: Services) -> None:
    for name in ("a", "b", "c"):
        services.create(name)
    services.create("d", {"labels": {}})
    assert services.names(label_selector="app in (a, b)") == ["a", "b"]
    assert services.names(label_selector="app,app!=a") == ["b", "c"]
    assert services.names(label_selector="!app") == ["d"]
    assert services.names(field_selector="metadata.name=c") == ["c"]
    assert refusal(services.list, label_selector="app in")[0] == 400
    assert refusal(services.list, field_selector="spec.model.name=tiny")[0] == 400


def test_a_long_list_comes_in_pieces(services: Services) -> None:
    for name in ("a", "b", "c"):
        services.create(name)
    first = services.list(limit=2)
    assert first["metadata"]["remainingItemCount"] == 1
    rest = services.list(limit=2, _continue=first["metadata"]["continue"])
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c"]
    assert not rest["metadata"].get("continue")


def test_an_object_goes_with_the_last_of_its_finalizers(services: Services) -> None:
    services.create(metadata={"finalizers": ["example.com/held"]})
    ending = services.delete()
    assert ending["metadata"]["deletionTimestamp"]
    more = {"metadata": {"finalizers": ["example.com/held", "example.com/more"]}}
    assert refusal(services.patch, more)[0] == 422
    services.patch({"metadata": {"finalizers": []}})
    assert refusal(services.get)[0] == 404
    assert refusal(services.delete)[0] == 404


def test_a_deletion_can_name_the_one_that_is_meant(services: Services) -> None:
    made = services.create()
    other = {"uid": str(uuid.uuid4())}
    code, told = refusal(services.delete, preconditions=other)
    assert (code, "UID" in told) == (409, True)
    assert services.delete(preconditions={"uid": made["metadata"]["uid"]})["status"] == "Success"


def test_a_collection_goes_as_it_is_chosen(services: Services) -> None:
    services.create("a")
    services.create("b")
    services.custom.delete_collection_namespaced_custom_object(
        **services.place, label_selector="app=a"
    )
    assert services.names() == ["b"]


def env_of(found: Object) -> dict[str, str | None]:
    return {each["name"]: each.get("value") for each in found["spec"]["engine"]["runner"]["env"]}


def test_an_apply_takes_back_what_it_names_no_more(services: Services) -> None:
    services.apply("one", service())
    less = service()
    less["spec"]["engine"]["runner"]["env"] = [{"name": "B"}, {"name": "C", "value": "3"}]
    del less["metadata"]["labels"]
    found = services.apply("one", less)
    assert env_of(found) == {"B": None, "C": "3"}
    assert "labels" not in found["metadata"]


def test_an_apply_leaves_alone_what_others_have_set(services: Services) -> None:
    services.apply("one", service())
    services.patch({"metadata": {"annotations": {"example.com/note": "kept"}}})
    services.patch_status({"url": "http://server"})
    found = services.apply("one", service())
    assert found["metadata"]["annotations"] == {"example.com/note": "kept"}
    assert found["status"] == {"url": "http://server"}


def test_an_apply_of_a_field_that_is_somebody_elses_conflicts(services: Services) -> None:
    services.apply("one", service())
    mine = service(model={"name": "other"})
    code, told = refusal(services.apply, "two", mine)
    assert code == 409
    assert told == 'Apply failed with 1 conflict: conflict with "one": .spec.model.name'
    assert services.apply("two", mine, force=True)["spec"]["model"]["name"] == "other"
    assert refusal(services.apply, "one", service())[0] == 409


def test_an_apply_needs_a_manager_and_the_schema(services: Services) -> None:
    assert refusal(services.patch, service(), sort=APPLY)[0] == 422
    code, told = refusal(services.apply, "one", service(bogus=1))
    # An error of the server, other than where the same is created.
    assert code == 500
    assert told.endswith(".spec.bogus: field not declared in schema")


def test_custom_objects_take_no_strategic_patch(services: Services) -> None:
    services.create()
    strategic = "application/strategic-merge-patch+json"
    assert refusal(services.patch, {"spec": {}}, sort=strategic)[0] == 415


def test_a_json_patch_is_done_wholly_or_not_at_all(services: Services) -> None:
    services.create()
    change = [
        {"op": "replace", "path": "/spec/model/name", "value": "other"},
        {"op": "test", "path": "/spec/engine/minReplicas", "value": 9},
    ]
    assert refusal(services.patch, change, sort="application/json-patch+json")[0] == 422
    assert services.get()["spec"]["model"]["name"] == "tiny"
    change[1]["value"] = 1
    found = services.patch(change, sort="application/json-patch+json")
    assert found["spec"]["model"]["name"] == "other"


def test_what_is_not_served_is_no_object(services: Services) -> None:
    where = {**services.place, "plural": "frobs"}
    code, told = refusal(services.custom.list_namespaced_custom_object, **where)
    assert (code, told) == (404, "404 page not found\n")


def seen(services: Services, count: int, **asked: Any) -> list[tuple[str, str]]:
    """The first events of a watch: what happened, and to which object."""
    found: list[tuple[str, str]] = []
    watching = watch.Watch()
    events = watching.stream(
        services.custom.list_namespaced_custom_object,
        **services.place,
        timeout_seconds=PATIENCE_S,
        **asked,
    )
    for event in events:
        found.append((event["type"], event["object"]["metadata"]["name"]))
        if len(found) == count:
            watching.stop()
    return found


def test_a_watch_shows_every_change_after_its_version(services: Services) -> None:
    services.create("before")
    version = services.list()["metadata"]["resourceVersion"]
    services.create("a", {"finalizers": ["example.com/held"]})
    services.patch_status({"url": "http://server"})
    services.delete()
    services.patch({"metadata": {"finalizers": []}})
    assert seen(services, 4, resource_version=version) == [
        ("ADDED", "a"),
        ("MODIFIED", "a"),
        ("MODIFIED", "a"),
        ("DELETED", "a"),
    ]


def test_a_watch_of_no_version_begins_with_what_is_there(services: Services) -> None:
    services.create("a")
    services.create("b")
    assert seen(services, 2) == [("ADDED", "a"), ("ADDED", "b")]


def test_what_a_selector_chooses_no_more_is_deleted_to_its_watch(services: Services) -> None:
    version = services.list()["metadata"]["resourceVersion"]
    services.create("a")
    services.patch({"metadata": {"labels": {"app": "moved"}}})
    found = seen(services, 2, resource_version=version, label_selector="app=a")
    assert found == [("ADDED", "a"), ("DELETED", "a")]
    found = seen(services, 1, resource_version=version, label_selector="app=moved")
    assert found == [("ADDED", "a")]


def test_a_watch_from_too_long_ago_is_expired(services: Services) -> None:
    services.create()
    if services.double is not None:
        services.double.store.compact()
    with pytest.raises(client.ApiException) as caught:
        seen(services, 1, resource_version="1")
    assert caught.value.status == 410

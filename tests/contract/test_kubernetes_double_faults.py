"""Watches, logs and faults of the double of an API server, seen through the real client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3
from kubernetes import client, watch
from kubernetes_double.clients import Clients, pod, refused, service
from kubernetes_double.double import KubernetesDouble


@pytest.fixture
def cluster(kubernetes_double: KubernetesDouble, tmp_path: Path) -> Clients:
    return Clients(kubernetes_double, tmp_path)


def test_a_watch_tells_what_was_and_what_becomes_of_it(cluster: Clients) -> None:
    cluster.create(service())
    seen = []
    listing = cluster.custom.list_namespaced_custom_object
    for event in watch.Watch().stream(listing, **cluster.where(), timeout_seconds=60):
        seen.append(event["type"])
        if event["type"] == "ADDED":
            cluster.double.patch_status(
                "inferenceservices", "default", "tuned", {"url": "http://x"}
            )
        elif event["type"] == "MODIFIED":
            assert event["object"]["status"] == {"url": "http://x"}
            cluster.double.delete("inferenceservices", "default", "tuned")
        else:
            break
    assert seen == ["ADDED", "MODIFIED", "DELETED"]


def test_an_object_that_is_no_longer_chosen_counts_as_deleted(cluster: Clients) -> None:
    cluster.core.create_namespaced_pod("default", pod(labels={"lease": "a"}))
    seen = []
    asked: dict[str, Any] = {"label_selector": "lease=a", "timeout_seconds": 60}
    for event in watch.Watch().stream(cluster.core.list_namespaced_pod, "default", **asked):
        seen.append(event["type"])
        if event["type"] == "DELETED":
            break
        cluster.double.patch("pods", "default", "server", {"metadata": {"labels": {"lease": "b"}}})
    assert seen == ["ADDED", "DELETED"]


def test_a_version_before_a_compaction_is_gone(cluster: Clients) -> None:
    made = cluster.create(service())
    cluster.double.store.compact()
    stream = watch.Watch().stream(
        cluster.custom.list_namespaced_custom_object,
        **cluster.where(),
        resource_version=made["metadata"]["resourceVersion"],
        timeout_seconds=60,
    )
    with pytest.raises(client.ApiException) as caught:
        next(stream)
    assert caught.value.status == 410


def test_a_cut_watch_ends_at_once(
    cluster: Clients, wait_until: Callable[[Callable[[], object]], bool]
) -> None:
    cluster.create(service())
    listing = cluster.custom.list_namespaced_custom_object
    stream = watch.Watch().stream(listing, **cluster.where(), timeout_seconds=600)
    assert next(stream)["type"] == "ADDED"
    assert cluster.double.watches.open == 1
    cluster.double.faults.cut_watches()
    with pytest.raises((urllib3.exceptions.ProtocolError, StopIteration)):
        next(stream)
    assert wait_until(lambda: cluster.double.watches.open == 0)


def test_a_log_is_followed_to_its_end(cluster: Clients) -> None:
    cluster.core.create_namespaced_pod("default", pod())
    assert (
        "does not have a host"
        in refused(cluster.core.read_namespaced_pod_log, "server", "default")[1]
    )
    cluster.double.set_log("default", "server", "one\ntwo\n")
    cluster.double.patch_status("pods", "default", "server", {"phase": "Succeeded"})
    assert cluster.core.read_namespaced_pod_log("server", "default", tail_lines=1) == "two\n"
    followed = watch.Watch().stream(cluster.core.read_namespaced_pod_log, "server", "default")
    assert list(followed) == ["one", "two"]


def test_the_moments_of_lines_stay(cluster: Clients) -> None:
    cluster.core.create_namespaced_pod("default", pod())
    cluster.double.set_log("default", "server", "one\n")
    read = cluster.core.read_namespaced_pod_log
    first = read("server", "default", timestamps=True)
    cluster.double.set_log("default", "server", "one\ntwo\n")
    assert read("server", "default", timestamps=True).startswith(first)


def test_what_is_applied_no_more_goes_and_what_another_applies_conflicts(
    cluster: Clients,
) -> None:
    def apply(labels: dict[str, str], manager: str, **asked: str) -> dict[str, Any]:
        body = service(metadata={"labels": labels})
        query = "&".join(f"{n}={v}" for n, v in {"fieldManager": manager, **asked}.items())
        path = "/apis/ome.io/v1beta1/namespaces/default/inferenceservices/tuned"
        headers = {"Content-Type": "application/apply-patch+yaml"}
        headers |= {"Authorization": f"Bearer {cluster.double.token}"}
        url = f"{cluster.double.url}{path}?{query}"
        with urllib3.PoolManager() as pool:
            answer = pool.request("PATCH", url, json=body, headers=headers)
        return {"code": answer.status, **answer.json()}

    assert apply({"a": "1", "b": "1"}, "first")["code"] in (200, 201)
    assert apply({"a": "1"}, "first")["metadata"]["labels"] == {"a": "1"}
    clash = apply({"a": "2"}, "second")
    assert clash["code"] == 409
    assert 'conflict with "first"' in clash["message"]
    assert apply({"a": "2"}, "second", force="true")["metadata"]["labels"] == {"a": "2"}


def test_the_next_requests_fail_as_asked(cluster: Clients) -> None:
    cluster.double.faults.answer(429, retry_after_s=3, method="POST")
    listed = cluster.core.list_namespaced_pod
    assert listed("default").items == []
    call = cluster.core.create_namespaced_pod
    assert refused(call, "default", pod())[0] == 429
    call("default", pod())
    assert [each.metadata.name for each in listed("default").items] == ["server"]


def test_an_answer_can_be_lost_of_what_was_done(cluster: Clients) -> None:
    cluster.double.faults.refuse(after=True, method="POST")
    with pytest.raises((urllib3.exceptions.HTTPError, client.ApiException)):
        cluster.core.create_namespaced_pod("default", pod())
    assert len(cluster.double.objects("pods")) == 1


def test_what_is_forbidden_is_so_for_reviews_as_well(cluster: Clients) -> None:
    cluster.double.faults.forbid("create", "pods")
    status, body = refused(cluster.core.create_namespaced_pod, "default", pod())
    assert status == 403
    assert 'cannot create resource \\"pods\\"' in body
    review = {"spec": {"resourceAttributes": {"verb": "create", "resource": "pods"}}}
    asked = client.AuthorizationV1Api(cluster.api).create_self_subject_access_review
    assert asked(review).status.allowed is False
    cluster.double.faults.permit()
    assert asked(review).status.allowed is True


def test_a_server_that_was_away_has_everything_it_had(cluster: Clients) -> None:
    cluster.create(service())
    cluster.double.faults.go_away()
    with pytest.raises(urllib3.exceptions.HTTPError):
        cluster.custom.list_namespaced_custom_object(**cluster.where(), _request_timeout=5)
    cluster.double.faults.come_back()
    assert len(cluster.custom.list_namespaced_custom_object(**cluster.where())["items"]) == 1

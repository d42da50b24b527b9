from datetime import timedelta

import pytest

from autotuner.kubernetes_api.faults import ForbiddenError, NotThereError
from autotuner.kubernetes_api.kinds import INFERENCE_SERVICE, LEASE, POD
from autotuner.kubernetes_api.ownership import (
    LEASE_LABEL,
    OME_KINDS,
    POD_KINDS,
    STALE_S,
    labels_of,
    owned_by_the_dead,
    remove_left_behind,
    remove_of_lease,
    renew,
    sign_of_life,
)

OURS = "0123456789abcdef"


def make(cluster, token=OURS, *, launcher="pods", age_s=0.0, name="a"):
    """Everything of an attempt, whose owner renewed its sign of life so long ago."""
    labels = labels_of(token, "study", "e1-a2")
    moment = cluster.now() - timedelta(seconds=age_s)
    cluster.apply(sign_of_life(name, labels, launcher, "node", moment))
    metadata = {"name": name, "labels": labels}
    cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {}})
    spec = {"containers": [{"name": "c", "image": "i"}]}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    ports = {"ports": [{"port": 80}]}
    cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": ports})


def everything(double):
    kinds = ("leases", "secrets", "pods", "services", "inferenceservices")
    return [each["metadata"]["name"] for kind in kinds for each in double.objects(kind)]


def test_labels_say_whose_it_is_in_letters_that_labels_may_have():
    labels = labels_of(OURS, "a study!", "e1-a2")
    assert labels["app.kubernetes.io/managed-by"] == "autotuner"
    assert labels[LEASE_LABEL] == OURS
    assert labels["autotuner/study"] == "a-study"
    assert labels["autotuner/experiment"] == "e1"
    assert labels["autotuner/attempt"] == "e1-a2"


def test_all_of_an_attempt_goes_and_of_no_other(cluster, kubernetes_double):
    make(cluster)
    make(cluster, "fedcba", name="b")
    remove_of_lease(cluster, OURS, POD_KINDS, grace_s=1, timeout_s=30.0)
    assert everything(kubernetes_double) == ["b"] * 4


def test_a_removal_that_finds_nothing_is_well(cluster):
    remove_of_lease(cluster, OURS, OME_KINDS, grace_s=1, timeout_s=30.0)


def test_what_does_not_go_in_time_is_named_and_keeps_its_sign_of_life(cluster, kubernetes_double):
    make(cluster)
    kubernetes_double.patch("pods", "default", "a", {"metadata": {"finalizers": ["x.io/y"]}})
    with pytest.raises(TimeoutError, match="left in namespace default: Pod a"):
        remove_of_lease(cluster, OURS, POD_KINDS, grace_s=1, timeout_s=0.0)
    assert cluster.find(LEASE, "a") is not None


def test_where_benchmark_jobs_may_not_be_seen_none_was_made(cluster, kubernetes_double):
    make(cluster, launcher="ome")
    kubernetes_double.faults.forbid("list", "benchmarkjobs")
    remove_of_lease(cluster, OURS, OME_KINDS, grace_s=1, timeout_s=30.0)
    assert everything(kubernetes_double) == []


def test_where_pods_may_not_be_seen_nobody_says_that_they_are_gone(cluster, kubernetes_double):
    kubernetes_double.faults.forbid("list", "pods")
    with pytest.raises(ForbiddenError):
        remove_of_lease(cluster, OURS, POD_KINDS, grace_s=1, timeout_s=0.0)


def test_only_who_has_not_renewed_for_long_is_dead(cluster):
    make(cluster, "old", age_s=STALE_S + 5, name="old")
    make(cluster, "young", age_s=STALE_S - 60, name="young")
    assert list(owned_by_the_dead(cluster)) == ["old"]
    renew(cluster, "old")
    assert owned_by_the_dead(cluster) == {}


def test_who_renews_a_sign_that_is_gone_hears_of_it(cluster):
    with pytest.raises(NotThereError):
        renew(cluster, "none")


def test_a_sign_of_life_that_cannot_be_read_is_no_sign_of_death(cluster, kubernetes_double):
    make(cluster)
    changes = {"spec": {"renewTime": None}}
    kubernetes_double.patch("leases", "default", "a", changes)
    assert owned_by_the_dead(cluster) == {}


def test_what_the_dead_have_left_goes_and_the_living_stay(cluster, kubernetes_double):
    make(cluster, "old", age_s=STALE_S + 5, name="old")
    make(cluster, "young", name="young")
    for _ in range(2):  # asked once, and looked at again
        remove_left_behind(cluster, POD_KINDS)
    assert everything(kubernetes_double) == ["young"] * 4


def test_services_of_ome_are_left_to_who_can_see_them(cluster, kubernetes_double):
    make(cluster, "old", launcher="ome", age_s=STALE_S + 5, name="old")
    assert remove_left_behind(cluster, POD_KINDS) == []
    assert cluster.find(POD, "old") is not None
    assert remove_left_behind(cluster, OME_KINDS) == ["old"]


def test_a_service_of_ome_stays_until_ome_has_ended_it(cluster, kubernetes_double):
    labels = labels_of(OURS, "study", "e1-a2")
    finalizers = ["inferenceservice.finalizers"]
    kubernetes_double.add(
        "inferenceservices",
        {"metadata": {"name": "s", "labels": labels, "finalizers": finalizers}, "spec": {}},
    )
    with pytest.raises(TimeoutError, match="InferenceService s"):
        remove_of_lease(cluster, OURS, OME_KINDS, grace_s=1, timeout_s=0.0)
    found = cluster.get(INFERENCE_SERVICE, "s")
    assert found["metadata"]["deletionTimestamp"]
    kubernetes_double.patch("inferenceservices", "default", "s", {"metadata": {"finalizers": []}})
    remove_of_lease(cluster, OURS, OME_KINDS, grace_s=1, timeout_s=30.0)

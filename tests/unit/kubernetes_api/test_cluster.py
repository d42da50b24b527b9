import pytest

from autotuner.kubernetes_api.faults import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotThereError,
    UnreachableError,
)
from autotuner.kubernetes_api.kinds import EVENT, INFERENCE_SERVICE, POD, SECRET, SERVICE

POD_OBJECT = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "labels": {"app": "mine"}},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}


def test_what_is_applied_is_there_and_can_be_applied_again(cluster):
    made = cluster.apply(POD_OBJECT)
    assert made["metadata"]["uid"]
    assert cluster.apply(POD_OBJECT)["metadata"]["uid"] == made["metadata"]["uid"]
    assert cluster.get(POD, "p")["spec"]["containers"][0]["image"] == "i"


def test_a_dry_run_leaves_nothing(cluster):
    cluster.apply(POD_OBJECT, dry=True)
    assert cluster.find(POD, "p") is None


def test_a_field_that_the_server_does_not_know_is_refused(cluster):
    wrong = {**POD_OBJECT, "spec": {**POD_OBJECT["spec"], "bogus": 1}}
    with pytest.raises(InvalidError, match="bogus"):
        cluster.apply(wrong)
    assert cluster.find(POD, "p") is None


def test_what_is_not_there_is_told_from_what_is_forbidden(cluster, kubernetes_double):
    with pytest.raises(NotThereError):
        cluster.get(POD, "none")
    kubernetes_double.faults.forbid("get", "pods")
    with pytest.raises(ForbiddenError):
        cluster.find(POD, "none")


def test_objects_are_selected_by_labels_and_say_what_they_are(cluster):
    cluster.apply(POD_OBJECT)
    other = {**POD_OBJECT, "metadata": {"name": "q", "labels": {"app": "other"}}}
    cluster.apply(other)
    (found,) = cluster.select(POD, labels={"app": "mine"})
    assert (found["apiVersion"], found["kind"], found["metadata"]["name"]) == ("v1", "Pod", "p")


def test_a_deletion_says_whether_there_was_anything(cluster):
    cluster.apply(POD_OBJECT)
    assert cluster.delete(POD, "p")
    assert not cluster.delete(POD, "p")


def test_a_deletion_spares_another_object_of_the_same_name(cluster):
    cluster.apply(POD_OBJECT)
    with pytest.raises(ConflictError):
        cluster.delete(POD, "p", uid="another")
    assert cluster.find(POD, "p") is not None


def test_secrets_are_removed_by_their_labels_without_being_read(cluster, kubernetes_double):
    kubernetes_double.faults.forbid("get", "secrets")
    kubernetes_double.faults.forbid("list", "secrets")
    labels = {"app": "mine"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": labels}}
    cluster.apply({**secret, "stringData": {"TOKEN": "x"}})
    assert kubernetes_double.objects("secrets")
    cluster.delete_all(SECRET, labels)
    assert kubernetes_double.objects("secrets") == []


def test_events_are_the_warnings_about_one_object(cluster, kubernetes_double):
    made = cluster.apply(POD_OBJECT)
    kubernetes_double.add_event(made, "Warning", "Failed", "no such image")
    kubernetes_double.add_event(made, "Normal", "Pulled", "pulled")
    (event,) = cluster.events_of("p")
    assert (event["kind"], event["reason"]) == (EVENT.name, "Failed")
    assert cluster.events_of("another") == []


def test_the_end_of_a_log(cluster, kubernetes_double):
    cluster.apply(POD_OBJECT)
    kubernetes_double.patch_status("pods", "default", "p", {"phase": "Running"})
    kubernetes_double.set_log("default", "p", "one\ntwo\nthree\n")
    assert cluster.log_tail("p", "c", lines=2) == "two\nthree\n"


def test_what_we_may_do(cluster, kubernetes_double):
    assert cluster.can_i("create", SERVICE) == (True, "")
    kubernetes_double.faults.forbid("create", "services")
    assert cluster.can_i("create", SERVICE) == (False, "no rule allows it")


def test_a_kind_that_the_cluster_lacks_is_not_there(kubernetes_double, cluster):
    kubernetes_double.faults.answer(404, path="inferenceservices")
    assert cluster.find(INFERENCE_SERVICE, "x") is None


def test_the_time_is_the_servers(cluster):
    assert cluster.now().tzinfo is not None


def test_a_server_that_is_busy_is_asked_again(cluster, kubernetes_double):
    kubernetes_double.faults.answer(503, 2)
    kubernetes_double.faults.answer(429, retry_after_s=0)
    cluster.apply(POD_OBJECT)
    assert cluster.find(POD, "p") is not None


def test_an_answer_that_was_lost_leaves_one_object(cluster, kubernetes_double):
    kubernetes_double.faults.refuse(after=True, method="PATCH")
    cluster.apply(POD_OBJECT)
    assert len(kubernetes_double.objects("pods")) == 1


def test_a_server_that_stays_away_is_unreachable_when_patience_ends(cluster, kubernetes_double):
    kubernetes_double.faults.go_away()
    with pytest.raises(UnreachableError):
        cluster.wire.ask("GET", "/version", patience_s=0.3)
    kubernetes_double.faults.come_back()
    assert cluster.version() == "v1.34.0"


def test_every_request_has_credentials_and_our_name(cluster, kubernetes_double):
    cluster.version()
    headers = kubernetes_double.requests[-1].headers
    assert headers["authorization"] == f"Bearer {kubernetes_double.token}"
    assert headers["user-agent"].startswith("autotuner/")

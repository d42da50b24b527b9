"""What a keeper makes of pods and services as they come and go; nothing runs in them."""

from __future__ import annotations

import pytest

from autotuner.kubernetes_api.connection import Access, connected
from autotuner.launchers.kubernetes.sight import Sight
from autotuner.spec.experiment import FailureKind

LABELS = {"autotuner/lease": "token"}
RUNNING = {
    "phase": "Running",
    "podIP": "10.0.0.1",
    "containerStatuses": [
        {"name": "server", "restartCount": 0, "state": {"running": {}}, "lastState": {}}
    ],
}


@pytest.fixture
def cluster(kubernetes_double, tmp_path):
    with connected(Access(str(kubernetes_double.kubeconfig(tmp_path / "kubeconfig")))) as found:
        yield found


@pytest.fixture
def sight_of(cluster):
    made = []

    def start(launcher, *, unschedulable_s=3600.0):
        order = {"name": "at-1", "token": "token", "launcher": launcher}
        made.append(Sight(cluster, {**order, "unschedulable_s": unschedulable_s}, "server"))
        return made[-1]

    yield start
    for each in made:
        with each:
            pass


def add_pod(double, name="at-1", status=RUNNING):
    spec = {"nodeName": "n1", "containers": [{"name": "server", "image": "i"}]}
    meta = {"name": name, "namespace": "default", "labels": LABELS}
    double.add("pods", {"metadata": meta, "spec": spec, "status": status})


def add_service(double, *, ready):
    double.add(
        "inferenceservices",
        {
            "metadata": {"name": "at-1", "namespace": "default", "labels": LABELS},
            "spec": {"model": {"name": "m"}},
            "status": {
                "url": "http://at-1.default/",
                "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            },
        },
    )


def restarted(status):
    (container,) = status["containerStatuses"]
    last = {"terminated": {"exitCode": 1, "reason": "Error"}}
    return {**status, "containerStatuses": [{**container, "restartCount": 1, "lastState": last}]}


def test_a_pod_answers_at_its_own_address(kubernetes_double, sight_of, wait_until):
    add_pod(kubernetes_double)
    sight = sight_of("pods")
    assert wait_until(lambda: sight.look().url == "http://10.0.0.1:8000")


def test_a_restart_of_a_server_that_was_ready_is_its_end(kubernetes_double, sight_of, wait_until):
    add_pod(kubernetes_double)
    sight = sight_of("pods")
    assert wait_until(lambda: sight.look().url)
    kubernetes_double.patch_status("pods", "default", "at-1", restarted(RUNNING))
    assert wait_until(lambda: sight.look().end)
    end = sight.look().end
    assert (end.kind, end.exit_code) == (FailureKind.SERVER_CRASHED, 1)


def test_a_service_answers_once_ome_calls_it_ready(kubernetes_double, sight_of, wait_until):
    add_service(kubernetes_double, ready=False)
    add_pod(kubernetes_double, "at-1-engine-a")
    sight = sight_of("ome")
    assert wait_until(lambda: sight.look().pod)
    assert sight.look().url is None
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    kubernetes_double.patch_status("inferenceservices", "default", "at-1", ready)
    assert wait_until(lambda: sight.look().url == "http://at-1.default")


def test_a_pod_in_the_place_of_another_is_a_crash(kubernetes_double, sight_of, wait_until):
    add_service(kubernetes_double, ready=True)
    add_pod(kubernetes_double, "at-1-engine-a")
    sight = sight_of("ome")
    assert wait_until(lambda: sight.look().url)
    add_pod(kubernetes_double, "at-1-engine-b")
    assert wait_until(lambda: sight.look().fault)
    assert "replaced by another one (at-1-engine-b)" in sight.look().fault.message


def test_a_service_that_somebody_deletes_is_lost(kubernetes_double, sight_of, wait_until):
    add_service(kubernetes_double, ready=True)
    add_pod(kubernetes_double, "at-1-engine-a")
    sight = sight_of("ome")
    assert wait_until(lambda: sight.look().url)
    kubernetes_double.delete("inferenceservices", "default", "at-1")
    assert wait_until(lambda: sight.look().fault)
    assert "InferenceService at-1 was deleted by none of ours" in sight.look().fault.message


def test_an_ome_that_does_nothing_is_told(kubernetes_double, sight_of, wait_until):
    add_service(kubernetes_double, ready=False)
    sight = sight_of("ome", unschedulable_s=0.2)
    assert wait_until(lambda: sight.look().fault)
    assert "OME has made no pod" in sight.look().fault.message

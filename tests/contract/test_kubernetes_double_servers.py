"""What the double's OME, scheduler and kubelet make of servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psutil
import pytest
import urllib3
from kubernetes_double.double import KubernetesDouble
from kubernetes_double.ome_controller import ome_controller

WaitUntil = Callable[[Callable[[], object]], bool]
OURS = {"app.kubernetes.io/managed-by": "autotuner"}
SIM = ["-m", "autotuner.engines.sim_server", "--model", "$(MODEL_PATH)", "--host", "0.0.0.0"]


def add_pod(double: KubernetesDouble, **spec: Any) -> dict[str, Any]:
    container = {"name": "server", "image": "sim", **spec}
    metadata = {"name": "server", "labels": OURS}
    return double.add(
        "pods",
        {
            "metadata": metadata,
            "spec": {"restartPolicy": "Never", "containers": [container]},
            "status": {"phase": "Pending"},
        },
    )


def add_service(double: KubernetesDouble, runtime: bool = True) -> None:
    storage = {"storageUri": "hf://tiny", "path": "/models/tiny"}
    double.add("clusterbasemodels", {"metadata": {"name": "tiny"}, "spec": {"storage": storage}})
    runner = {
        "name": "ome-container",
        "image": "sim",
        "command": ["python3"],
        "args": [*SIM, "--served-model-name", "tiny", "--port", "8000"],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"tcpSocket": {"port": "http"}},
    }
    if runtime:
        spec = {"engineConfig": {"runner": runner}}
        double.add("servingruntimes", {"metadata": {"name": "sim"}, "spec": spec})
    double.add(
        "inferenceservices",
        {
            "metadata": {"name": "tuned", "labels": OURS},
            "spec": {
                "model": {"name": "tiny", "kind": "ClusterBaseModel"},
                "runtime": {"name": "sim", "kind": "ServingRuntime"},
                "engine": {},
            },
        },
    )


def status_of(double: KubernetesDouble) -> dict[str, Any]:
    found = double.object("inferenceservices", "default", "tuned")
    assert found is not None
    return found.get("status") or {}


def state_of(double: KubernetesDouble) -> dict[str, Any]:
    (pod,) = double.objects("pods")
    states = pod["status"].get("containerStatuses") or [{"state": {}}]
    found: dict[str, Any] = states[0]["state"]
    return found


def test_a_service_is_a_real_server_until_it_is_deleted(
    kubernetes_double: KubernetesDouble, wait_until: WaitUntil
) -> None:
    double = kubernetes_double
    with ome_controller(double, start_command=True, deletion_s=0.1) as controller:
        add_service(double)
        assert wait_until(lambda: status_of(double).get("url"))
        with urllib3.PoolManager() as pool:
            answer = pool.request("GET", status_of(double)["url"] + "/v1/models")
        assert answer.json()["data"][0]["root"] == "/models/tiny"
        (pid,) = controller.pids
        double.delete("inferenceservices", "default", "tuned")
        assert double.objects("inferenceservices") != []
        assert wait_until(lambda: not double.objects("inferenceservices"))
        assert double.objects("pods") == []
        assert not psutil.pid_exists(pid)


def test_no_process_is_left_of_a_controller_that_ends(
    kubernetes_double: KubernetesDouble, wait_until: WaitUntil
) -> None:
    with ome_controller(kubernetes_double, start_command=True) as controller:
        add_pod(kubernetes_double, command=["sleep", "600"])
        assert wait_until(lambda: controller.pids)
        (pid,) = controller.pids
    assert not psutil.pid_exists(pid)


def test_a_command_that_ends_ends_its_pod(
    kubernetes_double: KubernetesDouble, wait_until: WaitUntil
) -> None:
    with ome_controller(kubernetes_double, start_command=True):
        add_pod(kubernetes_double, command=["sh", "-c", "exit 3"])
        assert wait_until(lambda: "terminated" in state_of(kubernetes_double))
    assert state_of(kubernetes_double)["terminated"]["exitCode"] == 3
    assert kubernetes_double.objects("pods")[0]["status"]["phase"] == "Failed"


@pytest.mark.parametrize(
    ("script", "state", "reason"),
    [
        ("image_pull", "waiting", "ImagePullBackOff"),
        ("never", "waiting", "ContainerCreating"),
        ("crash_loop", "terminated", "Error"),
        ("oom_killed", "terminated", "OOMKilled"),
    ],
)
def test_a_pod_gets_into_the_state_that_its_script_says(
    kubernetes_double: KubernetesDouble,
    wait_until: WaitUntil,
    script: str,
    state: str,
    reason: str,
) -> None:
    with ome_controller(kubernetes_double, script):
        add_pod(kubernetes_double)
        assert wait_until(
            lambda: state_of(kubernetes_double).get(state, {}).get("reason") == reason
        )


def test_a_pod_that_no_node_takes_says_so(
    kubernetes_double: KubernetesDouble, wait_until: WaitUntil
) -> None:
    with ome_controller(kubernetes_double, "unschedulable"):
        add_pod(kubernetes_double)
        assert wait_until(lambda: kubernetes_double.objects("events"))
    (pod,) = kubernetes_double.objects("pods")
    assert pod["status"]["conditions"][0]["reason"] == "Unschedulable"
    assert kubernetes_double.objects("events")[0]["reason"] == "FailedScheduling"


@pytest.mark.parametrize(
    ("script", "transition"),
    [("blocked", "BlockedByFailedLoad"), ("invalid_spec", "InvalidSpec")],
)
def test_a_service_that_fails_says_why(
    kubernetes_double: KubernetesDouble, wait_until: WaitUntil, script: str, transition: str
) -> None:
    with ome_controller(kubernetes_double, script):
        add_service(kubernetes_double)
        assert wait_until(
            lambda: (
                status_of(kubernetes_double).get("modelStatus", {}).get("transitionStatus")
                == transition
            )
        )
    assert status_of(kubernetes_double)["modelStatus"]["lastFailureInfo"]["message"]


def test_a_service_without_its_runtime_is_told_by_an_event(
    kubernetes_double: KubernetesDouble, wait_until: WaitUntil
) -> None:
    with ome_controller(kubernetes_double):
        add_service(kubernetes_double, runtime=False)
        assert wait_until(lambda: kubernetes_double.objects("events"))
    (event,) = kubernetes_double.objects("events")
    assert event["reason"] == "RuntimeValidationError"
    assert kubernetes_double.objects("pods") == []

"""The Kubernetes objects, through the client's own models."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kubernetes import client

from autotuner.engines.registry import load_engine
from autotuner.export.deployment import Deployment, Options
from autotuner.export.kubernetes import kubernetes_manifests
from autotuner.export.pods import literal

Make = Callable[..., Deployment]


def strictly(content: dict[str, Any], model: str) -> None:
    """Refuse what the API would: the client's models drop unknown fields, so nothing may go."""
    class_ = getattr(client, model)
    if hasattr(class_, "from_dict"):
        read = class_.from_dict(content)
    else:

        class Answer:
            data = json.dumps(content)

        read = client.ApiClient().deserialize(Answer(), model)
    assert client.ApiClient().sanitize_for_serialization(read) == content


def objects_of(made: Deployment) -> tuple[dict[str, Any], dict[str, Any]]:
    deployment, service = yaml.safe_load_all(kubernetes_manifests(made))
    strictly(deployment, "V1Deployment")
    strictly(service, "V1Service")
    return deployment, service


def container_of(made: Deployment) -> dict[str, Any]:
    (container,) = objects_of(made)[0]["spec"]["template"]["spec"]["containers"]
    return dict(container)


def expanded(text: str, variables: dict[str, str]) -> str:
    """As the kubelet fills in commands: ``$$`` is a dollar sign, ``$(A)`` a variable if known."""
    return re.sub(
        r"\$\$|\$\((.*?)\)",
        lambda match: "$" if match[0] == "$$" else variables.get(match[1], match[0]),
        text,
    )


def started(container: dict[str, Any], secrets: dict[str, str] | None = None) -> list[str]:
    words = [*container["command"], *container["args"]]
    return [expanded(word, secrets or {}) for word in words]


def in_container(made: Deployment) -> list[str]:
    return load_engine(made.server.engine).command(
        made.server, host="0.0.0.0", port=made.options.port, served_name=made.served_name
    )


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_the_container_starts_the_whole_command(engine: str, deployment: Make) -> None:
    made = deployment(engine)
    assert started(container_of(made)) == in_container(made)


def test_an_unknown_field_would_be_found(deployment: Make) -> None:
    content = objects_of(deployment())[0]
    content["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    with pytest.raises((AssertionError, ValueError)):
        strictly(content, "V1Deployment")


def test_gpus_are_in_requests_and_limits(deployment: Make) -> None:
    devices = {"nvidia.com/gpu": "4"}
    assert container_of(deployment(gpus=4))["resources"] == {
        "requests": devices,
        "limits": devices,
    }
    assert "resources" not in container_of(deployment(gpus=0, options=Options(image="cpu:1")))


def test_health_is_asked_for_before_traffic_comes(deployment: Make) -> None:
    container = container_of(deployment())
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": "http"}
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 1800


def test_an_engine_without_a_known_health_page_is_asked_for_its_port(deployment: Make) -> None:
    container = container_of(deployment("custom", options=Options(image="mine:1")))
    assert container["readinessProbe"]["tcpSocket"] == {"port": "http"}


def test_the_pod_has_no_more_rights_than_it_needs(deployment: Make) -> None:
    pod = objects_of(deployment())[0]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    security = pod["containers"][0]["securityContext"]
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}


def test_variables_of_services_do_not_configure_the_engine(deployment: Make) -> None:
    assert objects_of(deployment())[0]["spec"]["template"]["spec"]["enableServiceLinks"] is False


def test_shared_memory_is_memory(deployment: Make) -> None:
    pod = objects_of(deployment())[0]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["shm"]["emptyDir"]["medium"] == "Memory"
    assert {"name": "shm", "mountPath": "/dev/shm"} in pod["containers"][0]["volumeMounts"]


def test_a_model_folder_is_read_only(deployment: Make) -> None:
    pod = objects_of(deployment(model="/models/a"))[0]["spec"]["template"]["spec"]
    assert pod["volumes"][1]["hostPath"] == {"path": "/models/a", "type": "Directory"}
    mount = pod["containers"][0]["volumeMounts"][1]
    assert mount == {"name": "model", "mountPath": "/models/a", "readOnly": True}


def test_the_service_leads_to_the_pods(deployment: Make) -> None:
    workload, service = objects_of(deployment(options=Options(port=9000)))
    assert service["spec"]["selector"] == workload["spec"]["selector"]["matchLabels"]
    assert service["spec"]["selector"] == workload["spec"]["template"]["metadata"]["labels"]
    (port,) = service["spec"]["ports"]
    container = workload["spec"]["template"]["spec"]["containers"][0]
    assert container["ports"] == [{"name": port["targetPort"], "containerPort": 9000}]


def test_a_new_version_does_not_wait_for_the_gpus_of_the_old(deployment: Make) -> None:
    assert objects_of(deployment())[0]["spec"]["strategy"] == {"type": "Recreate"}


def test_secrets_come_from_a_secret_that_is_named(deployment: Make) -> None:
    made = deployment(environment={"HF_TOKEN": "***"}, flags={"api-key": "sk-123"})
    text = kubernetes_manifests(made)
    assert "sk-123" not in text
    assert "***" not in text
    assert (
        "kubectl create secret generic qwen3-8b-secrets "
        '--from-literal=HF_TOKEN="$HF_TOKEN" --from-literal=API_KEY="$API_KEY"'
    ) in text
    container = container_of(made)
    by_name = {variable["name"]: variable for variable in container["env"]}
    for name in ("HF_TOKEN", "API_KEY"):
        assert by_name[name]["valueFrom"]["secretKeyRef"] == {
            "name": "qwen3-8b-secrets",
            "key": name,
        }
    assert started(container, {"API_KEY": "sk-1"})[-2:] == ["--api-key", "sk-1"]


@pytest.mark.parametrize(
    "model", ["Qwen/Qwen3-8B", "/models/My Model_1.5", "/models/7B", "/models/...", "x" * 200, "é"]
)
def test_names_are_legal(model: str, deployment: Make) -> None:
    made = deployment(model=model)
    for content in objects_of(made):
        for name in (content["metadata"]["name"], *content["metadata"]["labels"].values()):
            assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
            assert len(name) <= 63


def test_every_value_arrives_unchanged(
    hostile: str, hostile_deployment: Callable[[str], Deployment]
) -> None:
    made = hostile_deployment(hostile)
    container = container_of(made)
    assert started(container) == in_container(made)
    values = {v["name"]: v.get("value") for v in container["env"]}
    assert expanded(str(values["NOTE"]), {}) == hostile


@given(st.text(alphabet="$()ab{} "))
def test_any_text_is_filled_in_as_itself(text: str) -> None:
    assert expanded(literal(text), {"a": "1", "ab": "2"}) == text

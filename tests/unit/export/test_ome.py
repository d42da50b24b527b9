"""OME's objects, against the schemas of its own definitions where those are at hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from autotuner.engines.registry import load_engine
from autotuner.export.deployment import Deployment, Options
from autotuner.export.ome import ome_manifests

Make = Callable[..., Deployment]
CRDS = Path(__file__).parents[4] / "shared" / "crds"
needs_crds = pytest.mark.skipif(
    not (CRDS / "ome.io_servingruntimes.yaml").exists(),
    reason="OME's definitions are not beside the repository (../shared/crds)",
)


@cache
def definition_of(plural: str) -> jsonschema.Draft202012Validator:
    """The validator of a definition, made once: to read one takes seconds."""
    text = (CRDS / f"ome.io_{plural}.yaml").read_text()
    (version,) = yaml.load(text, yaml.CSafeLoader)["spec"]["versions"]
    schema = dict(version["schema"]["openAPIV3Schema"])
    # The definitions leave this to Kubernetes.
    schema["properties"]["metadata"] = {"type": "object"}
    close(schema)
    return jsonschema.Draft202012Validator(schema)


def close(schema: Any) -> None:
    """Refuse unknown fields, as the API does where it validates strictly."""
    if not isinstance(schema, dict):
        return
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)
    for name in ("properties", "items", "additionalProperties"):
        below = schema.get(name)
        for entry in below.values() if name == "properties" and below else [below]:
            close(entry)


def objects_of(made: Deployment) -> tuple[dict[str, Any], dict[str, Any]]:
    runtime, service = yaml.safe_load_all(ome_manifests(made))
    return runtime, service


def runner_of(made: Deployment) -> dict[str, Any]:
    return dict(objects_of(made)[0]["spec"]["engineConfig"]["runner"])


def started(container: dict[str, Any], model_path: str) -> list[str]:
    words = [*container["command"], *container["args"]]
    variables = {"$$": "$", "$(MODEL_PATH)": model_path}
    # As the kubelet does, in one pass; other variables are not known.
    return [
        re.sub(r"\$\$|\$\(MODEL_PATH\)", lambda match: variables[match[0]], word) for word in words
    ]


@needs_crds
@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("gpus", [0, 4])
def test_both_objects_fit_the_definitions(engine: str, gpus: int, deployment: Make) -> None:
    made = deployment(
        engine,
        gpus=gpus,
        environment={"HF_TOKEN": "***", "A": "b"},
        flags={"api-key": "x"},
        options=Options(image="mine:1"),
    )
    runtime, service = objects_of(made)
    definition_of("servingruntimes").validate(runtime)
    definition_of("inferenceservices").validate(service)


@needs_crds
def test_an_unknown_field_would_be_found(deployment: Make) -> None:
    runtime, service = objects_of(deployment())
    runtime["spec"]["engineConfig"]["runner"]["imagePullPolice"] = "Always"
    with pytest.raises(jsonschema.ValidationError, match="imagePullPolice"):
        definition_of("servingruntimes").validate(runtime)
    service["spec"]["engine"]["replicas"] = 1
    with pytest.raises(jsonschema.ValidationError, match="replicas"):
        definition_of("inferenceservices").validate(service)


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_the_runtime_starts_the_whole_command_on_omes_model(engine: str, deployment: Make) -> None:
    made = deployment(engine, model="/models/a")
    assert started(runner_of(made), "/models/a") == load_engine(engine).command(
        made.server, host="0.0.0.0", port=8000, served_name="a"
    )


def test_the_service_takes_nothing_of_the_command_away(deployment: Make) -> None:
    """A list of the service would replace the runtime's."""
    runner = objects_of(deployment())[1]["spec"]["engine"]["runner"]
    assert set(runner) == {"name", "resources"}


def test_the_containers_have_the_name_that_ome_looks_for(deployment: Make) -> None:
    runtime, service = objects_of(deployment())
    assert runtime["spec"]["engineConfig"]["runner"]["name"] == "ome-container"
    assert service["spec"]["engine"]["runner"]["name"] == "ome-container"


def test_there_is_one_replica(deployment: Make) -> None:
    engine = objects_of(deployment())[1]["spec"]["engine"]
    assert (engine["minReplicas"], engine["maxReplicas"]) == (1, 1)


def test_the_service_names_its_runtime_and_its_model(deployment: Make) -> None:
    runtime, service = objects_of(deployment(options=Options(name="tuned")))
    assert service["spec"]["runtime"] == {
        "name": runtime["metadata"]["name"],
        "kind": "ServingRuntime",
    }
    assert service["spec"]["model"] == {"name": "qwen3-8b", "kind": "ClusterBaseModel"}


def test_no_other_model_gets_the_tuned_runtime_unasked(deployment: Make) -> None:
    (supported,) = objects_of(deployment())[0]["spec"]["supportedModelFormats"]
    assert supported["autoSelect"] is False


def test_gpus_are_in_both_objects(deployment: Make) -> None:
    runtime, service = objects_of(deployment(gpus=4))
    devices = {"nvidia.com/gpu": "4"}
    for runner in (
        runtime["spec"]["engineConfig"]["runner"],
        service["spec"]["engine"]["runner"],
    ):
        assert runner["resources"] == {"requests": devices, "limits": devices}


def test_secrets_come_from_a_secret(deployment: Make) -> None:
    made = deployment(environment={"HF_TOKEN": "***"})
    assert "***" not in ome_manifests(made)
    (token,) = (v for v in runner_of(made)["env"] if v["name"] == "HF_TOKEN")
    assert token["valueFrom"]["secretKeyRef"]["name"] == "qwen3-8b-secrets"


@needs_crds
def test_every_value_arrives_unchanged(
    hostile: str, hostile_deployment: Callable[[str], Deployment]
) -> None:
    made = hostile_deployment(hostile)
    runtime, service = objects_of(made)
    definition_of("servingruntimes").validate(runtime)
    definition_of("inferenceservices").validate(service)
    runner = runtime["spec"]["engineConfig"]["runner"]
    assert started(runner, made.server.model.path) == load_engine("vllm").command(
        made.server, host="0.0.0.0", port=8000, served_name=hostile
    )

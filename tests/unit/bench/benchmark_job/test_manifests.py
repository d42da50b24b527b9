from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from kubernetes_double.schemas import full_crds_folder, kinds_and_schemas
from kubernetes_double.structural import find_faults, prune

from autotuner.bench.benchmark_job.manifests import (
    Belonging,
    JobOrder,
    benchmark_job,
    new_name,
    start_file,
)
from autotuner.bench.benchmark_job.reader_pod import reader_pod
from autotuner.bench.benchmark_job.storage import ClaimFolder
from autotuner.spec.launching import PodSettings
from autotuner.spec.workload import StopRule

MakeOrder = Callable[..., JobOrder]
OWNER = {"apiVersion": "ome.io/v1beta1", "kind": "InferenceService", "name": "s", "uid": "u"}
BELONGING = Belonging("team", {"autotuner/lease": "token"}, owners=[OWNER])
VARIED: Mapping[str, dict[str, object]] = {
    "as little as possible": {},
    "all settings": {
        "image": "example.com/genai-bench:v0.0.5",
        "gpu_type": "H100",
        "hub_secret": "hub",
        "hub_endpoint": "https://hub.example.com",
        "request": {"temperature": 0.0},
    },
    "an object store": {"storage": "s3://bucket@eu-1/tuning"},
    "a tokenizer on nodes": {
        "tokenizer": "/models/llama",
        "pod": PodSettings(
            node_selector={"pool": "gpu"},
            tolerations=({"key": "gpu", "operator": "Exists"},),
            affinity={"nodeAffinity": {}},
        ),
    },
    "a tokenizer on a claim": {
        "tokenizer": "/models/llama",
        "pod": PodSettings(model_claim="models", model_mount="/models"),
    },
}


@pytest.fixture(params=VARIED.values(), ids=VARIED.keys())
def job(request: pytest.FixtureRequest, make_order: MakeOrder) -> dict[str, Any]:
    return benchmark_job(make_order(**request.param), BELONGING)


def variables(job: Mapping[str, Any]) -> dict[str, str]:
    found = job["spec"]["podOverride"]["env"]
    return {each["name"]: each["value"].replace("$$", "$") for each in found}


def arguments(job: Mapping[str, Any]) -> list[str]:
    words: list[str] = json.loads(variables(job)["AUTOTUNER_ARGUMENTS"])
    return words


@pytest.mark.parametrize("upstream", [False, True])
def test_jobs_are_valid_to_the_last_field(job: dict[str, Any], upstream: bool) -> None:
    folder = full_crds_folder() if upstream else None
    if upstream and folder is None:
        pytest.skip("the upstream definitions are not here")
    check(job, folder)


def test_pods_and_secrets_are_valid_to_the_last_field() -> None:
    check(start_file("name", BELONGING))
    check(reader_pod("name", "folder", ClaimFolder("results", "a"), "box", 0, BELONGING))


def check(content: dict[str, Any], upstream: Any = None) -> None:
    schemas = kinds_and_schemas(upstream)
    (schema,) = (s for kind, s in schemas.items() if kind.name == content["kind"])
    kept = copy.deepcopy(content)
    assert prune(kept, schema) == []
    assert list(find_faults(kept, schema)) == []


def test_all_objects_carry_the_attempt_and_go_with_its_server(job: dict[str, Any]) -> None:
    pod = reader_pod("name", "folder", ClaimFolder("results", "a"), "box", 0, BELONGING)
    for content in (job, pod, start_file("name", BELONGING)):
        metadata = content["metadata"]
        assert metadata["namespace"] == "team"
        assert metadata["labels"] == {"autotuner/lease": "token"}
        assert metadata["ownerReferences"] == [OWNER]


def test_a_job_asks_the_server_by_its_own_name(make_order: MakeOrder) -> None:
    endpoint = benchmark_job(make_order(), BELONGING)["spec"]["endpoint"]
    assert endpoint == {
        "endpoint": {
            "url": "http://server.team.svc:8000",
            "apiFormat": "openai",
            "modelName": "exp0-a1-0123",
        }
    }


def test_a_job_is_one_level(make_order: MakeOrder) -> None:
    spec = benchmark_job(make_order(), BELONGING)["spec"]
    assert spec["trafficScenarios"] == ["D(100,10)"]
    assert spec["numConcurrency"] == [4]
    assert spec["resultFolderName"] == "bench-exp0-a1-00000000"


def test_times_are_minutes_and_a_missing_number_of_requests_is_a_large_one(
    make_order: MakeOrder,
) -> None:
    some = benchmark_job(make_order(stop=StopRule(180.0, 50)), BELONGING)["spec"]
    assert (some["maxTimePerIteration"], some["maxRequestsPerIteration"]) == (3, 50)
    spec = benchmark_job(make_order(stop=StopRule(60.0)), BELONGING)["spec"]
    assert (spec["maxTimePerIteration"], spec["maxRequestsPerIteration"]) == (1, 2**31 - 1)


def test_what_ome_leaves_out_is_appended(make_order: MakeOrder) -> None:
    words = arguments(benchmark_job(make_order(backend="sglang"), BELONGING))
    assert words == (
        ["--api-backend", "sglang", "--api-key", "none", "--model-tokenizer", "org/model"]
    )


def test_parameters_of_requests_keep_their_types_and_their_dollars(make_order: MakeOrder) -> None:
    request = {"temperature": 0.5, "stop": "$(HOME)"}
    job = benchmark_job(make_order(request=request), BELONGING)
    assert json.loads(arguments(job)[-1]) == request
    (raw,) = (e for e in job["spec"]["podOverride"]["env"] if e["name"] == "AUTOTUNER_ARGUMENTS")
    assert "$$(HOME)" in raw["value"]


def test_the_start_file_is_where_python_looks_first(make_order: MakeOrder) -> None:
    job = benchmark_job(make_order(), BELONGING)
    override, secret = job["spec"]["podOverride"], start_file(job["metadata"]["name"], BELONGING)
    (volume,) = override["volumes"]
    (mount,) = override["volumeMounts"]
    assert volume["secret"]["secretName"] == secret["metadata"]["name"]
    assert mount["mountPath"] == variables(job)["PYTHONPATH"]
    assert b"AUTOTUNER_ARGUMENTS" in base64.b64decode(secret["data"]["sitecustomize.py"])


def test_a_tokenizer_of_the_hub_needs_no_node(make_order: MakeOrder) -> None:
    pod = PodSettings(node_selector={"pool": "gpu"})
    override = benchmark_job(make_order(pod=pod), BELONGING)["spec"]["podOverride"]
    assert "nodeSelector" not in override


def test_a_tokenizer_on_nodes_is_mounted_where_the_model_is(make_order: MakeOrder) -> None:
    order = make_order(tokenizer="/models/llama", pod=PodSettings(node_selector={"pool": "gpu"}))
    override = benchmark_job(order, BELONGING)["spec"]["podOverride"]
    assert override["volumes"][1]["hostPath"] == {"path": "/models/llama", "type": "Directory"}
    assert override["volumeMounts"][1]["mountPath"] == "/models/llama"
    assert override["nodeSelector"] == {
        "pool": "gpu",
        "models.ome.io/clusterbasemodel.llama": "Ready",
    }


@pytest.mark.parametrize("change", [{"base_model": "m" * 33}, {"base_model_kind": "BaseModel"}])
def test_labels_that_ome_writes_in_its_own_way_are_not_guessed(
    make_order: MakeOrder, change: dict[str, str]
) -> None:
    order = make_order(tokenizer="/models/llama", **change)
    assert "nodeSelector" not in benchmark_job(order, BELONGING)["spec"]["podOverride"]


def test_a_tokenizer_on_the_models_claim_is_mounted_with_it(make_order: MakeOrder) -> None:
    pod = PodSettings(model_claim="models", model_mount="/models", node_selector={"a": "b"})
    order = make_order(tokenizer="/models/llama", pod=pod)
    override = benchmark_job(order, BELONGING)["spec"]["podOverride"]
    source = {"claimName": "models", "readOnly": True}
    assert override["volumes"][1]["persistentVolumeClaim"] == source
    assert override["volumeMounts"][1]["mountPath"] == "/models"
    assert "nodeSelector" not in override


def test_the_gpu_is_told_only_where_the_study_names_it(make_order: MakeOrder) -> None:
    assert "serviceMetadata" not in benchmark_job(make_order(), BELONGING)["spec"]
    told = benchmark_job(make_order(gpu_type="H100"), BELONGING)["spec"]["serviceMetadata"]
    assert told == {"engine": "vLLM", "version": "unknown", "gpuType": "H100", "gpuCount": 2}


def test_a_gpu_that_ends_genai_bench_at_once_is_not_told(make_order: MakeOrder) -> None:
    assert "serviceMetadata" not in benchmark_job(make_order(gpu_type="A100"), BELONGING)["spec"]


def test_no_two_jobs_have_one_name() -> None:
    names = {new_name("exp0-a1") for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith("bench-exp0-a1-") for name in names)


@pytest.mark.parametrize("attempt", ["exp0-a1", "Exp_0.x-a12", "x" * 100 + "-a1", "---"])
def test_names_are_names_in_kubernetes_and_leave_room_for_a_pods(attempt: str) -> None:
    name = new_name(attempt)
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
    assert len(name) <= 45

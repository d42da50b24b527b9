"""Manifests hold what the API knows, and nothing that it would drop without a word."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from kuberay.manifests import documents, the
from kubernetes_double.schemas import full_crds_folder, kinds_and_schemas
from kubernetes_double.structural import find_faults, prune

Object = dict[str, Any]
Problems = Callable[[Object], list[str]]


@pytest.fixture(params=["own", "upstream"])
def problems(request: pytest.FixtureRequest) -> Problems:
    """What a strict API server would say of an object."""
    upstream = None
    if request.param == "upstream":
        upstream = full_crds_folder()
        if upstream is None or not (upstream / "ray.io_rayjobs.yaml").exists():
            pytest.skip("AUTOTUNER_TEST_CRDS names no folder with KubeRay's definitions")
    schemas = {
        (kind.api_version, kind.name): schema
        for kind, schema in kinds_and_schemas(upstream).items()
    }

    def find(document: Object) -> list[str]:
        schema = schemas[document["apiVersion"], document["kind"]]
        faults = [f"{fault.field}: {fault.why}" for fault in find_faults(document, schema)]
        unknown = prune(copy.deepcopy(document), schema)
        return [*(f"unknown field {path}" for path in unknown), *faults]

    return find


@pytest.mark.parametrize("file", sorted({name for name, _ in documents()}))
def test_every_object_fits_the_definitions(file: str, problems: Problems) -> None:
    found = [problem for name, each in documents() if name == file for problem in problems(each)]
    assert found == []


def worker_container(spec: Object) -> Object:
    container: Object = spec["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]
    return container


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda s: s.update(idleTimeoutSeconds=1), "unknown field spec.idleTimeoutSeconds"),
        (lambda s: s["autoscalerOptions"].update(version=2), "version"),
        (lambda s: s["authOptions"].update(mode="tokens"), "tokens"),
        (lambda s: s["workerGroupSpecs"][0].pop("groupName"), "groupName"),
        (lambda s: worker_container(s)["lifecycle"].update(preStopp={}), "preStopp"),
        (lambda s: worker_container(s)["securityContext"].update(capability=[]), "capability"),
        (lambda s: worker_container(s)["env"].append({"value": "1"}), "name"),
        (lambda s: s["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}), "num-cpus"),
        (
            lambda s: s["workerGroupSpecs"][0]["template"]["spec"]["volumes"][0][
                "configMap"
            ].update(n=1),
            "configMap.n",
        ),
    ],
)
def test_a_mistake_in_a_cluster_is_found(
    break_it: Callable[[Object], object], told: str, problems: Problems
) -> None:
    cluster = the("raycluster.yaml", "RayCluster")
    break_it(cluster["spec"])
    assert [problem for problem in problems(cluster) if told in problem]


def test_a_mistake_in_a_job_is_found(problems: Problems) -> None:
    job = the("rayjob.yaml", "RayJob")
    job["spec"]["entryPoint"] = job["spec"].pop("entrypoint")
    job["spec"]["submitterPodTemplate"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    told = problems(job)
    assert any("spec.entryPoint" in problem for problem in told)
    assert any("imagePullPolice" in problem for problem in told)

"""What jobs start: commands of ours that parse, studies that load, and room for them."""

from __future__ import annotations

import itertools
import re
import shlex
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from kuberay.manifests import (
    FOLDER,
    documents,
    driver_group,
    groups,
    measuring_groups,
    pod_specs,
    ray_clusters,
    the,
)
from ray.autoscaler._private.kuberay.utils import parse_quantity

from autotuner import StudySpec, plan
from autotuner.cli.main import _parser

Object = dict[str, Any]

JOBS = ("rayjob.yaml", "rayjob-ephemeral.yaml")
ROOT = FOLDER.parents[1]


def asked(command: str) -> Namespace:
    """A command line of ours, as our own parser reads it; it exits where it does not."""
    program, *arguments = shlex.split(command)
    assert program == "autotuner"
    return _parser().parse_args(arguments)


def cluster_of(job: Object) -> Object:
    """The cluster that the job runs on."""
    if "rayClusterSpec" in job["spec"]:
        return dict(job["spec"]["rayClusterSpec"])
    name = job["spec"]["clusterSelector"]["ray.io/cluster"]
    (cluster,) = (
        each["spec"]
        for _, each in documents()
        if each["kind"] == "RayCluster" and each["metadata"]["name"] == name
    )
    return dict(cluster)


def pod_of_driver(job: Object) -> Object:
    """Where the operator has the entrypoint run: on the head, unless it asks for a resource."""
    cluster = cluster_of(job)
    group = driver_group(cluster) if "entrypointResources" in job["spec"] else groups(cluster)[0]
    return dict(group["template"]["spec"])


@pytest.fixture(params=JOBS)
def job(request: pytest.FixtureRequest) -> Object:
    return the(request.param, "RayJob")


@pytest.fixture
def studies(tmp_path: Path) -> dict[str, StudySpec]:
    """The studies of the ConfigMap, by their paths on the head."""
    found = {}
    for name, text in the("studies.yaml", "ConfigMap")["data"].items():
        (tmp_path / name).write_text(text)
        found[f"/studies/{name}"] = StudySpec.from_file(tmp_path / name)
    return found


def test_a_job_runs_a_study_that_is_there_on_the_cluster_of_its_head(
    job: Object, studies: dict[str, StudySpec]
) -> None:
    command = asked(job["spec"]["entrypoint"])
    assert str(command.file) in studies
    # Without it a second Ray would be started on the head, which has no GPU.
    assert command.address == "auto"
    pod = pod_of_driver(job)
    (mounted,) = (v for v in pod["volumes"] if "configMap" in v)
    assert mounted["configMap"]["name"] == the("studies.yaml", "ConfigMap")["metadata"]["name"]
    wanted = {"name": mounted["name"], "mountPath": "/studies", "readOnly": True}
    assert wanted in pod["containers"][0]["volumeMounts"]


def test_results_go_to_the_claim_and_never_to_the_jobs_working_folder(job: Object) -> None:
    output = Path(asked(job["spec"]["entrypoint"]).output)
    assert output.is_absolute()
    pod = pod_of_driver(job)
    claims = {
        v["name"]: v["persistentVolumeClaim"]
        for v in pod["volumes"]
        if len(v) == 2 and "persistentVolumeClaim" in v
    }
    holding = [
        claims[m["name"]]
        for m in pod["containers"][0]["volumeMounts"]
        if m["name"] in claims and output.is_relative_to(m["mountPath"])
    ]
    assert holding == [{"claimName": "results"}]


def test_a_second_try_goes_on_where_the_first_stopped() -> None:
    """The operator's retry is a new cluster with the same command; `run` resumes by its output."""
    spec = the("rayjob-ephemeral.yaml", "RayJob")["spec"]
    assert spec["backoffLimit"] > 0
    assert spec["shutdownAfterJobFinishes"]
    assert asked(spec["entrypoint"]).output is not None


def test_no_entrypoint_takes_a_cpu_or_gpu_from_what_is_measured(job: Object) -> None:
    assert not {"entrypointNumCpus", "entrypointNumGpus"} & set(job["spec"])


def test_a_broken_connection_to_the_log_does_not_end_a_study(job: Object) -> None:
    """The operator gives up a job whose submitter has failed so often, and its cluster with it."""
    assert job["spec"]["submitterConfig"]["backoffLimit"] >= 6


def test_every_experiment_of_the_example_fits_a_gpu_node(studies: dict[str, StudySpec]) -> None:
    for _, cluster in ray_clusters():
        for group in measuring_groups(cluster):
            limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
            if (gpus := int(limits.get("nvidia.com/gpu", 0))) == 0:
                continue
            cpus = int(parse_quantity(limits["cpu"]))
            for spec in studies.values():
                for experiment in plan(spec).experiments:
                    footprint = experiment.footprint
                    assert footprint.gpus <= gpus
                    # As many of them at once as there are GPUs for, so that none stays idle.
                    assert footprint.cpus.reserve * (gpus // footprint.gpus) <= cpus


def test_the_example_serves_the_model_that_is_brought(studies: dict[str, StudySpec]) -> None:
    (pod,) = pod_specs(the("model.yaml", "Job"))
    command = pod["containers"][0]["command"]
    folder = command[command.index("--local-dir") + 1]
    assert {spec.model.path for spec in studies.values()} == {folder}


def test_all_images_are_one() -> None:
    images = {
        each["image"]
        for name, document in documents()
        for pod in pod_specs(document)
        for each in pod["containers"]
        if name != "redis.yaml"
    }
    (image,) = images
    assert re.fullmatch(r"registry\.example/autotuner:[\w.-]+", image)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.name)
def test_the_commands_on_top_of_a_manifest_work(path: Path) -> None:
    top = re.match(r"(#.*\n)+", path.read_text())
    assert top
    lines = [line.removeprefix("#   ") for line in top[0].splitlines() if line.startswith("#   ")]
    commands = "\n".join(lines).replace("\\\n", "").splitlines()
    assert any(command.startswith("kubectl") for command in commands)
    for command in commands:
        words = shlex.split(command, comments=True)
        for option, value in itertools.pairwise(words):
            if option == "--filename" and value != "-":
                assert (ROOT / value).is_file(), command
        if "autotuner" in words:
            asked(shlex.join(words[words.index("autotuner") :]))


@pytest.mark.parametrize(
    "file", ["raycluster.yaml", "raycluster-pods.yaml", "rayjob.yaml", "rayjob-ephemeral.yaml"]
)
def test_each_recipe_names_the_flags_of_doctor(file: str) -> None:
    assert "autotuner doctor /studies/example.yaml --address auto" in (FOLDER / file).read_text()

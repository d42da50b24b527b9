from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotuner.bench.base import LoadContext, Target
from autotuner.bench.benchmark_job.generator import OmeBenchmarkJob
from autotuner.errors import LaunchError
from autotuner.spec.launching import OmeSettings, PodSettings
from autotuner.spec.study import BenchmarkJobSettings
from autotuner.spec.workload import Dataset, StopRule, Workload
from autotuner.supervision.lease import Lease

CHAT = Workload("chat", "D(100,10)", (4, 8), StopRule(120.0, 50))
TARGET = Target("http://server.team.svc:8000", "exp0-a1-0123", "org/model", "vllm")


@pytest.fixture
def context(tmp_path: Path) -> LoadContext:
    # There is no such file: nothing here may need the cluster.
    pod = PodSettings(kubeconfig=str(tmp_path / "missing"))
    return LoadContext(
        folder=tmp_path,
        environment={},
        level_grace_s=60.0,
        lease=Lease("exp0-a1", "study", "token", "boot", "pids", tmp_path),
        launch=OmeSettings("llama", pod=pod),
        benchmark_job=BenchmarkJobSettings("pvc://results/tuning"),
    )


def loads(target: Target, workload: Workload, context: LoadContext) -> list[str | None]:
    found = list(OmeBenchmarkJob().run(target, workload, workload.levels, context))
    assert [load.level for load in found] == list(workload.levels)
    assert all(load.records == () for load in found)
    return [load.failure for load in found]


def changed(thing: Any, **changes: Any) -> Any:
    return replace(thing, **changes)


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("ghcr.io/team/genai-bench:0.0.5", "0.0.5"),
        ("ghcr.io/team/genai-bench:v0.0.5", "0.0.5"),
        ("localhost:5000/genai-bench:v0.0.5@sha256:0123", "0.0.5"),
        ("localhost:5000/genai-bench", None),
        ("genai-bench@sha256:0123", None),
        ("genai-bench:latest", None),
        (None, None),
    ],
)
def test_the_version_is_that_of_the_images_tag(
    context: LoadContext, image: str | None, version: str | None
) -> None:
    job = changed(context.benchmark_job, image=image)
    assert OmeBenchmarkJob().version(changed(context, benchmark_job=job)) == version


@pytest.mark.parametrize("missing", ["launch", "benchmark_job", "lease"])
def test_without_a_service_of_ome_there_is_no_job(context: LoadContext, missing: str) -> None:
    with pytest.raises(LaunchError, match="launcher ome"):
        loads(TARGET, CHAT, changed(context, **{missing: None}))


def test_every_level_says_what_a_job_cannot_do(context: LoadContext) -> None:
    workload = changed(CHAT, dataset=Dataset("prompts.csv"), scenario="dataset")
    assert all("dataset" in str(failure) for failure in loads(TARGET, workload, context))


def test_a_server_with_a_key_is_refused_as_the_key_would_be_written_down(
    context: LoadContext,
) -> None:
    failures = loads(changed(TARGET, api_key="hunter2-secret"), CHAT, context)
    assert all("API key" in str(failure) for failure in failures)
    assert not any("hunter2" in str(failure) for failure in failures)


def test_without_access_to_the_cluster_every_level_says_so(context: LoadContext) -> None:
    assert all("no kubeconfig" in str(failure) for failure in loads(TARGET, CHAT, context))

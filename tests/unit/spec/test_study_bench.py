"""OME's BenchmarkJob as the load generator of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autotuner.spec.study import BenchConfig, BenchmarkJobSettings

if TYPE_CHECKING:
    from .conftest import StudyWriter

IN_OME = {
    "engine": "engine: {name: vllm, image: a}",
    "launcher": "launcher: ome",
    "ome": "ome: {base_model: llama}",
}
JOB = "bench: {name: ome-benchmarkjob, benchmark_job: {storage: 'pvc://results/tuning'}}"


def test_every_key_of_the_job_reaches_the_study(study: StudyWriter) -> None:
    keys = (
        "storage: 's3://bucket/tuning', read_from: ../results, image: bench, reader_image: box:1, "
        "gpu_type: H100, hub_secret: hub"
    )
    bench = f"bench: {{name: ome-benchmarkjob, benchmark_job: {{{keys}}}}}"
    job = BenchmarkJobSettings(
        "s3://bucket/tuning", str(study.folder.parent / "results"), "bench", "box:1", "H100", "hub"
    )
    spec = study.load(**IN_OME, bench=bench)
    assert spec.bench == BenchConfig("ome-benchmarkjob", benchmark_job=job)


def test_the_job_has_defaults_for_all_but_where_its_results_go(study: StudyWriter) -> None:
    job = study.load(**IN_OME, bench=JOB).bench.benchmark_job
    assert job == BenchmarkJobSettings("pvc://results/tuning")


@pytest.mark.parametrize(
    "storage",
    [
        "pvc://results",
        "pvc://results/a/b",
        "pvc://team:results/a",
        "s3://bucket@eu-1/a",
        "gs://bucket/a",
    ],
)
def test_results_go_to_a_claim_or_an_object_store(study: StudyWriter, storage: str) -> None:
    job = study.load(**IN_OME, bench=JOB.replace("pvc://results/tuning", storage)).bench
    assert job.benchmark_job == BenchmarkJobSettings(storage)


@pytest.mark.parametrize("storage", ["oci://n/a/b/c/o/d", "az://account/container/a"])
def test_a_store_that_nodes_do_not_know_needs_another_name_for_them(
    study: StudyWriter, storage: str
) -> None:
    problem = study.problem(**IN_OME, bench=JOB.replace("pvc://results/tuning", storage))
    assert problem.key == "bench.benchmark_job.storage"
    assert "`read_from`" in problem.fix
    job = f"{{storage: '{storage}', read_from: 'abfs://container/a'}}"
    bench = f"bench: {{name: ome-benchmarkjob, benchmark_job: {job}}}"
    read = study.load(**IN_OME, bench=bench).bench.benchmark_job
    assert read is not None
    assert read.read_from == "abfs://container/a"


@pytest.mark.parametrize(
    ("bench", "key", "value", "words"),
    [
        ("ome-benchmarkjob", "bench", "ome-benchmarkjob", "benchmark_job: {storage:"),
        ("{name: ome-benchmarkjob}", "bench.name", "ome-benchmarkjob", "storage:"),
        ("{name: ome-benchmarkjob, benchmark_job: {}}", "bench.benchmark_job.storage", "", "miss"),
        (
            "{name: ome-benchmarkjob, benchmark_job: {storage: /mnt/x}}",
            "bench.benchmark_job.storage",
            "/mnt/x",
            "`pvc://claim/folder`",
        ),
        (
            "{name: ome-benchmarkjob, benchmark_job: {storage: 'github://a/b'}}",
            "bench.benchmark_job.storage",
            "'github://a/b'",
            "`pvc://claim/folder`",
        ),
        (
            "{name: ome-benchmarkjob, benchmark_job: {storage: 'pvc://a', gpu_type: H200}}",
            "bench.benchmark_job.gpu_type",
            "H200",
            "OME knows only H100, A100, MI300, A10",
        ),
        (
            "{name: ome-benchmarkjob, benchmark_job: {storage: 'pvc://a', image: a b}}",
            "bench.benchmark_job.image",
            "a b",
            "no image's name",
        ),
        (
            "{name: ome-benchmarkjob, benchmark_job: {output: 'pvc://a', storage: 'pvc://a'}}",
            "bench.benchmark_job.output",
            "'pvc://a'",
            "`storage`",
        ),
        (
            "{name: ome-benchmarkjob, workers: 2, benchmark_job: {storage: 'pvc://a'}}",
            "bench.workers",
            "2",
            "in the cluster",
        ),
        (
            "{name: ome-benchmarkjob, executable: a, benchmark_job: {storage: 'pvc://a'}}",
            "bench.executable",
            "a",
            "in the cluster",
        ),
        (
            "{name: genai-bench, benchmark_job: {storage: 'pvc://a'}}",
            "bench.benchmark_job",
            "",
            "only the load generator ome-benchmarkjob",
        ),
        ("{name: genai-bench, storage: 'pvc://a'}", "bench.storage", "'pvc://a'", "benchmark_job"),
    ],
)
def test_a_wrong_job_is_explained(
    study: StudyWriter, bench: str, key: str, value: str, words: str
) -> None:
    problem = study.problem(**IN_OME, bench=f"bench: {bench}")
    assert (problem.key, problem.value) == (key, value)
    assert words in problem.fix


@pytest.mark.parametrize("launcher", ["process", "docker", "kubernetes"])
def test_the_job_loads_only_servers_of_ome(study: StudyWriter, launcher: str) -> None:
    sections = {**IN_OME, "launcher": f"launcher: {launcher}"}
    problem = study.problem(**sections, bench=JOB)
    assert (problem.key, problem.value) == ("bench.name", "ome-benchmarkjob")
    assert f"this study has {launcher}" in problem.fix


@pytest.mark.parametrize(
    ("workload", "key", "value", "words"),
    [
        ("stop: {seconds: 90}", "stop.seconds", "90", "such as 120"),
        ("stop: {seconds: 5}", "stop.seconds", "5", "such as 60"),
        ("stop: {seconds: 60.5}", "stop.seconds", "60.5", "such as 60"),
        (
            "stop: {seconds: 60}, dataset: {path: a.csv, prompt_column: b}",
            "dataset",
            "{path: a.csv, prompt_column: b}",
            "does not pass `dataset`",
        ),
    ],
)
def test_what_a_job_cannot_have_is_refused(
    study: StudyWriter, workload: str, key: str, value: str, words: str
) -> None:
    scenario = "dataset" if key == "dataset" else "D(5,5)"
    workloads = f"workloads: [{{scenario: '{scenario}', concurrency: 1, {workload}}}]"
    problem = study.problem(**IN_OME, bench=JOB, workloads=workloads)
    assert (problem.key, problem.value) == (f"workloads[0].{key}", value)
    assert words in problem.fix
    study.load(**IN_OME, workloads=workloads)

"""What OME's BenchmarkJob owes the product as a load generator, whatever becomes of a job."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmark_jobs.cluster import Bench, OmeCluster, Run
from kubernetes_double.double import KubernetesDouble

from autotuner.bench.base import LevelLoad, LoadContext, Target
from autotuner.bench.benchmark_job import generator as generator_module
from autotuner.bench.benchmark_job.generator import OmeBenchmarkJob
from autotuner.bench.benchmark_job.waiting import Patience
from autotuner.bench.genai_bench import find_executable
from autotuner.kubernetes_api.connection import Access, connected
from autotuner.kubernetes_api.ownership import OME_KINDS, remove_of_lease
from autotuner.results.levels import RequestStatus
from autotuner.spec.launching import OmeSettings, PodSettings
from autotuner.spec.study import BenchmarkJobSettings
from autotuner.spec.workload import StopRule, Workload
from autotuner.supervision.lease import Lease

TOKEN = "0123abcd"  # noqa: S105 - a lease's
SERVED = "exp0-a1-0123"
CHAT = Workload("chat", "D(16,8)", (1, 2), StopRule(60.0, 20))
PATIENCE_S = 60.0
SHORT = 0.5
"""Of a step that would never end."""
REQUEST = {
    "ttft": 0.1,
    "tpot": 0.05,
    "e2e_latency": 0.45,
    "num_input_tokens": 16,
    "num_output_tokens": 8,
    "num_reasoning_tokens": 0,
    "error_code": None,
    "error_message": None,
}


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    folder = tmp_path / "volume"
    folder.mkdir()
    return folder


@pytest.fixture
def service(kubernetes_double: KubernetesDouble) -> dict[str, Any]:
    """The server under load, as the launcher makes it."""
    labels = {"autotuner/lease": TOKEN}
    return kubernetes_double.add(
        "inferenceservices", {"metadata": {"name": "exp0-a1", "labels": labels}, "spec": {}}
    )


@pytest.fixture
def make_context(
    kubernetes_double: KubernetesDouble, service: dict[str, Any], tmp_path: Path
) -> Callable[..., LoadContext]:
    def make(should_stop: Callable[[], str | None] = lambda: None, **settings: Any) -> LoadContext:
        kubeconfig = str(kubernetes_double.kubeconfig(tmp_path / "kubeconfig"))
        return LoadContext(
            folder=tmp_path,
            environment={},
            level_grace_s=60.0,
            should_stop=should_stop,
            lease=Lease("exp0-a1", "study", TOKEN, "boot", "pids", tmp_path),
            launch=OmeSettings("llama", pod=PodSettings(kubeconfig=kubeconfig)),
            benchmark_job=BenchmarkJobSettings(**{"storage": "pvc://results/tuning", **settings}),
        )

    return make


@pytest.fixture
def ome(kubernetes_double: KubernetesDouble, volume: Path) -> Callable[..., OmeCluster]:
    def ome(bench: Bench, last_state: str = "Completed") -> OmeCluster:
        return OmeCluster(kubernetes_double, volume, bench, last_state)

    return ome


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have one step given up soon."""

    def impatient(**limits: float) -> None:
        def patience(**usual: float) -> Patience:
            return Patience(**{**usual, **limits})

        monkeypatch.setattr(generator_module, "Patience", patience)

    return impatient


@pytest.fixture
def nothing_left(kubernetes_double: KubernetesDouble) -> Iterator[None]:
    """Nothing of the load stays in the cluster."""
    yield
    for plural in ("benchmarkjobs", "jobs", "pods", "secrets"):
        assert kubernetes_double.objects(plural) == []


pytestmark = pytest.mark.usefixtures("nothing_left")


def write_results(run: Run, *requests: dict[str, object], served_name: str = SERVED) -> None:
    """What genai-bench leaves behind."""
    spec = run.job["spec"]
    folder = run.results / spec["resultFolderName"]
    folder.mkdir()
    (folder / "experiment_metadata.json").write_text(json.dumps({"api_model_name": served_name}))
    aggregated = {
        "scenario": spec["trafficScenarios"][0],
        "num_concurrency": spec["numConcurrency"][0],
        "iteration_type": "num_concurrency",
        "run_duration": 60.5,
    }
    content = {"aggregated_metrics": aggregated, "individual_request_metrics": list(requests)}
    (folder / "level.json").write_text(json.dumps(content))


def succeed(run: Run) -> tuple[int, str]:
    write_results(run, *[REQUEST] * run.job["spec"]["numConcurrency"][0])
    return 0, ""


def hang(run: Run) -> tuple[int, str]:
    run.stop.wait(60.0)
    return 137, ""


def loads_of(context: LoadContext, workload: Workload = CHAT) -> list[LevelLoad]:
    target = Target("http://exp0-a1.default.svc:8000", SERVED, "org/model", "vllm")
    loads = list(OmeBenchmarkJob().run(target, workload, workload.levels, context))
    assert [load.level for load in loads] == list(workload.levels)
    return loads


def test_every_level_is_a_job_whose_results_are_read_from_the_claim(
    ome: Callable[..., OmeCluster], make_context: Callable[..., LoadContext]
) -> None:
    with ome(succeed) as cluster:
        one, two = loads_of(make_context())
    assert [one.failure, two.failure] == [None, None]
    assert [len(one.records), len(two.records)] == [1, 2]
    assert one.duration_s == 60.5
    assert [run.job["spec"]["numConcurrency"] for run in cluster.runs] == [[1], [2]]


def test_results_are_read_from_a_folder_that_nodes_share(
    ome: Callable[..., OmeCluster],
    make_context: Callable[..., LoadContext],
    volume: Path,
    kubernetes_double: KubernetesDouble,
) -> None:
    context = make_context(read_from=str(volume / "tuning"))
    with ome(succeed):
        one, _ = loads_of(context)
    assert (one.failure, len(one.records)) == (None, 1)
    posted = [each.path for each in kubernetes_double.requests if "-read-" in each.path]
    assert posted == []


def test_all_that_is_made_carries_the_attempt_and_goes_with_the_server(
    ome: Callable[..., OmeCluster],
    make_context: Callable[..., LoadContext],
    service: dict[str, Any],
    kubernetes_double: KubernetesDouble,
) -> None:
    found: list[dict[str, Any]] = []

    def look(run: Run) -> tuple[int, str]:
        found.extend(kubernetes_double.objects("secrets"))
        found.extend(kubernetes_double.objects("benchmarkjobs"))
        return succeed(run)

    with ome(look):
        loads_of(make_context())
    assert len(found) == 4
    for content in found:
        metadata = content["metadata"]
        assert metadata["labels"]["autotuner/lease"] == TOKEN
        assert metadata["ownerReferences"][0]["uid"] == service["metadata"]["uid"]


def test_a_failed_job_is_a_failed_level_with_its_last_words_and_no_other_is_lost(
    ome: Callable[..., OmeCluster], make_context: Callable[..., LoadContext]
) -> None:
    def fail_once(run: Run) -> tuple[int, str]:
        if run.job["spec"]["numConcurrency"] == [1]:
            return 1, "loading\nNo values found for metric 'ttft'\n"
        return succeed(run)

    with ome(fail_once):
        one, two = loads_of(make_context())
    assert one.records == ()
    assert one.failure is not None
    assert "backoff limit" in one.failure
    assert "No values found for metric" in one.failure
    assert two.failure is None


def test_failed_requests_are_records_of_failures(
    ome: Callable[..., OmeCluster], make_context: Callable[..., LoadContext]
) -> None:
    def refuse(run: Run) -> tuple[int, str]:
        nothing = dict.fromkeys(REQUEST)
        write_results(run, {**nothing, "error_code": 404, "error_message": "no such model"})
        return 0, ""

    with ome(refuse):
        one, _ = loads_of(make_context())
    assert [record.status for record in one.records] == [RequestStatus.FAILED]


def test_results_of_another_server_are_never_read(
    ome: Callable[..., OmeCluster], make_context: Callable[..., LoadContext]
) -> None:
    def mistake(run: Run) -> tuple[int, str]:
        write_results(run, REQUEST, served_name="exp0-a0-9999")
        return 0, ""

    with ome(mistake):
        one, _ = loads_of(make_context())
    assert one.records == ()
    assert "exp0-a0-9999" in str(one.failure)


def test_results_of_an_earlier_job_are_never_read(
    ome: Callable[..., OmeCluster], make_context: Callable[..., LoadContext]
) -> None:
    with ome(succeed):
        assert loads_of(make_context())[0].failure is None
    with ome(lambda run: (0, "")):  # genai-bench writes nothing where no request has ended
        again = loads_of(make_context())
    assert [load.records for load in again] == [(), ()]
    assert all("cannot be read" in str(load.failure) for load in again)


def test_a_job_that_never_ends_is_given_up_and_removed(
    ome: Callable[..., OmeCluster],
    make_context: Callable[..., LoadContext],
    impatient: Callable[..., None],
) -> None:
    impatient(run_s=SHORT)
    with ome(hang) as cluster:
        one, two = loads_of(make_context())
        assert all(run.stop.is_set() for run in cluster.runs)
    assert "level_grace_s" in str(one.failure)
    assert "level_grace_s" in str(two.failure)


def test_a_job_that_ome_does_not_see_is_given_up(
    make_context: Callable[..., LoadContext], impatient: Callable[..., None]
) -> None:
    impatient(accept_s=SHORT)
    one, _ = loads_of(make_context())
    assert "OME has made no pod" in str(one.failure)


def test_a_job_that_somebody_deletes_is_a_failed_level(
    ome: Callable[..., OmeCluster],
    make_context: Callable[..., LoadContext],
    kubernetes_double: KubernetesDouble,
) -> None:
    def lose(run: Run) -> tuple[int, str]:
        metadata = run.job["metadata"]
        kubernetes_double.delete("benchmarkjobs", metadata["namespace"], metadata["name"])
        return hang(run)

    with ome(lose):
        one, _ = loads_of(make_context())
    assert "deleted while it ran" in str(one.failure)


def test_a_reason_to_stop_ends_the_job_and_all_behind_it(
    ome: Callable[..., OmeCluster], make_context: Callable[..., LoadContext]
) -> None:
    started = threading.Event()

    def hang_and_tell(run: Run) -> tuple[int, str]:
        started.set()
        return hang(run)

    with ome(hang_and_tell) as cluster:
        context = make_context(lambda: "the server ended" if started.is_set() else None)
        loads = loads_of(context)
        assert len(cluster.runs) == 1
        assert cluster.runs[0].stop.is_set()
    assert [load.failure for load in loads] == ["the server ended"] * 2


def test_no_other_word_than_completed_is_an_end(
    kubernetes_double: KubernetesDouble,
    ome: Callable[..., OmeCluster],
    make_context: Callable[..., LoadContext],
) -> None:
    looked = 0

    def seen_often() -> str | None:
        nonlocal looked
        states = [each["status"].get("state") for each in jobs() if "status" in each]
        looked += states == ["Complete"]
        return "no end was seen" if looked > 10 else None

    def jobs() -> list[dict[str, Any]]:
        return kubernetes_double.objects("benchmarkjobs")

    with ome(succeed, last_state="Complete"):
        one, _ = loads_of(make_context(seen_often))
    assert one.failure == "no end was seen"


def test_a_claim_of_another_namespace_is_refused_as_ome_would_not_find_it(
    make_context: Callable[..., LoadContext],
) -> None:
    one, _ = loads_of(make_context(storage="pvc://team:results/tuning"))
    assert "namespace default" in str(one.failure)


def test_whoever_clears_up_after_a_dead_attempt_ends_its_load_too(
    ome: Callable[..., OmeCluster],
    make_context: Callable[..., LoadContext],
    kubernetes_double: KubernetesDouble,
    tmp_path: Path,
) -> None:
    def die(run: Run) -> tuple[int, str]:
        # What the attempt's keeper, its will, and the next attempt in this namespace do.
        with connected(Access(str(tmp_path / "kubeconfig"))) as cluster:
            remove_of_lease(cluster, TOKEN, OME_KINDS, grace_s=1, timeout_s=PATIENCE_S)
        left.extend(kubernetes_double.objects("inferenceservices"))
        return 137, ""

    left: list[object] = []
    with ome(die) as cluster:
        one, _ = loads_of(make_context())
        assert cluster.runs[0].stop.is_set()
    assert left == []
    assert "deleted while it ran" in str(one.failure)


def test_a_load_ends_with_the_server_that_it_is_for(
    ome: Callable[..., OmeCluster],
    make_context: Callable[..., LoadContext],
    kubernetes_double: KubernetesDouble,
) -> None:
    def lose_the_server(run: Run) -> tuple[int, str]:
        kubernetes_double.delete("inferenceservices", "default", "exp0-a1")
        return hang(run)

    with ome(lose_the_server) as cluster:
        one, _ = loads_of(make_context())
        assert cluster.runs[0].stop.is_set()
    assert "deleted while it ran" in str(one.failure)


@pytest.mark.genai_bench
def test_the_real_genai_bench_runs_on_what_ome_passes_on_and_its_results_are_read(
    ome: Callable[..., OmeCluster],
    make_context: Callable[..., LoadContext],
    kubernetes_double: KubernetesDouble,
    genai_bench: object,
    tokenizer: str,
    sim: Callable[..., contextlib.AbstractContextManager[Any]],
    tmp_path: Path,
) -> None:
    programs = find_executable(None).parent

    def real(run: Run) -> tuple[int, str]:
        start = tmp_path / f"start-{run.job['metadata']['name']}"
        start.mkdir()
        (secret,) = kubernetes_double.objects("secrets")
        for name, content in secret["data"].items():
            (start / name).write_bytes(base64.b64decode(content))
        own = {each["name"]: each["value"].replace("$$", "$") for each in run.container.env}
        own |= {"PYTHONPATH": str(start), "PATH": f"{programs}:{os.environ['PATH']}"}
        (mount,) = (each for each in run.container.mounts if "subPath" in each)
        words = [
            str(run.results) if word == mount["mountPath"] else word for word in run.container.args
        ]
        done = subprocess.run(
            [str(programs / run.container.command[0]), *words],
            env={"HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", **own},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout

    workload = Workload("chat", "D(16,8)", (2,), StopRule(60.0, 20), request={"temperature": 0.5})
    with sim() as (url, _), ome(real):
        target = Target(url, "mine", tokenizer, "vllm")
        loads = OmeBenchmarkJob().run(target, workload, workload.levels, make_context())
        (load,) = loads
    assert load.failure is None
    assert len(load.records) >= 20
    assert {record.status for record in load.records} == {RequestStatus.COMPLETED}
    assert all(record.ttft_s and record.e2e_latency_s for record in load.records)
    # With the API format that OME passes on, genai-bench would not ask for all of them.
    assert {record.output_tokens for record in load.records} == {8}
    assert load.duration_s is not None
    assert load.duration_s >= 1.0

"""OME's BenchmarkJob as a load generator: one job for each level."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Generator, Iterable, Mapping
from typing import Any

from autotuner.bench.base import Booted, LevelLoad, LoadContext, LoadGenerator, Target
from autotuner.bench.benchmark_job.gaps import API_KEY_GAP, gaps
from autotuner.bench.benchmark_job.manifests import (
    Belonging,
    JobOrder,
    benchmark_job,
    new_name,
    start_file,
)
from autotuner.bench.benchmark_job.reading import load_from_storage
from autotuner.bench.benchmark_job.results import NoResultsError
from autotuner.bench.benchmark_job.storage import claim_folder
from autotuner.bench.benchmark_job.waiting import JobFailedError, Patience, wait_for_end
from autotuner.errors import LaunchError
from autotuner.kubernetes_api.cluster import Cluster
from autotuner.kubernetes_api.connection import Access, connected
from autotuner.kubernetes_api.faults import KubernetesError
from autotuner.kubernetes_api.kinds import BENCHMARK_JOB, INFERENCE_SERVICE, POD, SECRET
from autotuner.kubernetes_api.ownership import LEASE_LABEL, labels_of
from autotuner.spec.launching import OmeSettings
from autotuner.spec.study import BenchmarkJobSettings
from autotuner.spec.workload import Level, Workload
from autotuner.supervision.lease import Lease

__all__ = ["OmeBenchmarkJob"]

_BOOT_S = 300.0
"""Of a level's container beyond its load: imports, tokenizer, and plots at the end."""
_REMOVAL_S = 90.0
_POLL_S = 0.25
_RELEASE_TAG = re.compile(r"[^@]+:v?(\d[^/@]*)(?:@.*)?")


class OmeBenchmarkJob(LoadGenerator):
    """Has OME run genai-bench beside the server.

    Levels have jobs of their own, so that one that fails loses no other. Everything that is made
    carries the labels of the attempt and belongs to its server: whatever becomes of us, it goes
    with the server, for which `autotuner.kubernetes_api.ownership` and the launcher's will care.
    """

    name = "ome-benchmarkjob"

    def version(self, context: LoadContext) -> str | None:
        """As the image's tag says, if the study names one; what OME's own holds is not known."""
        image = context.benchmark_job.image if context.benchmark_job else None
        found = _RELEASE_TAG.fullmatch(image) if image is not None else None
        return found[1] if found else None

    def run(
        self,
        target: Target,
        workload: Workload,
        levels: Iterable[Level],
        context: LoadContext,
        booted: Booted | None = None,
    ) -> Generator[LevelLoad, None, None]:
        settings, launch, lease = _needed(context)
        failure = _refusal(target, workload)
        access = Access(launch.pod.kubeconfig, launch.pod.context, launch.pod.namespace)
        with contextlib.ExitStack() as stack:
            cluster: Cluster | None = None
            try:
                cluster = stack.enter_context(connected(access))
                belonging = _belonging(cluster, lease)
                failure = failure or _misplaced(settings, cluster)
            except KubernetesError as error:
                failure = failure or f"no BenchmarkJob can be made: {error}"
            for level in levels:
                failure = failure or context.should_stop()
                if failure is not None or cluster is None:
                    yield LevelLoad(level, (), None, failure)
                    continue
                order = JobOrder(
                    new_name(lease.attempt_id),
                    level,
                    workload,
                    target,
                    settings,
                    launch,
                    context.gpus,
                    context.environment.get("HF_ENDPOINT"),
                )
                load, failure = _load(cluster, order, belonging, context)
                yield load


def _needed(context: LoadContext) -> tuple[BenchmarkJobSettings, OmeSettings, Lease]:
    """Raises LaunchError, which a study file that was checked does not bring about."""
    settings, launch, lease = context.benchmark_job, context.launch, context.lease
    if settings is None or not isinstance(launch, OmeSettings) or lease is None:
        raise LaunchError(
            "OME's BenchmarkJob can only load servers of the launcher ome, and needs the section "
            "bench.benchmark_job"
        )
    return settings, launch, lease


def _refusal(target: Target, workload: Workload) -> str | None:
    found = gaps(workload)
    if target.api_key is not None:
        found.append(API_KEY_GAP)
    return "; ".join(found) or None


def _misplaced(settings: BenchmarkJobSettings, cluster: Cluster) -> str | None:
    claim = claim_folder(settings.storage)
    if claim is None or claim.namespace in (None, cluster.namespace):
        return None
    return (
        f"OME looks for the claim {claim.claim} in the BenchmarkJob's namespace "
        f"{cluster.namespace}, and not in {claim.namespace}; make one there and correct "
        "bench.benchmark_job.storage"
    )


def _belonging(cluster: Cluster, lease: Lease) -> Belonging:
    """Raises KubernetesError."""
    services = cluster.select(INFERENCE_SERVICE, labels={LEASE_LABEL: lease.token})
    return Belonging(
        cluster.namespace,
        labels_of(lease.token, lease.study_id, lease.attempt_id),
        owners=[_owner(service) for service in services],
    )


def _owner(content: Mapping[str, Any]) -> dict[str, Any]:
    metadata = content["metadata"]
    return {
        "apiVersion": content["apiVersion"],
        "kind": content["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }


def _load(
    cluster: Cluster, order: JobOrder, belonging: Belonging, context: LoadContext
) -> tuple[LevelLoad, str | None]:
    """The level, and why the ones behind it cannot be loaded."""
    patience = Patience(
        run_s=60.0 * order.minutes + context.level_grace_s + _BOOT_S,
        unschedulable_s=order.launch.pod.unschedulable_s,
    )
    completed = False
    try:
        cluster.apply(start_file(order.name, belonging))
        cluster.apply(benchmark_job(order, belonging))
        wait_for_end(cluster, order.name, patience, context.should_stop)
        completed = True
        load = load_from_storage(cluster, order, belonging, context.should_stop)
    except (JobFailedError, NoResultsError, KubernetesError) as error:
        load = LevelLoad(order.level, (), None, str(error))
    finally:
        left = _remove(cluster, order.name)
    # A completed job loads nothing any more, and its remains go with the server.
    return load, None if left is None or completed else f"an earlier level goes on: {left}"


def _remove(cluster: Cluster, name: str) -> str | None:
    """End a job and all that was made for it; why it may still be there, or None."""
    deadline = time.monotonic() + _REMOVAL_S
    try:
        cluster.delete(BENCHMARK_JOB, name, foreground=True)
        # Only then: the Job would make another. genai-bench does not hear SIGTERM.
        for pod in cluster.select(POD, labels={"benchmark": name}):
            cluster.delete(POD, pod["metadata"]["name"], grace_s=1)
        cluster.delete(SECRET, name)
        while cluster.find(BENCHMARK_JOB, name) is not None:
            if time.monotonic() > deadline:
                return f"the BenchmarkJob {name} is still there {_REMOVAL_S:.0f} s after its end"
            time.sleep(_POLL_S)
    except KubernetesError as error:
        return f"the BenchmarkJob {name} cannot be removed: {error}"
    return None

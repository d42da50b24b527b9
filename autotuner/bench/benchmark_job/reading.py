"""A job's results, brought from where it has put them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from pyarrow import fs

from autotuner.bench.base import LevelLoad
from autotuner.bench.benchmark_job.manifests import Belonging, JobOrder
from autotuner.bench.benchmark_job.pods import obstacle, phase
from autotuner.bench.benchmark_job.reader_pod import (
    Part,
    archive_of,
    files_in,
    part_of_log,
    reader_pod,
)
from autotuner.bench.benchmark_job.results import NoResultsError, level_load
from autotuner.bench.benchmark_job.storage import ClaimFolder, claim_folder, readable_folder
from autotuner.kubernetes_api.cluster import Cluster
from autotuner.kubernetes_api.kinds import POD
from autotuner.kubernetes_api.watching import Mirror

__all__ = ["load_from_storage"]

_VISIBLE_S = 90.0
"""Files of another node may be seen late: NFS keeps what it knows of a folder for a minute."""
_READER_S = 300.0
_POLL_S = 0.2
_LOOK_S = 1.0
_ALL_LINES = 10_000_000

ShouldStop = Callable[[], str | None]


def load_from_storage(
    cluster: Cluster, order: JobOrder, belonging: Belonging, should_stop: ShouldStop
) -> LevelLoad:
    """The level as the completed job has recorded it.

    Raises:
        NoResultsError: its results cannot be had, or are none.
        KubernetesError: the API does not do what is needed for it.
    """
    folder = readable_folder(order.settings, order.name)
    if folder is not None:
        return _from_folder(folder, order, should_stop)
    claim = claim_folder(order.settings.storage)
    if claim is None:  # `readable_folder` has an answer for all but claims
        raise NoResultsError(f"{order.settings.storage} cannot be read")
    archive = archive_of(
        lambda offset: _part(cluster, order, claim, offset, belonging, should_stop)
    )
    return level_load(files_in(archive), order.level, order.target.served_name)


def _from_folder(folder: str, order: JobOrder, should_stop: ShouldStop) -> LevelLoad:
    deadline = time.monotonic() + _VISIBLE_S
    while True:
        try:
            return level_load(_json_files(folder), order.level, order.target.served_name)
        except (NoResultsError, OSError) as error:
            if (reason := should_stop()) is not None:
                raise NoResultsError(reason) from error
            if time.monotonic() > deadline:
                raise NoResultsError(f"no results in {folder}: {error}") from error
        time.sleep(_LOOK_S)


def _json_files(folder: str) -> Mapping[str, bytes]:
    files, path = fs.FileSystem.from_uri(folder)
    found = files.get_file_info(fs.FileSelector(path))
    read = {}
    for info in found:
        if info.type is fs.FileType.File and info.base_name.endswith(".json"):
            with files.open_input_stream(info.path) as stream:
                read[info.base_name] = stream.read()
    return read


def _part(
    cluster: Cluster,
    order: JobOrder,
    claim: ClaimFolder,
    offset: int,
    belonging: Belonging,
    should_stop: ShouldStop,
) -> Part:
    """Raises NoResultsError, KubernetesError."""
    name = f"{order.name}-read-{offset}"
    pod = reader_pod(name, order.name, claim, order.settings.reader_image, offset, belonging)
    cluster.apply(pod)
    try:
        ended = _await_reader(cluster, name, should_stop)
        log = cluster.log_tail(name, "reader", lines=_ALL_LINES)
    finally:
        cluster.delete(POD, name, grace_s=1)
    if ended != "Succeeded":
        raise NoResultsError(
            f"the results cannot be read from the claim {claim.claim}: {' '.join(log.split())}"
        )
    return part_of_log(log)


def _await_reader(cluster: Cluster, name: str, should_stop: ShouldStop) -> str:
    """The pod's last phase."""
    deadline = time.monotonic() + _READER_S
    with Mirror(cluster, POD, name=name) as pods:
        while True:
            if (reason := should_stop()) is not None:
                raise NoResultsError(reason)
            if (problem := pods.problem) is not None:
                raise problem
            pod = next(iter(pods.objects), None)
            if pod is not None and phase(pod) in ("Succeeded", "Failed"):
                return phase(pod)
            if time.monotonic() > deadline:
                found = None if pod is None else obstacle(pod)
                words = found[1] if found else "it is not there" if pod is None else phase(pod)
                raise NoResultsError(
                    f"the pod that reads the results has not ended within {_READER_S:.0f} s: "
                    f"{words}; bench.benchmark_job.read_from does without it"
                )
            pods.wait(_POLL_S)

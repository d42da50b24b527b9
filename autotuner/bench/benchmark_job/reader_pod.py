"""Results on a claim, read through the log of a pod that has it mounted.

Reading a log takes no further right, where copying files out of a pod would need ``pods/exec``.
The log is base64 of a compressed archive, in several pods where the archive is large: a kubelet
cuts off the log of a container at 10 MiB by default. Length and hash tell whether all has come.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from autotuner.bench.benchmark_job.manifests import Belonging
from autotuner.bench.benchmark_job.results import NoResultsError
from autotuner.bench.benchmark_job.storage import ClaimFolder

__all__ = ["PART_BYTES", "archive_of", "files_in", "part_of_log", "reader_pod"]

PART_BYTES = 16 * 2**20
"""Of the archive per pod; JSON of requests becomes a third of it, before base64."""
_BEGIN, _END = "autotuner-begin", "autotuner-end"
_MOUNT = "/results"
_DEADLINE_S = 600
_SCRIPT = f"""set -e
cd "{_MOUNT}/$1"
tar -cf /tmp/all *.json
echo "{_BEGIN} $(wc -c < /tmp/all) $(sha256sum < /tmp/all | cut -c 1-64)"
tail -c "+$2" /tmp/all | head -c "$3" | gzip -c | base64
echo "{_END}"
"""
"""Folder, first byte (from 1), number of bytes; with what busybox and coreutils have in common."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the archive."""

    total_bytes: int
    """Of the whole archive."""
    sha256: str
    content: bytes


def reader_pod(
    name: str, folder: str, claim: ClaimFolder, image: str, offset: int, belonging: Belonging
) -> dict[str, Any]:
    """A pod that prints a piece of the archive of a folder's JSON files, and ends.

    Args:
        folder: Below that of ``claim``.
        offset: In the archive, from 0.
    """
    mount = {"name": "results", "mountPath": _MOUNT, "subPath": claim.folder, "readOnly": True}
    container = {
        "name": "reader",
        "image": image,
        "command": ["sh", "-c", _SCRIPT, "reader", folder, str(offset + 1), str(PART_BYTES)],
        "volumeMounts": [mount],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
    }
    source = {"claimName": claim.claim}  # drivers may refuse one claim in two modes at once
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": belonging.metadata(name),
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": _DEADLINE_S,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": [container],
            "volumes": [{"name": "results", "persistentVolumeClaim": source}],
        },
    }


def part_of_log(log: str) -> Part:
    """What a pod has printed.

    Raises:
        NoResultsError: not all of it has arrived.
    """
    lines = log.split("\n")
    try:
        begin = next(i for i, line in enumerate(lines) if line.startswith(_BEGIN))
        end = lines.index(_END)
        _, total, sha256 = lines[begin].split()
        content = gzip.decompress(base64.b64decode("".join(lines[begin + 1 : end]), validate=True))
        return Part(int(total), sha256, content)
    except (StopIteration, ValueError, binascii.Error, OSError, EOFError, zlib.error) as error:
        raise NoResultsError(f"the log of the pod that reads the results is torn: {error}") from (
            error
        )


def archive_of(read: Callable[[int], Part]) -> bytes:
    """The whole archive, piece by piece.

    Args:
        read: Gives the piece from an offset on.

    Raises:
        NoResultsError: the pieces do not make up the archive.
    """
    part = read(0)
    whole = part.content
    while len(whole) < part.total_bytes and part.content:
        part = read(len(whole))
        whole += part.content
    if hashlib.sha256(whole).hexdigest() != part.sha256:
        raise NoResultsError("the results changed while they were read")
    return whole


def files_in(archive: bytes) -> Mapping[str, bytes]:
    """Name -> content of the files of an archive.

    Raises:
        NoResultsError: it is none.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            return {
                member.name: file.read()
                for member in tar
                if (file := tar.extractfile(member)) is not None
            }
    except tarfile.TarError as error:
        raise NoResultsError(f"the results that were read are no archive: {error}") from error

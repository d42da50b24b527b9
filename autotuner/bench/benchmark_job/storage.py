"""Where a BenchmarkJob puts its results, and where they are read from."""

from __future__ import annotations

import re
from dataclasses import dataclass

from autotuner.spec.study import BenchmarkJobSettings

__all__ = ["ClaimFolder", "claim_folder", "output_uri", "readable_folder"]

_CLAIM = re.compile(r"pvc://(?:(?P<namespace>[^:/]+):)?(?P<claim>[^:/]+)(?:/(?P<folder>.*))?")
_DEFAULT_FOLDER = "autotuner-results"
"""OME refuses a claim without a folder, and mounts the folder at the root of the job's container:
its name must not be that of a folder which the image has there."""
_WITH_REGION = re.compile(r"s3://(?P<bucket>[^@/]+)@(?P<region>[^/]+)(?:/(?P<prefix>.*))?")


@dataclass(frozen=True, slots=True)
class ClaimFolder:
    """A folder of a PersistentVolumeClaim."""

    claim: str
    folder: str
    """Relative to the volume, without slashes at its ends."""
    namespace: str | None = None
    """As the user wrote it; OME looks for the claim in the job's own, whatever this is."""


def claim_folder(storage: str) -> ClaimFolder | None:
    """The claim that an URI names; None where it names an object store."""
    if (found := _CLAIM.fullmatch(storage)) is None:
        return None
    folder = (found["folder"] or "").strip("/") or _DEFAULT_FOLDER
    return ClaimFolder(found["claim"], folder, found["namespace"])


def output_uri(storage: str, name: str) -> str:
    """What the BenchmarkJob of this name gets as its output location.

    On a claim genai-bench makes a folder of the job's name by itself. In an object store it puts
    its files right below the prefix, where those of any two jobs would be one.
    """
    if (claim := claim_folder(storage)) is not None:
        return f"pvc://{claim.claim}/{claim.folder}"
    return f"{storage.rstrip('/')}/{name}"


def readable_folder(settings: BenchmarkJobSettings, name: str) -> str | None:
    """Path or URI of pyarrow of a job's results; None: they are in a claim that is not mounted."""
    if settings.read_from is not None:
        return f"{settings.read_from.rstrip('/')}/{name}"
    if claim_folder(settings.storage) is not None:
        return None
    if (found := _WITH_REGION.fullmatch(settings.storage)) is not None:
        prefix = "/".join(filter(None, ((found["prefix"] or "").strip("/"), name)))
        return f"s3://{found['bucket']}/{prefix}?region={found['region']}"
    return output_uri(settings.storage, name)

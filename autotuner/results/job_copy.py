"""Results that would be removed behind the user's back."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from autotuner.errors import OutputError
from autotuner.results.place import Place

__all__ = ["refuse_job_copy"]

_RAYS_COPIES = ("runtime_resources", "working_dir_files")
"""Where a Ray session keeps the working directories that jobs were submitted with."""


def refuse_job_copy(place: Place) -> None:
    """Refuse a results folder inside the copy that Ray made of a job's working directory.

    Ray removes such copies when it wants their room, and with its session at the latest.

    Raises:
        OutputError: with the fix.
    """
    if isinstance(place, Path) and _RAYS_COPIES in pairwise(place.resolve().parts):
        raise OutputError(
            f"results would be lost: {place} lies in the copy of the working directory that Ray "
            "has made for this job and removes again. Set `output:` in the study file to an "
            "absolute path on a disk that stays, or to an address such as s3://..., or give "
            "--output"
        )

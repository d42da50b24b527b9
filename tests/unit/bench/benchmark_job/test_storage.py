from __future__ import annotations

import pytest

from autotuner.bench.benchmark_job.storage import (
    ClaimFolder,
    claim_folder,
    output_uri,
    readable_folder,
)
from autotuner.spec.study import BenchmarkJobSettings


@pytest.mark.parametrize(
    ("storage", "found"),
    [
        ("pvc://results/a/b", ClaimFolder("results", "a/b")),
        ("pvc://results/a/", ClaimFolder("results", "a")),
        ("pvc://team:results/a", ClaimFolder("results", "a", "team")),
        ("s3://bucket/a", None),
    ],
)
def test_a_claim_is_told_from_an_object_store(storage: str, found: ClaimFolder | None) -> None:
    assert claim_folder(storage) == found


@pytest.mark.parametrize("storage", ["pvc://results", "pvc://results/"])
def test_a_claim_gets_a_folder_without_which_ome_refuses_it(storage: str) -> None:
    assert output_uri(storage, "job") == "pvc://results/autotuner-results"


def test_on_a_claim_all_jobs_share_a_folder_in_which_each_makes_its_own() -> None:
    assert output_uri("pvc://team:results/a", "job") == "pvc://results/a"


@pytest.mark.parametrize("storage", ["s3://bucket/a", "s3://bucket/a/", "gs://bucket/a"])
def test_in_an_object_store_each_job_has_a_prefix_of_its_own(storage: str) -> None:
    assert output_uri(storage, "job") == f"{storage.rstrip('/')}/job"


@pytest.mark.parametrize(
    ("storage", "read_from", "folder"),
    [
        ("pvc://results/a", None, None),
        ("pvc://results/a", "/mnt/results/a/", "/mnt/results/a/job"),
        ("oci://n/n/b/b/o/a", "s3://mirror/a", "s3://mirror/a/job"),
        ("s3://bucket/a", None, "s3://bucket/a/job"),
        ("s3://bucket@eu-1/a", None, "s3://bucket/a/job?region=eu-1"),
        ("s3://bucket@eu-1", None, "s3://bucket/job?region=eu-1"),
        ("gs://bucket", None, "gs://bucket/job"),
    ],
)
def test_results_are_read_from_where_the_job_puts_them(
    storage: str, read_from: str | None, folder: str | None
) -> None:
    assert readable_folder(BenchmarkJobSettings(storage, read_from), "job") == folder

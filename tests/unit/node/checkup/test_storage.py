"""Shared memory and disks, judged by their numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotuner.node.checkup.finding import CheckupOrder, Verdict
from autotuner.node.checkup.storage import (
    judge_disk,
    judge_shared_memory,
    results_folder,
    shared_memory,
    temporary_folder,
)
from autotuner.results.place import place_of

MIB, GIB = 2**20, 2**30


@pytest.mark.parametrize(
    ("free_bytes", "several_gpus", "verdict"),
    [
        (GIB, True, Verdict.OK),
        (GIB - 1, True, Verdict.WARNING),
        (64 * MIB, False, Verdict.WARNING),
        (64 * MIB, True, Verdict.FAILURE),
    ],
)
def test_too_little_shared_memory_fails_servers_on_several_gpus(
    free_bytes, several_gpus, verdict
) -> None:
    finding = judge_shared_memory(free_bytes, free_bytes, several_gpus=several_gpus)
    assert finding.verdict is verdict


def test_a_full_shared_memory_needs_another_fix_than_a_small_one() -> None:
    assert "--shm-size" in judge_shared_memory(64 * MIB, 64 * MIB, several_gpus=True).fix
    assert "fill it" in judge_shared_memory(8 * GIB, 64 * MIB, several_gpus=True).fix


@pytest.mark.parametrize(
    ("total_gib", "free_gib", "ray", "verdict"),
    [
        (100, 50, True, Verdict.OK),
        (1000, 40, True, Verdict.WARNING),  # Ray calls it full
        (1000, 40, False, Verdict.OK),
        (20, 9.9, False, Verdict.WARNING),
        (20, 0.9, False, Verdict.FAILURE),
    ],
)
def test_a_disk_needs_room_for_logs_and_for_ray(total_gib, free_gib, ray, verdict) -> None:
    finding = judge_disk("disk", total_gib * GIB, int(free_gib * GIB), "Free it.", ray=ray)
    assert finding.verdict is verdict
    assert bool(finding.fix) == (verdict is not Verdict.OK)


def test_a_results_folder_that_is_not_there_yet_is_on_its_parents_disk(tmp_path: Path) -> None:
    (there,) = results_folder(CheckupOrder(output=tmp_path))
    (later,) = results_folder(CheckupOrder(output=tmp_path / "results" / "study"))
    assert "GiB" in there.read
    assert later.check == there.check == "results folder"


def test_a_store_of_results_must_answer() -> None:
    nobody = "s3://bucket/prefix?endpoint_override=127.0.0.1:9&scheme=http&region=x"
    (finding,) = results_folder(CheckupOrder(output=place_of(nobody)))
    assert finding.check == "results at s3://bucket/prefix"
    assert finding.verdict is Verdict.FAILURE
    assert "bucket" in finding.fix


def test_only_the_driver_has_a_results_folder() -> None:
    assert list(results_folder(CheckupOrder())) == []


def test_the_machine_is_read() -> None:
    (memory,) = shared_memory(CheckupOrder())
    (disk,) = temporary_folder(CheckupOrder())
    assert memory.check == "/dev/shm"
    assert disk.check.startswith("temporary folder /")

"""Limits, judged by their numbers."""

from __future__ import annotations

from resource import RLIM_INFINITY

import pytest

from autotuner.node.checkup import kernel
from autotuner.node.checkup.finding import CheckupOrder, Verdict

OK, WARNING, FAILURE = Verdict.OK, Verdict.WARNING, Verdict.FAILURE


@pytest.mark.parametrize(
    ("soft", "hard", "verdict"),
    [
        (65_535, 65_535, OK),
        (RLIM_INFINITY, RLIM_INFINITY, OK),
        (1024, 1_048_576, WARNING),  # what login shells have; most programs raise it
        (20_000, 20_000, WARNING),
        (1024, 4095, FAILURE),
    ],
)
def test_open_files_fail_only_where_nobody_can_raise_them(soft, hard, verdict) -> None:
    assert kernel.judge_open_files(soft, hard).verdict is verdict


def test_the_fix_for_open_files_is_one_that_the_hard_limit_lets_through() -> None:
    assert "ulimit -n" in kernel.judge_open_files(1024, 1_048_576).fix
    assert "hard limit" in kernel.judge_open_files(1024, 20_000).fix


@pytest.mark.parametrize(
    ("per_user", "per_container", "verdict"),
    [
        (RLIM_INFINITY, RLIM_INFINITY, OK),
        (96_000, RLIM_INFINITY, OK),
        (96_000, 4096, WARNING),
        (1024, RLIM_INFINITY, FAILURE),
        (RLIM_INFINITY, 512, FAILURE),
    ],
)
def test_the_smaller_of_two_limits_on_processes_counts(per_user, per_container, verdict) -> None:
    assert kernel.judge_processes(per_user, per_container).verdict is verdict


@pytest.mark.parametrize(
    ("limit_bytes", "infiniband", "verdict"),
    [(65_536, False, OK), (65_536, True, WARNING), (RLIM_INFINITY, True, OK)],
)
def test_locked_memory_matters_where_there_is_infiniband(limit_bytes, infiniband, verdict) -> None:
    assert kernel.judge_locked_memory(limit_bytes, infiniband=infiniband).verdict is verdict


@pytest.mark.parametrize(
    ("limit_bytes", "pattern", "verdict"),
    [
        (0, "core", OK),
        (RLIM_INFINITY, "|/usr/lib/systemd/systemd-coredump %P", OK),
        (RLIM_INFINITY, "core", WARNING),
        (2**30, "/var/crash/core.%p", WARNING),
    ],
)
def test_a_crashing_server_must_not_write_its_memory_to_a_disk(
    limit_bytes, pattern, verdict
) -> None:
    assert kernel.judge_core_dumps(limit_bytes, pattern).verdict is verdict


@pytest.mark.parametrize(
    ("low", "high", "in_ray", "verdict"),
    [
        (32_768, 60_999, True, OK),
        (1024, 65_535, True, WARNING),
        (1024, 65_535, False, OK),
        (20_000, 65_535, True, OK),
        (19_999, 65_535, True, WARNING),
        (60_000, 65_535, True, WARNING),
        (65_000, 65_535, True, FAILURE),
    ],
)
def test_ports_must_be_many_and_none_of_them_rays(low, high, in_ray, verdict) -> None:
    assert kernel.judge_ports(low, high, in_ray=in_ray).verdict is verdict


@pytest.mark.parametrize(
    "check",
    [kernel.open_files, kernel.processes, kernel.locked_memory, kernel.core_dumps, kernel.ports],
)
def test_the_machine_is_read(check) -> None:
    (finding,) = check(CheckupOrder())
    assert finding.read


@pytest.mark.parametrize(("text", "limit"), [("4096\n", 4096), ("max\n", RLIM_INFINITY)])
def test_the_limit_of_a_container_is_read_off_its_cgroup(
    text, limit, tmp_path, monkeypatch
) -> None:
    (tmp_path / "pids.max").write_text(text)
    monkeypatch.setattr(kernel, "_PIDS_MAX", tmp_path / "pids.max")
    (finding,) = kernel.processes(CheckupOrder())
    assert f"per container {'unlimited' if limit < 0 else limit}" in finding.read


def test_outside_a_container_there_is_no_limit_of_one(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(kernel, "_PIDS_MAX", tmp_path / "none")
    (finding,) = kernel.processes(CheckupOrder())
    assert "per container unlimited" in finding.read

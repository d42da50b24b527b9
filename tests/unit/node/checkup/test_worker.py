"""What servers inherit, on this very process and on processes made worse than it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from autotuner.node.checkup.finding import CheckupOrder, Verdict
from autotuner.node.checkup.worker import (
    child_processes,
    judge_child_cleanup,
    judge_exit_statuses,
    judge_niceness,
    judge_oom_score,
    priorities,
)


def test_a_server_gets_the_niceness_of_this_process_or_what_root_takes_back() -> None:
    niceness, oom_score = priorities(CheckupOrder())
    assert niceness.check == "niceness"
    assert niceness.read.startswith(("server ", "worker "))
    assert oom_score.check == "oom_score_adj"


def test_a_server_that_cannot_be_supervised_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotuner.node.checkup.worker._SHOW_PRIORITIES", "print('no numbers')")
    (finding,) = priorities(CheckupOrder())
    assert finding.verdict is Verdict.FAILURE
    assert finding.read == "no numbers"


@pytest.mark.parametrize("judge", [judge_niceness, judge_oom_score])
def test_only_what_the_server_gets_counts(judge) -> None:
    taken_back = judge(worker=15, server=0)
    assert taken_back.verdict is Verdict.OK
    assert taken_back.read == "worker 15, server 0"
    kept = judge(worker=15, server=15)
    assert kept.verdict is Verdict.WARNING
    assert kept.read == "server 15"
    assert "RAY_worker_" in kept.fix
    assert judge(worker=-5, server=-5).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("groups", "subreaper", "verdict", "named"),
    [
        (True, False, Verdict.OK, ""),
        (False, False, Verdict.WARNING, "RAY_process_group_cleanup_enabled=1"),
        (False, True, Verdict.WARNING, "without RAY_kill_child_processes"),
        (True, True, Verdict.WARNING, "without RAY_kill_child_processes"),
    ],
)
def test_ray_should_clean_up_by_process_groups_alone(groups, subreaper, verdict, named) -> None:
    finding = judge_child_cleanup(groups=groups, subreaper=subreaper)
    assert finding.verdict is verdict
    assert named in finding.fix


def test_without_ray_nothing_is_said_of_its_settings() -> None:
    assert [f.check for f in child_processes(CheckupOrder())] == ["exit statuses"]
    checks = [f.check for f in child_processes(CheckupOrder(ray_gpus=0))]
    assert checks == ["Ray's child cleanup", "exit statuses"]


def test_lost_exit_statuses_are_blamed_on_the_subreaper_where_there_is_one() -> None:
    assert judge_exit_statuses(kept=True, subreaper=True).verdict is Verdict.OK
    assert "raylet_subreaper" in judge_exit_statuses(kept=False, subreaper=True).fix
    assert "SIGCHLD" in judge_exit_statuses(kept=False, subreaper=False).fix


_WORSE = """
import ctypes, signal
from autotuner.node.checkup.finding import CheckupOrder
from autotuner.node.checkup.worker import child_processes
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for finding in child_processes(CheckupOrder(ray_gpus=0)):
    print(finding.verdict.value, finding.read)
"""


def test_the_settings_are_read_off_the_process_itself() -> None:
    """A process as Ray leaves its workers below the subreaper flag."""
    worker = subprocess.run(
        [sys.executable, "-c", _WORSE],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=True,
        start_new_session=True,
    )
    assert worker.stdout.splitlines() == [
        "warning process groups on, subreaper on",
        "warning lost: every one reads 0",
    ]

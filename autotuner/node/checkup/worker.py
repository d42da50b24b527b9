"""What servers inherit from the process that starts them: on a cluster, a Ray worker."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from autotuner.node.checkup.finding import CheckupOrder, Finding, failure, good, warning
from autotuner.supervision.environment import clean_environment, kernel_facts
from autotuner.supervision.process import SupervisedProcess

__all__ = [
    "child_processes",
    "judge_child_cleanup",
    "judge_exit_statuses",
    "judge_niceness",
    "judge_oom_score",
    "priorities",
]

_ANSWER_S = 30.0
_PR_GET_CHILD_SUBREAPER = 37
_SUBREAPER = "RAY_kill_child_processes_on_worker_exit_with_raylet_subreaper"
_SHOW_PRIORITIES = "import os; print(os.nice(0), open('/proc/self/oom_score_adj').read())"
_EXIT_STATUS = 3


def priorities(order: CheckupOrder) -> Iterator[Finding]:
    """Start a process as servers are started and see what it was given.

    The supervisor takes back what Ray took away where the kernel lets it: root in a container
    often may not, so that it has to be tried.
    """
    here = kernel_facts(os.getpid())
    answer = _supervised([sys.executable, "-I", "-S", "-c", _SHOW_PRIORITIES])
    try:
        nice, oom_score_adj = map(int, answer.split())
    except ValueError:
        fix = "Servers are started in the same way: see why this process could not be."
        yield failure("supervised process", answer or "no answer", "it runs", fix)
        return
    yield judge_niceness(worker=here.nice, server=nice)
    yield judge_oom_score(worker=here.oom_score_adj, server=oom_score_adj)


def judge_niceness(*, worker: int | None, server: int) -> Finding:
    check, read = "niceness", _both(worker, server)
    if server <= 0:
        return good(check, read, "server 0")
    fix = "Start Ray with RAY_worker_niceness=0, from a shell of niceness 0."
    return warning(check, read, "server 0", fix)


def judge_oom_score(*, worker: int | None, server: int) -> Finding:
    check, read = "oom_score_adj", _both(worker, server)
    if server <= 0:
        return good(check, read, "server 0")
    fix = (
        "Start Ray with RAY_worker_oom_score_adjustment=0; in a Kubernetes pod, also set "
        "requests equal to limits."
    )
    return warning(check, read, "server 0", fix)


def child_processes(order: CheckupOrder) -> Iterator[Finding]:
    """Ray's ways of ending child processes, as they are in effect in this process."""
    subreaper = _is_subreaper()
    if order.in_ray:
        # Ray makes each worker the leader of a group, or leaves it in its own.
        yield judge_child_cleanup(groups=os.getpgid(0) == os.getpid(), subreaper=subreaper)
    child = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"raise SystemExit({_EXIT_STATUS})"], check=False
    )
    yield judge_exit_statuses(kept=child.returncode == _EXIT_STATUS, subreaper=subreaper)


def judge_child_cleanup(*, groups: bool, subreaper: bool) -> Finding:
    check, wanted = "Ray's child cleanup", "process groups on, subreaper off"
    read = f"process groups {_switch(groups)}, subreaper {_switch(subreaper)}"
    if subreaper:
        fix = f"Start Ray without {_SUBREAPER}, which process groups replace."
        return warning(check, read, wanted, fix)
    if not groups:
        fix = "Start Ray with RAY_process_group_cleanup_enabled=1."
        return warning(check, read, wanted, fix)
    return good(check, read, wanted)


def judge_exit_statuses(*, kept: bool, subreaper: bool) -> Finding:
    check, wanted = "exit statuses", "kept"
    if kept:
        return good(check, "kept", wanted)
    cause = f"without {_SUBREAPER}" if subreaper else "from a parent that does not ignore SIGCHLD"
    return warning(check, "lost: every one reads 0", wanted, f"Start Ray {cause}.")


def _supervised(command: list[str]) -> str:
    """What a supervised command printed, or why it did not run."""
    with tempfile.TemporaryDirectory(prefix="autotuner-doctor-") as folder:
        log = Path(folder) / "process.log"
        with SupervisedProcess(command, environment=clean_environment(), log_path=log) as process:
            ended = process.wait(_ANSWER_S)
            answer = process.log_tail().strip()
        return answer if ended is not None else f"still running after {_ANSWER_S:g} s: {answer}"


def _is_subreaper() -> bool:
    value = ctypes.c_int()
    ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(value), 0, 0, 0)
    return value.value == 1


def _both(worker: int | None, server: int) -> str:
    return f"server {server}" if worker == server else f"worker {worker}, server {server}"


def _switch(on: bool) -> str:
    return "on" if on else "off"

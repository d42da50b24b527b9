"""Rows of the matrix in which the server is at fault. One study each, on one Ray for all."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from faults.matrix import Column, Row
from faults.processes import ProcessWatch
from faults.studies import carry_out, workload, write_study
from faults.verdict import Expected, judge_processes, judge_results, note_cleanup

from autotuner.execution.base import Executor
from autotuner.spec.experiment import FailureKind

pytestmark = pytest.mark.ray

SLACK_S = 60.0
"""For Ray and a busy machine; a deadline that is missed is missed by minutes, not seconds."""
BEFORE_LOAD = 2
"""Requests that come before the first level, see `workload`."""


@dataclass(frozen=True)
class Case:
    """A fault, how its attempts must end, and within which time each."""

    name: str
    faulty: Mapping[str, object]
    outcomes: tuple[FailureKind | str, ...]
    deadline_s: float = SLACK_S
    changes: Mapping[str, object] = field(default_factory=dict)
    slow: bool = False


CRASHED = (FailureKind.SERVER_CRASHED,) * 2
LONG_LEVELS = {"workloads": [workload((1, 2), seconds=30.0)]}

CASES = [
    Case(
        "bad flag",
        {"no-such-flag": 1},
        (FailureKind.CONFIG_REJECTED,),
        changes={"engine": {"check_flags": False}},
    ),
    Case("crash at start", {"fault-crash-at-start": True}, CRASHED),
    Case("dies at warm-up", {"fault-crash-after-requests": 0}, CRASHED),
    Case("crash under load", {"fault-crash-after-requests": BEFORE_LOAD + 4}, CRASHED),
    Case(
        "hang at start",
        {"fault-hang-at-start": True},
        (FailureKind.LAUNCH_TIMEOUT,) * 2,
        deadline_s=10.0 + SLACK_S,
        changes={"timeouts": {"start_s": 10.0}},
    ),
    Case(
        "hang under load",
        {"fault-hang-after-requests": BEFORE_LOAD + 1},
        (FailureKind.SERVER_HUNG,) * 2,
        deadline_s=5.0 + SLACK_S,
        changes={"timeouts": {"no_token_s": 5.0}, **LONG_LEVELS},
    ),
    Case(
        "stalls under load",
        {"fault-stall-tokens-after-requests": BEFORE_LOAD + 1},
        (FailureKind.SERVER_HUNG,) * 2,
        deadline_s=5.0 + SLACK_S,
        changes={"timeouts": {"no_token_s": 5.0}, **LONG_LEVELS},
        slow=True,
    ),
    Case("500s", {"fault-error-after-requests": 0}, (FailureKind.REQUESTS_FAILED,)),
    Case(
        "503s under load",
        {"fault-error-after-requests": BEFORE_LOAD + 1, "fault-error-status": 503},
        (FailureKind.REQUESTS_FAILED,),
    ),
    Case("wrong model name", {"fault-wrong-model-name": True}, (FailureKind.CONFIG_REJECTED,)),
    Case("ignores SIGTERM", {"fault-ignore-sigterm": True}, ("completed",)),
    Case("leaves a daemon", {"fault-spawn-daemon": True}, ("completed",)),
]


def parameter(case: Case) -> ParameterSet:
    marks = [pytest.mark.slow_faults] if case.slow else []
    return pytest.param(case.name, case, id=case.name, marks=marks)


@pytest.mark.parametrize(("row", "case"), [parameter(c) for c in CASES], indirect=["row"])
def test_a_study_goes_on_beside_a_server_at_fault(
    row: Row, case: Case, watch: ProcessWatch, ray_executor: Executor, tmp_path: Path
) -> None:
    judge(row, case, watch, ray_executor, tmp_path)


@pytest.mark.parametrize("row", ["port taken"], indirect=True)
def test_a_taken_port_is_tried_again_with_another(
    row: Row, watch: ProcessWatch, ray_executor: Executor, tmp_path: Path
) -> None:
    """The engine's program lets another have the port before it takes it itself."""
    thief = tmp_path / "python"
    thief.write_text(f"#!{sys.executable}\n{PORT_THIEF}")
    thief.chmod(0o755)
    case = Case(
        "port taken",
        {"env.PORT_IS": "taken"},
        (FailureKind.PORT_TAKEN,) * 2,
        changes={"engine": {"executable": str(thief)}},
    )
    judge(row, case, watch, ray_executor, tmp_path)


PORT_THIEF = """
import os, socket, sys
if os.environ.get("PORT_IS") == "taken" and "--port" in sys.argv:
    thief = socket.socket()
    thief.bind(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])))
    thief.listen()
    thief.set_inheritable(True)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def judge(row: Row, case: Case, watch: ProcessWatch, executor: Executor, folder: Path) -> None:
    study = write_study(folder, watch, faulty=case.faulty, changes=case.changes)
    # The healthy ones fill the pauses, and a deadline counts from an attempt's submission.
    course = carry_out(study, executor, limit_s=len(case.outcomes) * case.deadline_s + SLACK_S)
    durations = course.durations(study.faulty_mark)
    longest = max(durations, default=0.0)
    in_time = course.in_time and longest <= case.deadline_s
    late = f"{longest:.0f} s, not {case.deadline_s:g} s; study in time: {course.in_time}"
    row.check(Column.IN_TIME, in_time, f"{longest:.1f} s", late)
    judge_processes(row, watch)
    stored = judge_results(row, study, Expected.of(*case.outcomes))
    note_cleanup(row, stored, study, watch)
    row.settle()
